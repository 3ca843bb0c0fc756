//! Heads that can be read and break a rule all the same. In: an attempt and the rules of one cause. Out: the
//! verdict, with the byte, the rule, who refuses such a head and who passes it on.
//!
//! The rule: products differ in strictness, so the one that judged the head decides how sure one may be. This
//! is the only place where it stands who refuses what (causes.md A.2 and A.10).

use crate::diagnose::attempt::{Attempt, Verdict};
use crate::diagnose::finding::Confidence;
use crate::diagnose::gateway::product::Product;
use crate::diagnose::record::cut_short;
use crate::protocol::observation::{Fault, Rule};

/// Most bytes of an excerpt that a sentence shows.
const SHOWN_MAX: usize = 40;
/// An answer of the upstream that is itself an error (RFC 9110, section 15.6).
const SERVER_ERRORS: std::ops::RangeInclusive<u16> = 500..=599;

/// A form that breaks a rule, and what products do with it.
pub struct Form {
    /// The rule.
    pub rule: Rule,
    /// Its name, the detail of a finding.
    pub name: &'static str,
    /// What is broken, and where the rule stands.
    pub words: &'static str,
    /// Products that answer with an error instead.
    pub refused_by: &'static [&'static str],
    /// Products that pass the response on.
    pub passed_by: &'static [&'static str],
    /// Products of which it depends on the version, and how.
    pub depends: &'static [(&'static str, &'static str)],
}

/// What a product does with a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// It answers with an error.
    Refuses,
    /// It passes the response on.
    Passes,
    /// It depends on the version.
    Depends(&'static str),
    /// Nobody has tried.
    Unknown,
}

const fn form(
    rule: Rule,
    name: &'static str,
    words: &'static str,
    refused_by: &'static [&'static str],
    passed_by: &'static [&'static str],
) -> Form {
    Form {
        rule,
        name,
        words,
        refused_by,
        passed_by,
        depends: &[],
    }
}

const N: &str = "nginx";
const H: &str = "HAProxy";
const E: &str = "Envoy";
const A: &str = "Apache httpd";
const C: &str = "Caddy";
const V: &str = "Varnish";
const S: &str = "Squid";
const L: &str = "lighttpd";
const T: &str = "Apache Traffic Server";
/// Of nginx the old and the new versions differ in framing.
const NGINX_FRAMING: &[(&str, &str)] =
    &[(N, "nginx 1.22 passes it on, its current versions refuse it")];

/// Of a status outside 100 to 599 it depends which side it lies on.
const STATUS_CODES: &[(&str, &str)] = &[
    (E, "Envoy refuses 99 and passes 999 on"),
    (A, "Apache httpd makes 200 of 99 and passes 999 on"),
    (C, "Caddy refuses 99 and passes 999 on"),
    (V, "Varnish refuses 99 and passes 999 on"),
    (L, "lighttpd refuses 99 and passes 999 on"),
];

