//! The causes. In: an attempt of a gateway, or a code. Out: the row that explains it, and the manual that
//! `gwcap --explain` prints.
//!
//! Growth: a file `cause/x.rs` and a row in `CAUSES`.

mod banner;
mod cut;
mod limits;
pub mod manual;
pub mod model;
mod origin;
mod path;
mod strictness;

mod alpn_mismatch;
mod ambiguous;
mod attempt_succeeded_but_error;
mod bad_chunking;
mod bad_content_coding;
mod bad_header;
mod bad_interim_response;
mod capture_gap;
mod client_aborted;
mod client_bad_request;
mod client_request_timeout;
mod closed_before_response;
mod closed_mid_head;
mod conflicting_framing;
mod connect_half_open;
mod connect_refused;
mod connect_reset_after_accept;
mod connect_stale_tuple;
mod connect_timeout;
mod content_length_mismatch;
mod dns_nodata;
mod dns_nxdomain;
mod dns_refused;
mod dns_servfail;
mod dns_stale_address;
mod dns_timeout;
mod dns_unreachable;
mod early_response_abort;
mod encrypted_inconclusive;
mod gateway_raw_passthrough;
mod gateway_silent_close;
mod gateway_truncated_relay;
mod h1_on_h2_port;
mod h2_on_h1_port;
mod head_timeout;
mod header_too_large;
mod http09_response;
mod http_on_tls_port;
mod icmp_admin_prohibited;
mod icmp_host_unreachable;
mod icmp_net_unreachable;
mod icmp_port_unreachable;
mod icmp_ttl_exceeded;
mod idle_drop_middlebox;
mod injected_reset;
mod invalid_content_length;
mod listen_queue_overflow;
mod local_connect_error;
mod loss_stall;
mod malformed_status_line;
mod neighbor_unresolved;
mod no_upstream_attempt;
mod path_mtu_blackhole;
mod proxy_protocol_missing;
mod proxy_protocol_unexpected;
mod relayed_nested;
mod request_reset_mid_body;
mod request_write_timeout;
mod reset_before_response;
mod reset_mid_head;
mod reset_mid_response;
mod response_timeout;
mod stale_keepalive_reuse;
mod stall_mid_response;
mod tls_alert_from_upstream;
mod tls_cert_expired;
mod tls_cert_name_mismatch;
mod tls_cert_not_yet_valid;
mod tls_cert_rejected_unknown;
mod tls_cert_revoked;
mod tls_client_cert_rejected;
mod tls_client_cert_required;
mod tls_closed_after_handshake;
mod tls_decrypt_error;
mod tls_handshake_closed;
mod tls_handshake_reset;
mod tls_handshake_timeout;
mod tls_no_shared_cipher;
mod tls_on_http_port;
mod tls_sni_missing;
mod tls_sni_unrecognized;
mod tls_untrusted_ca;
mod tls_version_mismatch;
mod too_many_headers;
mod truncated_body;
mod truncated_chunked;
mod unexpected_upgrade;
mod unknown_transfer_coding;
mod unsolicited_response;
mod upstream_leg_not_captured;
mod upstream_returned_5xx;
mod wrong_service;
mod zero_window_stall;

use model::{Cause, Examine};

use crate::diagnose::attempt::{Attempt, Verdict};

