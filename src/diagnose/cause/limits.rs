//! How large a response head may be. In: its size. Out: which products refuse it with default settings, and
//! which take it.
//!
//! The rule: the limits are those of the products' own rows; a product without one is not spoken of.

use crate::diagnose::gateway::GATEWAYS;
use crate::diagnose::gateway::product::Product;

/// Who refuses a head of so many bytes, of which the longest line has so many.
#[must_use]
pub fn of_bytes(head: u64, longest_line: u64) -> String {
    let judged = |product: &Product| {
        let head_max = product.response_head_max.map(u64::from);
        let line_max = product.response_line_max.map(u64::from);
        let over = head_max.is_some_and(|max| head > max)
            || line_max.is_some_and(|max| longest_line > max);
        let words = match (head_max, line_max) {
            (Some(max), _) => format!("{} ({max})", product.name),
            (None, Some(max)) => format!("{} ({max} a line)", product.name),
            (None, None) => return None,
        };
        Some((over, words))
    };
    in_words("by default, in bytes", judged)
}

/// Who refuses a head of so many lines.
#[must_use]
pub fn of_lines(lines: u32) -> String {
    in_words("by default, in header lines", |product| {
        let max = product.response_lines_max?;
        Some((lines > max, format!("{} ({max})", product.name)))
    })
}

fn in_words(unit: &str, judged: impl Fn(&Product) -> Option<(bool, String)>) -> String {
    let (mut refuse, mut take) = (Vec::new(), Vec::new());
    for (over, words) in GATEWAYS.iter().filter_map(|product| judged(product)) {
        if over {
            refuse.push(words);
        } else {
            take.push(words);
        }
    }
    let list = |names: Vec<String>| match names.as_slice() {
        [] => "none that is known".to_owned(),
        names => names.join(", "),
    };
    format!(
        "{unit}: too much for {}; taken by {}",
        list(refuse),
        list(take)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_told_apart_by_their_limits() {
        let words = of_bytes(9_000, 8_900);
        let (refuse, take) = words.split_once("; taken by ").unwrap();
        for name in ["nginx (4096)", "Apache httpd (8192 a line)", "Varnish"] {
            assert!(refuse.contains(name), "{words}");
        }
        assert!(
            take.contains("HAProxy") && take.contains("Squid"),
            "{words}"
        );
        assert!(!words.contains("Caddy"), "its limit is not known");
        let words = of_lines(90);
        assert!(words.contains("too much for Varnish (64)"), "{words}");
        assert!(
            words.contains("taken by HAProxy (101), Envoy (100)"),
            "{words}"
        );
    }
}