/// Who refuses what. Line ends of LF alone are taken by all of them and are no form.
pub const FORMS: &[Form] = &[
    form(
        Rule::Nul,
        "nul",
        "a NUL byte in a field (RFC 9110, section 5.5)",
        &[N, E, A, V, S],
        &[H, C, L],
    ),
    form(
        Rule::ControlCharacter,
        "control-char",
        "a control character in a field (RFC 9110, section 5.5)",
        &[E, V, A],
        &[N, H, C, S, L],
    ),
    form(
        Rule::SpaceInName,
        "space-in-name",
        "a space in a field name (RFC 9110, section 5.1)",
        &[N, H, E, V, S, A, T],
        &[C, L],
    ),
    form(
        Rule::SpaceBeforeColon,
        "space-before-colon",
        "a space before the colon (RFC 9112, section 5.1)",
        &[N, H, E, V, A],
        &[C, S, L],
    ),
    form(
        Rule::NoColon,
        "no-colon",
        "a line without a colon (RFC 9112, section 5)",
        &[H, E, A, C, V, S],
        &[N, L],
    ),
    form(
        Rule::EmptyName,
        "empty-name",
        "a field without a name (RFC 9110, section 5.1)",
        &[N, H, E, A, V],
        &[],
    ),
    form(
        Rule::NameCharacter,
        "non-ascii-name",
        "a byte in a field name that is no token character (RFC 9110, section 5.1)",
        &[H, E, A, V],
        &[],
    ),
    form(
        Rule::ObsFold,
        "obs-fold",
        "a field folded onto a second line (RFC 9112, section 5.2)",
        &[N],
        &[H, E, A, C, V, S, L],
    ),
    form(
        Rule::BareCr,
        "bare-cr",
        "a CR without its LF (RFC 9112, section 2.2)",
        &[H, E, V],
        &[],
    ),
    Form {
        depends: STATUS_CODES,
        ..form(
            Rule::StatusCode,
            "status-code",
            "a status outside 100 to 599 (RFC 9110, section 15)",
            &[S],
            &[N, H],
        )
    },
    Form {
        depends: NGINX_FRAMING,
        ..form(
            Rule::LengthAndCoding,
            "length-and-coding",
            "Content-Length together with Transfer-Encoding (RFC 9112, section 6.1)",
            &[E, V],
            &[H, A, C, S, L],
        )
    },
    Form {
        depends: NGINX_FRAMING,
        ..form(
            Rule::TwoLengths,
            "two-lengths",
            "two different values of Content-Length (RFC 9110, section 8.6)",
            &[H, E, C, S, T],
            &[A, V, L],
        )
    },
    Form {
        depends: NGINX_FRAMING,
        ..form(
            Rule::InvalidLength,
            "not-a-number",
            "a Content-Length that is no number (RFC 9110, section 8.6)",
            &[H, E, A, C, V, S, T],
            &[L],
        )
    },
    Form {
        depends: NGINX_FRAMING,
        ..form(
            Rule::UnknownCoding,
            "not-chunked",
            "a Transfer-Encoding other than `chunked` (RFC 9112, section 6.1)",
            &[H, E, C, V, S],
            &[A, L],
        )
    },
    form(
        Rule::UnaskedUpgrade,
        "not-asked",
        "101 to a request without Upgrade (RFC 9110, section 7.8)",
        &[H, A, V, S],
        &[N, E, L],
    ),
];

impl Form {
    /// What a product does with it.
    #[must_use]
    pub fn stance(&self, product: &Product) -> Stance {
        let name = product.name;
        let depends = self.depends.iter().find(|(other, _)| *other == name);
        match depends {
            Some((_, how)) => Stance::Depends(how),
            None if self.refused_by.contains(&name) => Stance::Refuses,
            None if self.passed_by.contains(&name) => Stance::Passes,
            None => Stance::Unknown,
        }
    }

    /// Who refuses it and who passes it on, in words.
    #[must_use]
    pub fn known(&self) -> String {
        let list = |names: &[&str]| match names {
            [] => "none that is known".to_owned(),
            names => names.join(", "),
        };
        let mut words = format!(
            "such a head is refused by {}; passed on by {}",
            list(self.refused_by),
            list(self.passed_by)
        );
        for (_, how) in self.depends {
            words.push_str("; ");
            words.push_str(how);
        }
        words
    }
}

/// What products make of an answer without a status line.
#[must_use]
pub fn no_status_line() -> String {
    "without a status line it is refused by HAProxy, Envoy, Caddy, Varnish, lighttpd, Apache Traffic Server; nginx \
     passes the bytes on as they are; Apache httpd and Squid take them for the body of a 200"
        .to_owned()
}

/// What is wrong with a first line that is no status line, and what products make of it.
#[must_use]
pub fn first_line(line: &[u8], offset: u32) -> (&'static str, String) {
    /// Length of `HTTP/1.1`.
    const VERSION_LEN: u32 = 8;
    if !line.starts_with(b"HTTP/") {
        return ("it does not begin with `HTTP/1.`", no_status_line());
    }
    let known = if offset < VERSION_LEN {
        "another version is refused by Apache httpd, lighttpd; passed on by nginx, HAProxy, Envoy, Caddy, \
         Varnish; taken for the body of a 200 by Squid"
    } else {
        "such a line is refused by HAProxy, Envoy, Caddy, Varnish, Squid, lighttpd; nginx passes it on; Apache httpd \
         takes it for the body of a 200"
    };
    let words = if offset < VERSION_LEN {
        "its version is not HTTP/1.x"
    } else {
        "its status is not three digits"
    };
    (words, known.to_owned())
}

/// The form that breaks a rule.
#[must_use]
pub fn form_of(rule: Rule) -> Option<&'static Form> {
    FORMS.iter().find(|form| form.rule == rule)
}