/// All causes. The order of those that examine an attempt is precedence: the first that explains it wins,
/// so the more specific stands above the more general. Those that judge the whole follow.
pub const CAUSES: &[&Cause] = &[
    &dns_unreachable::CAUSE,
    &connect_refused::CAUSE,
    &icmp_port_unreachable::CAUSE,
    &icmp_host_unreachable::CAUSE,
    &icmp_net_unreachable::CAUSE,
    &icmp_admin_prohibited::CAUSE,
    &icmp_ttl_exceeded::CAUSE,
    &connect_stale_tuple::CAUSE,
    &listen_queue_overflow::CAUSE,
    &connect_half_open::CAUSE,
    &connect_timeout::CAUSE,
    &injected_reset::CAUSE,
    &idle_drop_middlebox::CAUSE,
    &path_mtu_blackhole::CAUSE,
    &loss_stall::CAUSE,
    &connect_reset_after_accept::CAUSE,
    &proxy_protocol_missing::CAUSE,
    &proxy_protocol_unexpected::CAUSE,
    &tls_on_http_port::CAUSE,
    &tls_version_mismatch::CAUSE,
    &tls_no_shared_cipher::CAUSE,
    &tls_sni_missing::CAUSE,
    &tls_sni_unrecognized::CAUSE,
    &tls_client_cert_required::CAUSE,
    &tls_client_cert_rejected::CAUSE,
    &alpn_mismatch::CAUSE,
    &tls_decrypt_error::CAUSE,
    &tls_alert_from_upstream::CAUSE,
    &tls_cert_expired::CAUSE,
    &tls_cert_not_yet_valid::CAUSE,
    &tls_cert_name_mismatch::CAUSE,
    &tls_untrusted_ca::CAUSE,
    &tls_cert_revoked::CAUSE,
    &tls_cert_rejected_unknown::CAUSE,
    &tls_closed_after_handshake::CAUSE,
    &tls_handshake_reset::CAUSE,
    &tls_handshake_closed::CAUSE,
    &tls_handshake_timeout::CAUSE,
    &http_on_tls_port::CAUSE,
    &unsolicited_response::CAUSE,
    &h2_on_h1_port::CAUSE,
    &h1_on_h2_port::CAUSE,
    &wrong_service::CAUSE,
    &http09_response::CAUSE,
    &malformed_status_line::CAUSE,
    &bad_interim_response::CAUSE,
    &stale_keepalive_reuse::CAUSE,
    &request_reset_mid_body::CAUSE,
    &reset_before_response::CAUSE,
    &closed_before_response::CAUSE,
    &reset_mid_head::CAUSE,
    &closed_mid_head::CAUSE,
    &too_many_headers::CAUSE,
    &header_too_large::CAUSE,
    &head_timeout::CAUSE,
    &request_write_timeout::CAUSE,
    &response_timeout::CAUSE,
    &early_response_abort::CAUSE,
    &bad_header::CAUSE,
    &conflicting_framing::CAUSE,
    &invalid_content_length::CAUSE,
    &unknown_transfer_coding::CAUSE,
    &unexpected_upgrade::CAUSE,
    &bad_chunking::CAUSE,
    &bad_content_coding::CAUSE,
    &reset_mid_response::CAUSE,
    &truncated_chunked::CAUSE,
    &truncated_body::CAUSE,
    &content_length_mismatch::CAUSE,
    &stall_mid_response::CAUSE,
    &upstream_returned_5xx::CAUSE,
    &dns_nxdomain::CAUSE,
    &dns_nodata::CAUSE,
    &dns_servfail::CAUSE,
    &dns_refused::CAUSE,
    &dns_timeout::CAUSE,
    &dns_stale_address::CAUSE,
    &neighbor_unresolved::CAUSE,
    &local_connect_error::CAUSE,
    &zero_window_stall::CAUSE,
    &no_upstream_attempt::CAUSE,
    &attempt_succeeded_but_error::CAUSE,
    &relayed_nested::CAUSE,
    &gateway_silent_close::CAUSE,
    &gateway_raw_passthrough::CAUSE,
    &gateway_truncated_relay::CAUSE,
    &client_aborted::CAUSE,
    &client_request_timeout::CAUSE,
    &client_bad_request::CAUSE,
    &upstream_leg_not_captured::CAUSE,
    &capture_gap::CAUSE,
    &encrypted_inconclusive::CAUSE,
    &ambiguous::CAUSE,
];

/// The cause with this code.
#[must_use]
pub fn by_code(code: &str) -> Option<&'static Cause> {
    CAUSES.iter().copied().find(|cause| cause.code == code)
}

/// The page that `gwcap --explain CODE` prints: plain text in 80 columns, ending with a line feed.
#[must_use]
pub fn manual_page(cause: &Cause) -> String {
    manual::page(cause)
}

