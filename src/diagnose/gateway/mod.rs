//! The gateway products. In: heads, pages and waits. Out: which product it is, and what is known of it.
//!
//! Growth: a file `gateway/x.rs` and a row in `GATEWAYS`; of a server that stands behind gateways, in `ORIGIN_SERVERS`.

pub mod product;

mod akamai;
mod apache;
mod api_gateway;
mod awselb;
mod azure_application_gateway;
mod azure_front_door;
mod caddy;
mod cloudflare;
mod cloudfront;
mod clue;
mod envoy;
mod fastly;
#[cfg(test)]
mod fixture;
mod google;
mod gunicorn;
mod haproxy;
mod iis;
mod kong;
mod lighttpd;
mod nginx;
mod proxy_status;
mod squid;
mod tomcat;
mod traefik;
mod traffic_server;
mod varnish;

use crate::protocol::observation::{RequestHead, ResponseHead};
use product::{OriginServer, Product, Recognised, Timer, Wait};

/// All products that are known, in the order of the manual.
pub const GATEWAYS: &[&Product] = &[
    &nginx::PRODUCT,
    &haproxy::PRODUCT,
    &envoy::PRODUCT,
    &apache::PRODUCT,
    &caddy::PRODUCT,
    &traefik::PRODUCT,
    &varnish::PRODUCT,
    &fastly::PRODUCT,
    &squid::PRODUCT,
    &traffic_server::PRODUCT,
    &lighttpd::PRODUCT,
    &kong::PRODUCT,
    &awselb::PRODUCT,
    &api_gateway::PRODUCT,
    &cloudfront::PRODUCT,
    &azure_application_gateway::PRODUCT,
    &azure_front_door::PRODUCT,
    &cloudflare::PRODUCT,
    &google::PRODUCT,
    &akamai::PRODUCT,
    &iis::PRODUCT,
    // Whom nothing else names.
    &proxy_status::PRODUCT,
];

/// Servers behind gateways whose pages are known, in the order of the manual.
pub const ORIGIN_SERVERS: &[&OriginServer] = &[&tomcat::SERVER, &gunicorn::SERVER];

/// Shortest timer that a wait is compared with, milliseconds: below it, round trips and scheduling are as
/// large as the timer.
const TIMER_MIN_MILLIS: u32 = 1_000;

/// Least tolerance of a comparison with a timer, milliseconds: the tick of the coarser timer wheels.
const TOLERANCE_MIN_MILLIS: f64 = 50.0;

/// The product that sent this response, and what gave it away. `body` is the first bytes of the body.
///
/// Where several fit, the one that Server names is the gateway, because outer hops overwrite that header
/// and leave the page: a page of another product then came from behind it.
#[must_use]
pub fn recognise(head: &ResponseHead, body: &[u8]) -> Option<(&'static Product, Recognised)> {
    let mut best: Option<(&'static Product, Recognised)> = None;
    let rank = |found: &Recognised| (found.named_by_server, found.own_page);
    for product in GATEWAYS {
        // Whoever has a name is the gateway; what it says in Proxy-Status is read below.
        let nameless = **product == proxy_status::PRODUCT;
        if let Some(found) = (product.recognise)(head, body)
            && best
                .as_ref()
                .is_none_or(|(_, so_far)| !nameless && rank(&found) > rank(so_far))
        {
            best = Some((product, found));
        }
    }
    if let Some((_, found)) = &mut best {
        proxy_status::read(head, found);
    }
    best
}

/// The server behind gateways that wrote this response, and what gave it away.
#[must_use]
pub fn recognise_origin(
    head: &ResponseHead,
    body: &[u8],
) -> Option<(&'static OriginServer, Recognised)> {
    ORIGIN_SERVERS
        .iter()
        .find_map(|server| (server.recognise)(head, body).map(|found| (*server, found)))
}

/// The product whose requests to upstreams have this shape, and the clause that says why. Weak evidence.
#[must_use]
pub fn recognise_request(head: &RequestHead) -> Option<(&'static Product, &'static str)> {
    GATEWAYS
        .iter()
        .find_map(|product| (product.recognise_request)(head).map(|clause| (*product, clause)))
}

/// Whether `product` is built on `known` and writes its pages, so that only requests tell the two apart: Application
/// Gateway v1 is IIS.
#[must_use]
pub fn writes_the_page_of(product: &Product, known: &Product) -> bool {
    *product == azure_application_gateway::PRODUCT && *known == iis::PRODUCT
}

/// The product of this name, in any case.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Product> {
    GATEWAYS
        .iter()
        .copied()
        .find(|product| product.name.eq_ignore_ascii_case(name))
}

