//! Certificates of handshakes in the report: their facts beside what openssl prints of them, and the roots that judge.

use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::Value;

use crate::support::{analyse, case_folders, inputs_of};

const CASE: &str = "captures/nginx-tls12-other-name/capture.pcapng";

/// Runs gwcap on the case; exit code, the report, and what was said.
fn judged_by(bundle: &Path) -> (Option<i32>, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gwcap"))
        .args(["-r", CASE, "-f", "json", "--ca-bundle"])
        .arg(bundle)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), report, said)
}

#[test]
fn facts_are_those_that_openssl_prints() {
    let analysis = analyse(Path::new(CASE), 1, 1 << 20);
    let handshake = analysis.diagnosis.findings[0].handshake.as_ref().unwrap();
    let [certificate] = handshake.certificates.as_slice() else {
        panic!("{:?}", handshake.certificates);
    };
    assert_eq!(certificate.subject, "CN=www.other.example");
    assert_eq!(certificate.issuer, "CN=Shop Root");
    assert_eq!(certificate.names, ["www.other.example"]);
    assert_eq!(
        certificate.not_before.rfc3339(),
        "2026-11-28T18:41:24.000000000Z"
    );
    assert_eq!(
        certificate.not_after.rfc3339(),
        "2026-12-28T18:41:24.000000000Z"
    );
    assert_eq!(certificate.key, "EC 256");
    assert_eq!(certificate.signature, "ECDSA with SHA-256");
    assert_eq!(handshake.server_name.as_deref(), Some("shop.example"));
    assert_eq!(handshake.judged, None, "no roots were given");
}

#[test]
fn roots_of_a_bundle_judge_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("roots.der");
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    fs::write(&bundle, root.der()).unwrap();
    let (code, report, said) = judged_by(&bundle);
    assert_eq!(code, Some(0), "{said}");
    let tls = &report["findings"][0]["tls"];
    assert_eq!(tls["judged"], "from an unknown issuer");
    let by = tls["judged_by"].as_str().unwrap();
    assert!(
        by.starts_with("1 roots of ") && by.contains("roots.der"),
        "{by}"
    );
    assert_eq!(report["findings"][0]["cause"]["confidence"], "likely");
}

#[test]
fn a_bundle_that_is_none_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("roots.pem");
    let (code, _, said) = judged_by(&bundle);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("--ca-bundle"), "{said}");
    fs::write(&bundle, "nothing\n").unwrap();
    let (code, _, said) = judged_by(&bundle);
    assert_eq!(code, Some(3));
    assert!(said.contains("it holds no certificate"), "{said}");
}

/// The lab's certificates are made for a month; one was made to end in five days.
#[test]
fn only_what_ends_soon_is_warned_of() {
    for folder in case_folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if !name.contains("tls") {
            continue;
        }
        let analysis = analyse(&inputs_of(&folder)[0], 1, 1 << 20);
        let warned: Vec<&str> = analysis
            .diagnosis
            .warnings
            .iter()
            .filter(|warning| warning.code == "certificate-expires-soon")
            .map(|warning| warning.message.as_str())
            .collect();
        if name == "nginx-tls12-healthy-soon" {
            assert_eq!(warned.len(), 1, "{warned:?}");
            assert!(warned[0].contains(" 4 days after frame "), "{warned:?}");
        } else {
            assert!(warned.is_empty(), "{name}: {warned:?}");
        }
    }
}