/// The verdict on a response head that breaks one of `rules`, though it can be read. Of several faults one
/// that the product refuses comes first.
#[must_use]
pub fn refused(attempt: &Attempt<'_>, rules: &[Rule]) -> Option<Verdict> {
    let exchange = attempt.exchange?;
    let head = exchange.response.as_ref().filter(|head| {
        attempt.rejected && head.at.time <= attempt.until && !SERVER_ERRORS.contains(&head.status)
    })?;
    let faults = head
        .oddities
        .iter()
        .filter(|fault| rules.contains(&fault.rule))
        .filter_map(|fault| form_of(fault.rule).map(|form| (fault, form)));
    let (fault, form) = faults.min_by_key(|(fault, form)| {
        let refuses = attempt
            .product
            .is_some_and(|product| form.stance(product) == Stance::Refuses);
        (!refuses, fault.offset)
    })?;
    let stance = attempt.product.map(|product| form.stance(product));
    // Where the upstream cut the body and nothing says that the head was refused, the cut is the cause.
    let cut = exchange.response_end.is_some_and(|end| cut_short(end.how))
        && attempt.closed_by_upstream().is_some();
    if cut && stance != Some(Stance::Refuses) {
        return None;
    }
    let server = attempt.connection.facts.server;
    let verdict = attempt
        .asked(Verdict::seen(head.at))
        .detail(form.name)
        .proof(
            head.at,
            format!(
                "{server} answers {} with a head that breaks a rule {}: {}",
                head.status,
                place(fault),
                form.words
            ),
        )
        .proof(head.at, form.known());
    Some(weigh(verdict, attempt.product, stance))
}

/// How sure one may be that this product refused such a head.
fn weigh(verdict: Verdict, product: Option<&'static Product>, stance: Option<Stance>) -> Verdict {
    match (product.map(|product| product.name), stance) {
        (Some(_), Some(Stance::Refuses)) => verdict,
        (Some(_), Some(Stance::Depends(how))) => verdict.at_most(Confidence::Likely, how),
        (Some(name), Some(Stance::Passes)) => verdict.at_most(
            Confidence::Possible,
            format!("{name} is known to pass such a head on"),
        ),
        (Some(name), _) => verdict.at_most(
            Confidence::Likely,
            format!("whether {name} refuses such a head is not known"),
        ),
        (None, _) => verdict.at_most(
            Confidence::Likely,
            "which product judged the head is not known",
        ),
    }
}

/// Where a rule is broken: the offset, the byte where one byte offends, and what stands around it.
#[must_use]
pub fn place(fault: &Fault) -> String {
    let byte = fault
        .byte
        .map_or_else(String::new, |byte| format!(" (0x{byte:02x})"));
    format!(
        "at byte {}{byte}, `{}`",
        fault.offset,
        shown(&fault.excerpt)
    )
}

/// Bytes of the wire as text.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(SHOWN_MAX)
        .map(|byte| byte.escape_ascii().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::gateway::by_name;
    use std::collections::HashSet;

    #[test]
    fn every_form_stands_once_and_speaks_of_known_products() {
        let rules: HashSet<_> = FORMS.iter().map(|form| form.rule).collect();
        assert_eq!(rules.len(), FORMS.len());
        for form in FORMS {
            for name in form.refused_by.iter().chain(form.passed_by) {
                assert!(by_name(name).is_some(), "{name}");
            }
            for name in form.refused_by {
                assert!(!form.passed_by.contains(name), "{}: {name}", form.name);
            }
            for (name, _) in form.depends {
                assert!(!form.refused_by.contains(name) && !form.passed_by.contains(name));
            }
        }
    }

    #[test]
    fn stances() {
        let stance = |rule, name| form_of(rule).unwrap().stance(by_name(name).unwrap());
        assert_eq!(stance(Rule::Nul, "nginx"), Stance::Refuses);
        assert_eq!(stance(Rule::Nul, "HAProxy"), Stance::Passes);
        assert_eq!(stance(Rule::Nul, "Traefik"), Stance::Unknown);
        assert!(matches!(
            stance(Rule::TwoLengths, "nginx"),
            Stance::Depends(_)
        ));
        assert!(form_of(Rule::BareLf).is_none());
    }

    #[test]
    fn the_place_names_offset_and_byte() {
        let fault = Fault {
            rule: Rule::Nul,
            offset: 27,
            byte: Some(0),
            excerpt: (*b"X-Trace: a\0b").into(),
        };
        assert_eq!(place(&fault), "at byte 27 (0x00), `X-Trace: a\\x00b`");
    }
}