/// Whether `status` is what `product` answers on the cause `code`; `None` when nothing is known of it. A
/// `status` of `None` is a close without one, or bytes without a head.
#[must_use]
pub fn status_fits(product: &Product, code: &str, status: Option<u16>) -> Option<bool> {
    let row = product.rows.iter().find(|row| row.code == code)?;
    if row.statuses.is_empty() {
        return None;
    }
    let status = status.unwrap_or(0);
    // 200 stands for whatever the upstream had said before the fault.
    let relayed = (200..400).contains(&status) && row.statuses.contains(&200);
    Some(relayed || row.statuses.contains(&status))
}

/// The default timers that a wait of `millis` milliseconds equals, within 50 ms or 1 %, whichever is more, and later by
/// the product's tick: those of `product`, or of all products where it is not known.
#[must_use]
pub fn timer_that_equals(
    product: Option<&Product>,
    wait: Wait,
    millis: f64,
) -> Vec<(&'static Product, &'static Timer)> {
    GATEWAYS
        .iter()
        .filter(|candidate| product.is_none_or(|product| product.name == candidate.name))
        .flat_map(|candidate| candidate.timers.iter().map(|timer| (*candidate, timer)))
        .filter(|(_, timer)| timer.wait == wait && equals(timer, millis))
        .collect()
}

