//! What a certificate says, and what is wrong with a chain. In: DER bytes of the wire, a moment, a name. Out: facts in
//! words, and problems.
//!
//! The rule: judged at the capture's time and never at today's. Nothing is trusted here: whose signature counts is asked
//! of roots elsewhere (`trust.rs`). What cannot be read is a problem of its own, never an error.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use crate::protocol::observation::Chain;
use crate::time::{NANOS_PER_SECOND, Timestamp};

/// Most names of a certificate that are kept: large hosters put 100 into one, a hostile one may hold thousands.
pub const NAMES_MAX: usize = 128;
/// Longest text that is taken from a certificate, characters.
pub const TEXT_MAX: usize = 256;
/// Longest certificate that is read, bytes: those with 100 names have about 4 KB.
pub const CERTIFICATE_MAX: usize = 64 * 1024;
/// An RSA key shorter than this is too short (NIST SP 800-57, part 1, table 2), bits.
const RSA_BITS_MIN: usize = 2_048;
/// The same on an elliptic curve.
const CURVE_BITS_MIN: usize = 224;

/// What one certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Subject, as a distinguished name.
    pub subject: String,
    /// Issuer, as a distinguished name.
    pub issuer: String,
    /// Common name of the subject.
    pub common_name: Option<String>,
    /// Names and addresses that it covers (subjectAltName), at most [`NAMES_MAX`].
    pub names: Vec<String>,
    /// First moment at which it is valid.
    pub not_before: Timestamp,
    /// Last moment at which it is valid.
    pub not_after: Timestamp,
    /// Its key: `RSA 2048`, `EC 256`.
    pub key: String,
    /// Algorithm of the issuer's signature, as an object identifier or its usual name.
    pub signature: String,
    /// Whether subject and issuer are the same.
    pub self_issued: bool,
    /// Whether it may sign others.
    pub is_authority: bool,
    weak_signature: bool,
    short_key: bool,
    raw: (Vec<u8>, Vec<u8>),
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A certificate had expired: its place in the chain, and when.
    Expired(usize, Timestamp),
    /// A certificate was not valid yet.
    NotYetValid(usize, Timestamp),
    /// The first certificate does not cover the name asked for.
    Name(String),
    /// The first certificate is signed by itself.
    SelfSigned,
    /// The issuer of the last certificate was not sent, and may be no root: its name.
    IssuerNotSent(String),
    /// A certificate is not signed by the one after it.
    OutOfOrder(usize),
    /// The first certificate names its host in the common name alone, which no client reads any more (RFC 9525).
    CommonNameOnly,
    /// A signature with MD5 or SHA-1.
    WeakSignature(usize, String),
    /// A key that is too short.
    ShortKey(usize, String),
    /// A certificate that cannot be read.
    Unreadable(usize),
}

impl Problem {
    /// Whether a client that verifies refuses it: whatever it trusts, or, of a certificate signed by itself, unless it was
    /// told to trust this very one.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Expired(..)
                | Self::NotYetValid(..)
                | Self::Name(_)
                | Self::SelfSigned
                | Self::CommonNameOnly
        )
    }

    /// One clause.
    #[must_use]
    pub fn words(&self) -> String {
        let which = |place: &usize| match place {
            0 => "the certificate".to_owned(),
            other => format!("certificate {} of the chain", other + 1),
        };
        match self {
            Self::Expired(place, at) => format!("{} expired at {}", which(place), day(*at)),
            Self::NotYetValid(place, at) => {
                format!("{} is not valid before {}", which(place), day(*at))
            }
            Self::Name(asked) => format!("it does not cover the name asked for, {asked}"),
            Self::SelfSigned => "it is signed by itself".to_owned(),
            Self::IssuerNotSent(issuer) => {
                format!("its issuer ({issuer}) was not sent: right only where that is a root")
            }
            Self::OutOfOrder(place) => {
                format!("{} is not issued by the one sent after it", which(place))
            }
            Self::CommonNameOnly => {
                "it names its host in the common name alone, which clients no longer read"
                    .to_owned()
            }
            Self::WeakSignature(place, algorithm) => {
                format!("{} is signed with {algorithm}", which(place))
            }
            Self::ShortKey(place, key) => format!("{} has too short a key ({key})", which(place)),
            Self::Unreadable(place) => format!("{} cannot be read", which(place)),
        }
    }
}

/// A moment to the second.
fn day(at: Timestamp) -> String {
    let text = at.rfc3339();
    let second = text.get(..19).unwrap_or(&text);
    format!("{second}Z")
}

/// Reads a certificate. `None`: it is too long, or no certificate.
#[must_use]
pub fn read(der: &[u8]) -> Option<Facts> {
    if der.len() > CERTIFICATE_MAX {
        return None;
    }
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let moment = |seconds: i64| Timestamp(seconds.saturating_mul(NANOS_PER_SECOND));
    let validity = certificate.validity();
    let (key, short_key) = key_of(&certificate);
    let (signature, weak_signature) = signature_of(&certificate);
    let (subject, issuer) = (certificate.subject(), certificate.issuer());
    Some(Facts {
        subject: text(&subject.to_string()),
        issuer: text(&issuer.to_string()),
        common_name: common_name(subject),
        names: names_of(&certificate),
        not_before: moment(validity.not_before.timestamp()),
        not_after: moment(validity.not_after.timestamp()),
        key,
        signature,
        self_issued: subject.as_raw() == issuer.as_raw(),
        is_authority: certificate.is_ca(),
        weak_signature,
        short_key,
        raw: (subject.as_raw().to_vec(), issuer.as_raw().to_vec()),
    })
}

