#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gwcap_fuzz::whole_capture(data));