fn equals(timer: &Timer, millis: f64) -> bool {
    let expected = f64::from(timer.millis);
    let tolerance = (expected * 0.01).max(TOLERANCE_MIN_MILLIS);
    let latest = expected + tolerance + f64::from(timer.tick_millis);
    timer.millis >= TIMER_MIN_MILLIS && (expected - tolerance..=latest).contains(&millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fixture::{request, response};
    use product::Source;
    use std::collections::HashSet;

    fn name(head: &'static str, body: &[u8]) -> Option<(&'static str, bool)> {
        recognise(&response(head), body).map(|(product, found)| (product.name, found.own_page))
    }

    const NGINX_PAGE: &[u8] =
        b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
        <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n";
    const HAPROXY_PAGE: &[u8] = b"<html><body><h1>502 Bad Gateway</h1>\n\
        The server returned an invalid or incomplete response.\n</body></html>\n";

    /// A row tells at least one thing, or it is left out.
    #[test]
    fn rows_say_something() {
        for product in GATEWAYS {
            for row in product.rows {
                assert!(
                    !row.statuses.is_empty() || !row.log.is_empty(),
                    "{}: {}",
                    product.name,
                    row.code
                );
            }
        }
    }

    #[test]
    fn names_and_row_codes_are_unique() {
        let names: HashSet<_> = GATEWAYS.iter().map(|product| product.name).collect();
        assert_eq!(names.len(), GATEWAYS.len());
        for product in GATEWAYS {
            let codes: HashSet<_> = product.rows.iter().map(|row| row.code).collect();
            assert_eq!(codes.len(), product.rows.len(), "{}", product.name);
            assert!(!product.advice.is_empty(), "{}", product.name);
            for text in product.advice.iter().map(|(_, text)| text) {
                assert!(text.ends_with('.') && text.is_ascii(), "{text}");
                assert_eq!(text.matches('`').count() % 2, 0, "{text}");
            }
        }
        assert_eq!(by_name("haproxy").unwrap().name, "HAProxy");
        assert!(by_name("gunicorn").is_none());
    }

    #[test]
    fn a_product_with_a_name_goes_before_proxy_status() {
        let named = "HTTP/1.1 503 Service Unavailable\r\nX-Azure-Ref: 0abc\r\n\
            Proxy-Status: x; error=connection_refused\r\n\r\n";
        let (product, found) = recognise(&response(named), b"").unwrap();
        assert_eq!(product.name, "Azure Front Door");
        assert_eq!(found.page_cause, Some("connect-refused"));
        let bare = "HTTP/1.1 502 Bad Gateway\r\nProxy-Status: x; error=dns_error\r\n\r\n";
        assert_eq!(name(bare, b""), Some(("a gateway with Proxy-Status", true)));
    }

    #[test]
    fn the_server_header_says_who_passed_a_page_on() {
        let nginx = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\n\r\n";
        assert_eq!(name(nginx, NGINX_PAGE), Some(("nginx", true)));
        assert_eq!(name(nginx, HAPROXY_PAGE), Some(("nginx", false)));
        let envoy = "HTTP/1.1 502 Bad Gateway\r\nserver: envoy\r\n\r\n";
        assert_eq!(name(envoy, NGINX_PAGE), Some(("Envoy", false)));
        let bare = "HTTP/1.1 502 Bad Gateway\r\n\r\n";
        assert_eq!(name(bare, HAPROXY_PAGE), Some(("HAProxy", true)));
        assert_eq!(name(bare, b"<html>oops</html>"), None);
        let renamed = "HTTP/1.1 502 Bad Gateway\r\nServer: Acme\r\n\r\n";
        assert_eq!(name(renamed, NGINX_PAGE), Some(("nginx", true)));
    }

    #[test]
    fn a_server_header_alone_is_no_page() {
        let answer = |server: &str| {
            let head = format!("HTTP/1.1 503 Service Unavailable\r\nServer: {server}\r\n\r\n");
            recognise(&response(Box::leak(head.into_boxed_str())), b"")
        };
        let (product, found) = answer("Apache/2.4.71 (Debian)").unwrap();
        assert_eq!(product.name, "Apache httpd");
        assert_eq!(found.version.as_deref(), Some("2.4.71"));
        assert!(!found.own_page);
        assert!(answer("Caddy").is_some_and(|(_, found)| !found.own_page));
        assert!(answer("gunicorn").is_none() && answer("Microsoft-IIS/10.0").is_none());
    }

    /// What was recorded from a product stands in `captures/`; what was not says so.
    #[test]
    fn a_product_that_was_not_run_says_so() {
        let recorded = GATEWAYS
            .iter()
            .filter(|product| product.source == Source::Recorded)
            .count();
        assert_eq!(recorded, 9);
        assert_eq!(by_name("Akamai").unwrap().source, Source::Documented);
        assert_eq!(by_name("lighttpd").unwrap().source, Source::Recorded);
    }

    #[test]
    fn requests_are_recognised() {
        let apache = request(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: a\r\n\
             X-Forwarded-Server: b\r\nConnection: Keep-Alive\r\n\r\n",
        );
        assert_eq!(recognise_request(&apache).unwrap().0.name, "Apache httpd");
        let curl = request("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/7.88.1\r\n\r\n");
        assert!(recognise_request(&curl).is_none());
    }

    #[test]
    fn statuses_fit_by_product() {
        let fits = |product, code, status| status_fits(by_name(product).unwrap(), code, status);
        assert_eq!(fits("nginx", "connect-refused", Some(502)), Some(true));
        assert_eq!(fits("nginx", "connect-refused", Some(503)), Some(false));
        assert_eq!(fits("HAProxy", "connect-refused", Some(503)), Some(true));
        assert_eq!(
            fits("Apache httpd", "response-timeout", Some(502)),
            Some(true)
        );
        assert_eq!(fits("Varnish", "response-timeout", Some(504)), Some(false));
        assert_eq!(fits("HAProxy", "stale-keepalive-reuse", None), Some(true));
        assert_eq!(fits("nginx", "stale-keepalive-reuse", None), Some(false));
        assert_eq!(fits("nginx", "truncated-body", Some(206)), Some(true));
        assert_eq!(fits("nginx", "upstream-returned-5xx", Some(502)), None);
        assert_eq!(fits("nginx", "ambiguous", Some(502)), None);
    }

    #[test]
    fn timers_equal_within_tolerance() {
        let of = |product, wait, millis| -> Vec<_> {
            timer_that_equals(by_name(product), wait, millis)
                .into_iter()
                .map(|(product, timer)| (product.name, timer.name))
                .collect()
        };
        let read = vec![("nginx", "proxy_read_timeout")];
        assert_eq!(of("nginx", Wait::Response, 60_061.0), read);
        assert_eq!(of("nginx", Wait::Response, 59_400.0), read);
        assert!(of("nginx", Wait::Response, 60_601.0).is_empty());
        assert!(of("nginx", Wait::Response, 30_000.0).is_empty());
        assert_eq!(
            of("Caddy", Wait::Connect, 3_050.0),
            [("Caddy", "dial_timeout")]
        );
        assert!(of("Caddy", Wait::Connect, 3_051.0).is_empty());
        assert!(of("nginx", Wait::Response, f64::NAN).is_empty());
        let all = timer_that_equals(None, Wait::Response, 15_004.0);
        let names: Vec<_> = all.iter().map(|(product, _)| product.name).collect();
        assert_eq!(names, ["Envoy", "Fastly"]);
    }

    /// No bytes of a body make recognition fail, whatever they are.
    #[test]
    fn hostile_bodies_are_only_not_recognised() {
        let heads = [
            "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/\r\nVia: (,/;)\r\nX-Squid-Error:\r\n\r\n",
            "HTTP/1.1 999 \r\nServer: /\r\nContent-Type: text/plain\r\n\r\n",
        ];
        for head in heads {
            for body in [
                &b"<hr><center>"[..],
                b"<hr><center>\xff</center>",
                b"\xff\xfe",
                b"",
            ] {
                let _ = recognise(&response(head), body);
            }
        }
    }
}
