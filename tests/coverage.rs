//! Which codes have a case: recorded from a real gateway, or written with the wire language of the tests.
//!
//! The rule: a code of the manual without a case fails. A written case names its code in a table that is read here, and
//! codes that have no other case are listed by name, so that who deletes one is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use gwcap::diagnose::cause::CAUSES;
use gwcap::diagnose::gateway::product::Family;

/// Names of cases, by code.
pub type Cases = BTreeMap<&'static str, BTreeSet<String>>;

/// The codes that each family must have, attributes left out; those of TLS and of further protocols are another matter.
const CODES: &[(Family, &[&str])] = &[
    (
        Family::NameResolution,
        &[
            "dns-nxdomain",
            "dns-nodata",
            "dns-servfail",
            "dns-refused",
            "dns-timeout",
            "dns-unreachable",
            "dns-stale-address",
        ],
    ),
    (
        Family::Connect,
        &[
            "connect-refused",
            "connect-timeout",
            "listen-queue-overflow",
            "icmp-port-unreachable",
            "icmp-host-unreachable",
            "icmp-net-unreachable",
            "icmp-admin-prohibited",
            "icmp-ttl-exceeded",
            "neighbor-unresolved",
            "local-connect-error",
            "connect-half-open",
            "connect-reset-after-accept",
            "connect-stale-tuple",
        ],
    ),
    (
        Family::ProtocolMismatch,
        &[
            "http-on-tls-port",
            "tls-on-http-port",
            "h2-on-h1-port",
            "h1-on-h2-port",
            "wrong-service",
            "proxy-protocol-missing",
            "proxy-protocol-unexpected",
        ],
    ),
    (
        Family::SendingRequest,
        &[
            "request-reset-mid-body",
            "request-write-timeout",
            "early-response-abort",
        ],
    ),
    (
        Family::WaitingForHead,
        &[
            "closed-before-response",
            "reset-before-response",
            "response-timeout",
            "stale-keepalive-reuse",
            "closed-mid-head",
            "reset-mid-head",
            "head-timeout",
        ],
    ),
    (
        Family::MalformedHead,
        &[
            "malformed-status-line",
            "http09-response",
            "bad-header",
            "header-too-large",
            "too-many-headers",
            "conflicting-framing",
            "invalid-content-length",
            "unknown-transfer-coding",
            "unexpected-upgrade",
            "bad-interim-response",
            "unsolicited-response",
        ],
    ),
    (
        Family::Body,
        &[
            "truncated-body",
            "reset-mid-response",
            "stall-mid-response",
            "bad-chunking",
            "truncated-chunked",
            "content-length-mismatch",
            "bad-content-coding",
        ],
    ),
    (
        Family::Path,
        &[
            "zero-window-stall",
            "path-mtu-blackhole",
            "loss-stall",
            "idle-drop-middlebox",
            "injected-reset",
        ],
    ),
    (Family::NoUpstreamPackets, &["no-upstream-attempt"]),
    (
        Family::Relayed,
        &["upstream-returned-5xx", "relayed-nested"],
    ),
    (
        Family::ClientSide,
        &[
            "client-aborted",
            "client-request-timeout",
            "client-bad-request",
        ],
    ),
    (
        Family::Silent,
        &[
            "gateway-silent-close",
            "gateway-raw-passthrough",
            "gateway-truncated-relay",
        ],
    ),
    (
        Family::CouldNotTell,
        &[
            "upstream-leg-not-captured",
            "capture-gap",
            "encrypted-inconclusive",
            "attempt-succeeded-but-error",
            "ambiguous",
        ],
    ),
];

/// The codes that are told of no recorded case, in the order of the manual: what the lab's gateways do not do, or what
/// packets alone do not decide.
pub const WRITTEN_ONLY: &[&str] = &["content-length-mismatch", "ambiguous"];

/// The written cases.
pub fn written() -> Cases {
    let mut cases = Cases::new();
    let causes = crate::causes::all().map(|case| (case.code, case.name.to_owned()));
    let paths = crate::causes_path::names();
    let signed = crate::causes::products::names();
    for (code, name) in causes.chain(paths).chain(signed) {
        cases.entry(code).or_default().insert(name);
    }
    cases
}

/// The codes by family, each with its cases, as text; the codes that only written cases show; those without any. A fault may
/// be `recorded` whose packets do not decide it: then another, more modest code is `told` of it.
#[must_use]
pub fn list(
    recorded: &Cases,
    told: &Cases,
    written: &Cases,
) -> (String, Vec<&'static str>, Vec<&'static str>) {
    let (mut text, mut only, mut none) = (String::new(), Vec::new(), Vec::new());
    let count = |cases: &Cases, code: &str| cases.get(code).map_or(0, BTreeSet::len);
    for cause in CAUSES {
        match (count(told, cause.code), count(written, cause.code)) {
            (0, 0) => none.push(cause.code),
            (0, _) => only.push(cause.code),
            _ => {}
        }
    }
    let _ = writeln!(
        text,
        "codes by family: cases in which the fault was recorded, cases of which it is told, written cases"
    );
    for (family, codes) in CODES {
        let _ = writeln!(text, "  {}", family.title());
        for code in *codes {
            let _ = writeln!(
                text,
                "    {code:<28} {:>4} {:>4} {:>4}",
                count(recorded, code),
                count(told, code),
                count(written, code)
            );
        }
    }
    let _ = writeln!(text, "codes with written cases only: {}", words(&only));
    for code in &only {
        let names = written.get(code).into_iter().flatten();
        let names: Vec<&str> = names.map(String::as_str).collect();
        let _ = writeln!(text, "  {code}: {}", names.join("; "));
    }
    let _ = writeln!(text, "codes without a case: {}", words(&none));
    (text, only, none)
}

fn words(codes: &[&str]) -> String {
    match codes {
        [] => "none".to_owned(),
        codes => codes.join(" "),
    }
}

/// The manual has each code of each family, in that family.
#[test]
fn the_manual_has_each_code() {
    for (family, codes) in CODES {
        for code in *codes {
            let cause = gwcap::diagnose::cause::by_code(code);
            let cause = cause.unwrap_or_else(|| panic!("{code} is missing"));
            assert_eq!(cause.family, *family, "{code}");
        }
    }
    let listed = |code: &str| CODES.iter().any(|(_, codes)| codes.contains(&code));
    for cause in CAUSES.iter().filter(|cause| cause.family != Family::Tls) {
        assert!(listed(cause.code), "{} is in no family", cause.code);
    }
}

/// A case that is gone is missed.
#[test]
fn a_code_without_a_case_is_named() {
    let mut cases = written();
    assert!(cases.remove("relayed-nested").is_some());
    let (text, _, none) = list(&Cases::new(), &Cases::new(), &cases);
    assert!(none.contains(&"relayed-nested"));
    assert!(
        text.contains("codes without a case: ") && !text.contains("codes without a case: none")
    );
}
