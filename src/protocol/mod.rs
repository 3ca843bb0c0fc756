//! From streams to what was said: requests, responses, handshakes, lookups.
pub mod observation;