/// The table of contents of the manual: one line a code, by family.
#[must_use]
pub fn index() -> String {
    manual::index(CAUSES)
}

/// The first cause that explains an attempt, in the order of precedence.
#[must_use]
pub fn examine(attempt: &Attempt<'_>) -> Option<(&'static Cause, Verdict)> {
    CAUSES.iter().find_map(|cause| match cause.examine {
        Examine::Attempt(examine) => {
            let verdict = examine(attempt)?;
            let verdict = origin::tell(attempt, cause.code, verdict);
            Some((*cause, path::contributed(attempt, cause.code, verdict)))
        }
        Examine::Whole => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::cause::model::Examine;
    use crate::diagnose::gateway::GATEWAYS;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_found() {
        let codes: HashSet<_> = CAUSES.iter().map(|cause| cause.code).collect();
        assert_eq!(codes.len(), CAUSES.len());
        assert_eq!(
            by_code("connect-refused").unwrap().title,
            "The upstream refused the connection"
        );
        assert!(by_code("connect_refused").is_none());
    }

    #[test]
    fn codes_that_judge_the_whole_follow_those_of_an_attempt() {
        let first_whole = CAUSES
            .iter()
            .position(|cause| matches!(cause.examine, Examine::Whole))
            .unwrap();
        assert!(
            CAUSES[first_whole..]
                .iter()
                .all(|cause| matches!(cause.examine, Examine::Whole))
        );
    }

    #[test]
    fn every_text_is_there_and_clean() {
        for cause in CAUSES {
            let lists = [
                (cause.is_not, 2..=5),
                (cause.root_causes, 3..=6),
                (cause.next_steps, 2..=5),
            ];
            for (list, size) in &lists {
                assert!(size.contains(&list.len()), "{}: {list:?}", cause.code);
            }
            let texts = [cause.title, cause.explanation, cause.signature]
                .into_iter()
                .chain(lists.iter().flat_map(|(list, _)| list.iter().copied()));
            for text in texts {
                assert!(text.len() > 15, "{}: {text:?}", cause.code);
                assert!(!text.contains("  "), "{}: {text:?}", cause.code);
                assert!(text.is_ascii(), "{}: {text:?}", cause.code);
                assert_eq!(text.matches('`').count() % 2, 0, "{text:?}");
            }
            assert!(!cause.title.ends_with('.'), "{}", cause.title);
            // Beside the longest code, the index leaves this much.
            assert!(cause.title.len() <= 49, "{}", cause.title);
            assert!(cause.explanation.ends_with('.'), "{}", cause.code);
        }
    }

    /// A neighbour is named by its code, so that the reader can ask for its page.
    #[test]
    fn neighbours_are_known_codes() {
        for cause in CAUSES {
            for text in cause.is_not {
                let Some((names, _)) = text.split_once(": ") else {
                    continue;
                };
                for word in names.split_whitespace().filter(|word| {
                    word.contains('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
                }) {
                    assert!(by_code(word).is_some(), "{}: {word}", cause.code);
                    assert_ne!(word, cause.code);
                }
            }
        }
    }

    #[test]
    fn gateways_speak_of_known_causes_only() {
        for product in GATEWAYS {
            for row in product.rows {
                assert!(
                    by_code(row.code).is_some(),
                    "{}: {}",
                    product.name,
                    row.code
                );
            }
        }
    }

    #[test]
    fn pages_wrap_at_80_columns() {
        for cause in CAUSES {
            let page = manual_page(cause);
            assert!(page.starts_with(cause.code));
            assert!(page.contains(cause.family.title()));
            for line in page.lines().chain(index().lines()) {
                assert!(line.chars().count() <= 80, "{}: {line:?}", cause.code);
                assert_eq!(line.trim_end(), line, "{}", cause.code);
            }
        }
    }

    #[test]
    fn the_index_has_one_line_for_each_code() {
        let index = index();
        for cause in CAUSES {
            let lines = index
                .lines()
                .filter(|line| line.trim_start().starts_with(&format!("{} ", cause.code)));
            assert_eq!(lines.count(), 1, "{}", cause.code);
        }
    }
}
