//! A BPF filter for files. In: the user's expression and frames. Out: whether a frame passes.
//!
//! The rule: the expression means the same as on an interface, because libpcap's own compiler reads it. One
//! program per link type. An expression with a host's name makes libpcap resolve it; gwcap itself never does.

use pcap::{BpfProgram, Capture, Linktype};

use crate::capture::error::CaptureError;
use crate::frame::LinkType;

/// Most link types that one filter is compiled for; frames of further ones do not pass.
const PROGRAMS_MAX: usize = 32;

/// Link types that the rest of the house decodes: a filter that does not apply to one of them is an error of
/// the user's, not a frame to pass over.
const DECODED: [LinkType; 18] = [
    LinkType::ETHERNET,
    LinkType::LINUX_SLL2,
    LinkType::LINUX_SLL,
    LinkType::RAW,
    LinkType::IPV4,
    LinkType::IPV6,
    LinkType::NULL,
    LinkType::LOOP,
    // PPP and PPPoE, Cisco HDLC, 802.11, enc, Prism, radiotap, IP over IEEE 1394, MPLS.
    LinkType(9),
    LinkType(50),
    LinkType(51),
    LinkType(104),
    LinkType(105),
    LinkType(109),
    LinkType(119),
    LinkType(127),
    LinkType(138),
    LinkType(219),
];

/// A filter expression with a program for each link type that was met.
pub(super) struct Filter {
    expression: String,
    programs: Vec<(LinkType, Option<BpfProgram>)>,
    /// Index of the program that was used last: most captures have one link type.
    last: usize,
}

/// What the filter says about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Drop,
    /// libpcap cannot filter this link type, which no decoder of ours reads either.
    NotApplicable,
}

impl Filter {
    /// Reads an expression; it must compile for at least one link type that can be decoded.
    pub(super) fn new(expression: &str) -> Result<Self, CaptureError> {
        let filter = Self {
            expression: expression.to_owned(),
            programs: Vec::new(),
            last: 0,
        };
        let ethernet = filter.compile(LinkType::ETHERNET);
        if ethernet.is_err() && !DECODED.iter().any(|link| filter.compile(*link).is_ok()) {
            ethernet?;
        }
        Ok(filter)
    }

    /// The expression as the user wrote it.
    pub(super) fn expression(&self) -> &str {
        &self.expression
    }

    /// Compiles the program of a link type in advance, so that an error comes when the file is opened.
    pub(super) fn prepare(&mut self, link: LinkType) -> Result<(), CaptureError> {
        if self.programs.iter().any(|(known, _)| *known == link)
            || self.programs.len() >= PROGRAMS_MAX
        {
            return Ok(());
        }
        let program = match self.compile(link) {
            Ok(program) => Some(program),
            Err(error) if DECODED.contains(&link) => return Err(error),
            Err(_) => None,
        };
        self.programs.push((link, program));
        Ok(())
    }

    /// Whether the frame passes. The keywords that ask for a length (`less`, `greater`) see the captured one.
    pub(super) fn judge(&mut self, link: LinkType, data: &[u8]) -> Result<Verdict, CaptureError> {
        let known = |entry: Option<&(LinkType, _)>| entry.is_some_and(|(other, _)| *other == link);
        if !known(self.programs.get(self.last)) {
            self.prepare(link)?;
            match self.programs.iter().position(|(other, _)| *other == link) {
                Some(index) => self.last = index,
                None => return Ok(Verdict::NotApplicable),
            }
        }
        Ok(match self.programs.get(self.last) {
            Some((_, Some(program))) if program.filter(data) => Verdict::Pass,
            Some((_, Some(_))) => Verdict::Drop,
            _ => Verdict::NotApplicable,
        })
    }

    fn compile(&self, link: LinkType) -> Result<BpfProgram, CaptureError> {
        Capture::dead(data_link_of(link))
            .and_then(|dead| dead.compile(&self.expression, true))
            .map_err(|error| CaptureError::Filter {
                expression: self.expression.clone(),
                link,
                message: pcap_message(&error),
            })
    }
}

/// libpcap's own words without the crate's prefix.
pub(super) fn pcap_message(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(message) => message.clone(),
        other => other.to_string(),
    }
}

/// DLT_RAW as Linux numbers it; in files it is LINKTYPE_RAW, 101 (tcpdump.org/linktypes.html).
const DLT_RAW: i32 = 12;

/// The number that libpcap uses in memory for a link type of a file. They differ for raw IP only.
pub(super) fn data_link_of(link: LinkType) -> Linktype {
    match link {
        LinkType::RAW => Linktype(DLT_RAW),
        LinkType(other) => Linktype(i32::try_from(other).unwrap_or(i32::MAX)),
    }
}

/// The link type that a file would have for libpcap's number in memory.
pub(super) fn link_type_of(data_link: Linktype) -> LinkType {
    match data_link.0 {
        DLT_RAW => LinkType::RAW,
        other => LinkType(u32::try_from(other).unwrap_or(u32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IPv4 10.0.0.1:1000 to 10.0.0.2:80, TCP, no payload.
    const TO_PORT_80: [u8; 40] = [
        0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x03, 0xe8, 0, 80, 0, 0,
        0, 0, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn one_expression_for_two_link_types() {
        let mut filter = Filter::new("tcp port 80").unwrap();
        let mut ethernet = vec![0; 12];
        ethernet.extend_from_slice(&[8, 0]);
        ethernet.extend_from_slice(&TO_PORT_80);
        assert_eq!(
            filter.judge(LinkType::RAW, &TO_PORT_80).unwrap(),
            Verdict::Pass
        );
        assert_eq!(
            filter.judge(LinkType::ETHERNET, &ethernet).unwrap(),
            Verdict::Pass
        );
        assert_eq!(filter.judge(LinkType::RAW, &[]).unwrap(), Verdict::Drop);
        let mut other = Filter::new("udp port 53").unwrap();
        assert_eq!(
            other.judge(LinkType::ETHERNET, &ethernet).unwrap(),
            Verdict::Drop
        );
    }

    #[test]
    fn a_wrong_expression_is_told_with_the_words_of_libpcap() {
        let text = Filter::new("port eighty-and-one")
            .err()
            .unwrap()
            .to_string();
        assert!(text.contains("port eighty-and-one"), "{text}");
        assert!(text.contains("man pcap-filter"), "{text}");
        assert!(Filter::new("tcp port 80\0").is_err());
    }

    #[test]
    fn a_link_type_that_libpcap_cannot_filter_is_passed_over() {
        let mut filter = Filter::new("tcp port 80").unwrap();
        assert_eq!(
            filter.judge(LinkType(65_000), &TO_PORT_80).unwrap(),
            Verdict::NotApplicable
        );
    }

    #[test]
    fn an_expression_for_ethernet_only_fails_on_raw_ip() {
        let mut filter = Filter::new("ether host 02:00:00:00:00:01").unwrap();
        assert!(filter.judge(LinkType::RAW, &TO_PORT_80).is_err());
    }
}
