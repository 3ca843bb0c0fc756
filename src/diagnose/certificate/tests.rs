//! Certificates made by rcgen, and the same with bytes changed at random.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};

use super::*;
use crate::capture::Roots;
use crate::diagnose::trust::Trust;

/// 2026-11-28, in nanoseconds.
const NOW: Timestamp = Timestamp(1_795_824_000 * NANOS_PER_SECOND);

type Ca = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Ca {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name = called(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn called(name: &str) -> DistinguishedName {
    let mut found = DistinguishedName::new();
    found.push(DnType::CommonName, name);
    found
}

fn leaf(names: &[&str], years: (i32, i32)) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = called("leaf");
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params
}

fn signed(params: &CertificateParams, issuer: &Ca) -> Box<[u8]> {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    certificate.der().to_vec().into()
}

fn chain(certificates: &[&[u8]]) -> Chain {
    Chain {
        certificates: certificates.iter().map(|der| (*der).into()).collect(),
    }
}

fn der(ca: &Ca) -> &[u8] {
    let certificate: &rcgen::Certificate = ca.as_ref();
    certificate.der()
}

fn wrong(certificates: &[&[u8]], asked: Option<&str>) -> Vec<Problem> {
    problems(&chain(certificates), NOW, asked)
}

#[test]
fn facts_of_a_certificate() {
    let ca = authority("the root");
    let facts = read(&signed(
        &leaf(&["a.test", "*.b.test", "10.0.0.7"], (2026, 2027)),
        &ca,
    ));
    let facts = facts.unwrap();
    assert_eq!(
        (&*facts.subject, &*facts.issuer),
        ("CN=leaf", "CN=the root")
    );
    assert_eq!(facts.names, ["a.test", "*.b.test", "10.0.0.7"]);
    assert_eq!(facts.not_before.rfc3339(), "2026-01-01T00:00:00.000000000Z");
    assert_eq!(facts.not_after.rfc3339(), "2027-01-01T00:00:00.000000000Z");
    assert_eq!(
        (&*facts.key, &*facts.signature),
        ("EC 256", "ECDSA with SHA-256")
    );
    assert!(!facts.self_issued && !facts.is_authority);
    for name in ["a.test", "A.TEST", "x.b.test", "10.0.0.7", "a.test."] {
        assert!(facts.covers(name), "{name}");
    }
    for name in ["b.test", "x.y.b.test", ".b.test", "10.0.0.8", "other", ""] {
        assert!(!facts.covers(name), "{name}");
    }
}

#[test]
fn what_is_wrong_with_chains() {
    let ca = authority("the root");
    let good = signed(&leaf(&["a.test"], (2026, 2027)), &ca);
    let old = signed(&leaf(&["a.test"], (2020, 2026)), &ca);
    let new = signed(&leaf(&["a.test"], (2027, 2028)), &ca);
    let unnamed = signed(&leaf(&[], (2026, 2027)), &ca);
    let other = authority("another");
    let not_sent = Problem::IssuerNotSent("CN=the root".to_owned());
    let root = der(&ca);
    assert_eq!(wrong(&[&good, root], Some("a.test")), []);
    assert_eq!(
        wrong(&[&good], Some("a.test")),
        std::slice::from_ref(&not_sent)
    );
    assert_eq!(
        wrong(&[&good, root], Some("b.test")),
        [Problem::Name("b.test".to_owned())]
    );
    assert!(matches!(
        wrong(&[&old, root], None)[..],
        [Problem::Expired(0, _)]
    ));
    assert!(matches!(
        wrong(&[&new, root], None)[..],
        [Problem::NotYetValid(0, _)]
    ));
    assert_eq!(
        wrong(&[&unnamed, root], Some("leaf")),
        [Problem::CommonNameOnly]
    );
    assert_eq!(wrong(&[&good, der(&other)], None), [Problem::OutOfOrder(0)]);
    assert_eq!(
        wrong(&[root], None),
        [Problem::SelfSigned, Problem::CommonNameOnly]
    );
    assert_eq!(wrong(&[b"no certificate"], None), [Problem::Unreadable(0)]);
    assert_eq!(wrong(&[], Some("a.test")), []);
}

#[test]
fn roots_judge_at_the_time_of_the_capture() {
    let ca = authority("the root");
    let roots = Roots {
        certificates: vec![der(&ca).to_vec(), b"no certificate".to_vec()],
        described: "roots.pem".to_owned(),
    };
    let trust = Trust::of(&roots);
    let judged = |certificate: &[u8], asked: Option<&str>| {
        trust.judge(&chain(&[certificate]), NOW, asked).unwrap()
    };
    let good = signed(&leaf(&["a.test"], (2026, 2027)), &ca);
    let judgement = judged(&good, Some("a.test"));
    assert_eq!(judgement.words, "valid for a.test");
    assert_eq!(
        judgement.by,
        "1 roots of roots.pem; the gateway's own may differ"
    );
    assert_eq!(
        judged(&good, None).words,
        "a valid chain; no name was asked for"
    );
    assert!(
        judged(&good, Some("b.test"))
            .words
            .starts_with("not valid for the name")
    );
    let old = signed(&leaf(&["a.test"], (2020, 2026)), &ca);
    assert_eq!(judged(&old, Some("a.test")).words, "expired");
    let new = signed(&leaf(&["a.test"], (2027, 2028)), &ca);
    assert_eq!(judged(&new, Some("a.test")).words, "not valid yet");
    let foreign = signed(&leaf(&["a.test"], (2026, 2027)), &authority("another"));
    assert_eq!(
        judged(&foreign, Some("a.test")).words,
        "from an unknown issuer"
    );
    assert_eq!(Trust::default().judge(&chain(&[&good]), NOW, None), None);
    assert_eq!(trust.judge(&chain(&[]), NOW, None), None);
}

#[test]
fn many_names_are_bounded() {
    let names: Vec<String> = (0..NAMES_MAX + 50)
        .map(|number| format!("n{number}.test"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let facts = read(&signed(&leaf(&names, (2026, 2027)), &authority("ca"))).unwrap();
    assert_eq!(facts.names.len(), NAMES_MAX);
    assert_eq!(read(&vec![0x30; CERTIFICATE_MAX + 1]), None);
}

#[test]
fn changed_bytes_never_panic() {
    let ca = authority("ca");
    let roots = Roots {
        certificates: vec![der(&ca).to_vec()],
        described: String::new(),
    };
    let trust = Trust::of(&roots);
    let good = signed(&leaf(&["a.test", "10.0.0.7"], (2026, 2027)), &ca);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut dice = move |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % sides as u64) as usize
    };
    let mut readable = 0;
    for _ in 0..20_000 {
        let mut bytes = good.to_vec();
        for _ in 0..=dice(4) {
            let at = dice(bytes.len());
            bytes[at] = dice(256) as u8;
        }
        if dice(6) == 0 {
            bytes.truncate(dice(bytes.len()));
        }
        readable += usize::from(read(&bytes).is_some());
        let hostile = chain(&[&bytes, &good]);
        for problem in problems(&hostile, NOW, Some("a.test")) {
            assert!(!problem.words().is_empty());
        }
        if dice(20) == 0 {
            let _ = trust.judge(&hostile, NOW, Some("a.test"));
        }
    }
    assert!(readable > 1_000, "only {readable} could be read");
}
