//! The TLS handshake of an attempt, and its certificates. In: a finding. Out: a section of the page.

use crate::report::model::{Certificate, Finding, Tls};
use crate::report::text::detail::heading;
use crate::report::text::page::{Page, shortened};

/// Most certificates of a chain.
const CERTIFICATES_SHOWN_MAX: usize = 4;
/// Most characters of the names of a certificate.
const NAMES_SHOWN_MAX: usize = 160;
/// A day of RFC 3339.
const DAY_LEN: usize = 10;

/// Writes the section, where the upstream was spoken to in TLS.
pub fn section(page: &mut Page, finding: &Finding) {
    let Some(tls) = &finding.tls else { return };
    heading(page, "TLS to the upstream");
    page.prose("     offered: ", &offered(tls));
    if let Some(chosen) = chosen(tls) {
        page.prose("     chosen: ", &chosen);
    }
    certificates(page, "upstream's certificate", &tls.certificates);
    certificates(page, "gateway's certificate", &tls.client_certificates);
    for problem in &tls.problems {
        page.prose("     - ", problem);
    }
    if let Some(ocsp) = &tls.ocsp {
        page.prose("     - ", ocsp);
    }
    if let (Some(judged), Some(by)) = (&tls.judged, &tls.judged_by) {
        page.prose("     judged by ", &format!("{by}: {judged}"));
    }
    if let Some(why) = &tls.not_decrypted {
        page.prose("     not decrypted: ", why);
    }
}

fn offered(tls: &Tls) -> String {
    let mut parts = vec![tls.offered_versions.join(", ")];
    parts.push(match &tls.server_name {
        Some(name) => format!("for {name}"),
        None => "for no name".to_owned(),
    });
    if !tls.offered_protocols.is_empty() {
        parts.push(format!("to speak {}", tls.offered_protocols.join(" or ")));
    }
    if tls.resumption_offered {
        parts.push("to resume an earlier handshake".to_owned());
    }
    if tls.early_data {
        parts.push("with early data".to_owned());
    }
    if let Some(ja4) = &tls.ja4 {
        parts.push(format!("JA4 {ja4}"));
    }
    parts.join("; ")
}

fn chosen(tls: &Tls) -> Option<String> {
    let mut parts = vec![format!(
        "{} with {}",
        tls.version.as_ref()?,
        tls.suite.as_ref()?
    )];
    parts.extend(tls.protocol.clone());
    if tls.resumed {
        parts.push("an earlier handshake resumed".to_owned());
    }
    if tls.retried {
        parts.push("after a HelloRetryRequest".to_owned());
    }
    if tls.certificate_requested {
        parts.push("a certificate of the gateway asked for".to_owned());
    }
    if tls.renegotiated {
        parts.push("renegotiated later".to_owned());
    }
    Some(parts.join("; "))
}

fn certificates(page: &mut Page, whose: &str, list: &[Certificate]) {
    for (place, one) in list.iter().take(CERTIFICATES_SHOWN_MAX).enumerate() {
        let label = match place {
            0 => format!("     {whose}: "),
            _ => "     issued by: ".to_owned(),
        };
        let names = match one.names.as_slice() {
            [] => String::new(),
            names => format!(", for {}", shortened(&names.join(", "), NAMES_SHOWN_MAX)),
        };
        let day = |time: &str| time.get(..DAY_LEN).unwrap_or(time).to_owned();
        page.prose(
            &label,
            &format!(
                "{}{names}; issuer {}; {} to {}; {}, {}",
                shortened(&one.subject, NAMES_SHOWN_MAX),
                shortened(&one.issuer, NAMES_SHOWN_MAX),
                day(&one.not_before),
                day(&one.not_after),
                one.key,
                one.signature
            ),
        );
    }
    if let Some(more) = list.len().checked_sub(CERTIFICATES_SHOWN_MAX + 1) {
        page.prose("     ", &format!("and {} more", more + 1));
    }
}