fn text(words: &str) -> String {
    words.chars().take(TEXT_MAX).collect()
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    let first = name.iter_common_name().next()?;
    first.as_str().ok().map(text)
}

fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(list) = extension.parsed_extension() {
            let room = NAMES_MAX.saturating_sub(names.len());
            names.extend(list.general_names.iter().filter_map(name).take(room));
        }
    }
    names
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(text(name)),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            ref bytes => {
                let octets: [u8; 16] = bytes.try_into().ok()?;
                Some(std::net::Ipv6Addr::from(octets).to_string())
            }
        },
        _ => None,
    }
}

fn key_of(certificate: &X509Certificate<'_>) -> (String, bool) {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => {
            let bits = key.key_size();
            (format!("RSA {bits}"), bits < RSA_BITS_MIN)
        }
        Ok(PublicKey::EC(key)) => {
            let bits = key.key_size();
            (format!("EC {bits}"), bits < CURVE_BITS_MIN)
        }
        _ => match certificate
            .public_key()
            .algorithm
            .algorithm
            .to_id_string()
            .as_str()
        {
            "1.3.101.112" => ("Ed25519".to_owned(), false),
            "1.3.101.113" => ("Ed448".to_owned(), false),
            other => (text(other), false),
        },
    }
}

fn signature_of(certificate: &X509Certificate<'_>) -> (String, bool) {
    let oid = certificate.signature_algorithm.algorithm.to_id_string();
    let (name, weak) = match oid.as_str() {
        "1.2.840.113549.1.1.2" => ("RSA with MD2", true),
        "1.2.840.113549.1.1.4" => ("RSA with MD5", true),
        "1.2.840.113549.1.1.5" => ("RSA with SHA-1", true),
        "1.2.840.10045.4.1" => ("ECDSA with SHA-1", true),
        "1.2.840.113549.1.1.10" => ("RSA-PSS", false),
        "1.2.840.113549.1.1.11" => ("RSA with SHA-256", false),
        "1.2.840.113549.1.1.12" => ("RSA with SHA-384", false),
        "1.2.840.113549.1.1.13" => ("RSA with SHA-512", false),
        "1.2.840.10045.4.3.2" => ("ECDSA with SHA-256", false),
        "1.2.840.10045.4.3.3" => ("ECDSA with SHA-384", false),
        "1.2.840.10045.4.3.4" => ("ECDSA with SHA-512", false),
        "1.3.101.112" => ("Ed25519", false),
        "1.3.101.113" => ("Ed448", false),
        other => return (text(other), false),
    };
    (name.to_owned(), weak)
}

impl Facts {
    /// Whether it covers a name or address (RFC 9525, section 6): a wildcard stands for one whole label on the left.
    #[must_use]
    pub fn covers(&self, asked: &str) -> bool {
        self.names.iter().any(|name| covers(name, asked))
    }
}

fn covers(name: &str, asked: &str) -> bool {
    let (name, asked) = (name.trim_end_matches('.'), asked.trim_end_matches('.'));
    match name.strip_prefix("*.") {
        Some(parent) => asked
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(asked),
    }
}

/// What is wrong with a chain at a moment, the gravest first. `asked`: the name that the client asked for, where known.
#[must_use]
pub fn problems(chain: &Chain, at: Timestamp, asked: Option<&str>) -> Vec<Problem> {
    let facts: Vec<Option<Facts>> = chain.certificates.iter().map(|der| read(der)).collect();
    let mut found = Vec::new();
    for (place, one) in facts.iter().enumerate() {
        match one {
            None => found.push(Problem::Unreadable(place)),
            Some(one) if at > one.not_after => found.push(Problem::Expired(place, one.not_after)),
            Some(one) if at < one.not_before => {
                found.push(Problem::NotYetValid(place, one.not_before));
            }
            Some(_) => {}
        }
    }
    if let Some(Some(first)) = facts.first() {
        found.extend(of_the_first(first, asked));
    }
    found.extend(of_the_order(&facts));
    for (place, one) in facts.iter().enumerate() {
        let Some(one) = one else { continue };
        // Nobody checks the signature of a root on itself.
        if one.weak_signature && !one.self_issued {
            found.push(Problem::WeakSignature(place, one.signature.clone()));
        }
        if one.short_key {
            found.push(Problem::ShortKey(place, one.key.clone()));
        }
    }
    found
}

fn of_the_first(first: &Facts, asked: Option<&str>) -> Vec<Problem> {
    let mut found = Vec::new();
    let named_otherwise = first.names.is_empty() && first.common_name.is_some();
    if let Some(asked) = asked
        && !first.covers(asked)
        && !named_otherwise
    {
        found.push(Problem::Name(asked.to_owned()));
    }
    if first.self_issued {
        found.push(Problem::SelfSigned);
    }
    if named_otherwise {
        found.push(Problem::CommonNameOnly);
    }
    found
}

fn of_the_order(facts: &[Option<Facts>]) -> Option<Problem> {
    for (place, pair) in facts.windows(2).enumerate() {
        if let [Some(one), Some(next)] = pair
            && one.raw.1 != next.raw.0
        {
            return Some(Problem::OutOfOrder(place));
        }
    }
    match facts.last()? {
        Some(last) if !last.self_issued && !last.is_authority => {
            Some(Problem::IssuerNotSent(last.issuer.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
