//! Heads for the tests of the products. In: a head as text. Out: the head that the parser would make.
//!
//! The rule: for tests alone; what the parser does not keep is not here either, so that no test relies on it.

use crate::frame::Mark;
use crate::protocol::http1::names;
use crate::protocol::kept::Kept;
use crate::protocol::observation::{HttpVersion, RequestHead, ResponseHead};

/// The headers of `head` that the parser keeps, names in lower case.
fn kept(head: &'static str, table: &names::Table) -> Kept {
    let fields = head.lines().skip(1).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = table.find(name.as_bytes())?.kept?;
        Some((name, value.trim().as_bytes()))
    });
    Kept::pack(fields)
}

/// A response head from its lines.
pub fn response(head: &'static str) -> ResponseHead {
    let mut words = head.lines().next().unwrap().splitn(3, ' ').skip(1);
    let kept = kept(head, &names::READ_IN_RESPONSES);
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")?
            .trim()
            .parse()
            .ok()
    });
    ResponseHead {
        status: words.next().unwrap().parse().unwrap(),
        reason: words.next().unwrap_or_default().into(),
        version: HttpVersion::Http11,
        head_len: head.len() as u32,
        longest_line: 0,
        header_lines: kept.iter().count() as u32,
        content_length: length,
        chunked: false,
        close: false,
        oddities: Box::default(),
        at: Mark::default(),
        kept,
    }
}

/// A request head from its lines.
pub fn request(head: &'static str) -> RequestHead {
    let mut words = head.lines().next().unwrap().split(' ');
    RequestHead {
        method: words.next().unwrap().into(),
        target: words.next().unwrap().into(),
        version: if words.next() == Some("HTTP/1.0") {
            HttpVersion::Http10
        } else {
            HttpVersion::Http11
        },
        kept: kept(head, &names::READ_IN_REQUESTS),
        credentials_hash: None,
        head_len: head.len() as u32,
        header_lines: head.lines().count() as u32 - 1,
        lower_case_names: head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .all(|(name, _)| !name.contains(|c: char| c.is_ascii_uppercase())),
        content_length: None,
        chunked: false,
        at: Mark::default(),
    }
}
