//! What gateways say on their own pages, beside what the wire shows: the product is named, its page speaks for the cause or
//! against it, and its status counts.
//!
//! The rule: these products were not run (clouds, and products without a package): their pages are written from their
//! documentation and from what users published. Recordings of the others are in `captures/`.

use Confidence::{Certain, Likely, Possible};
use gwcap::diagnose::finding::{Confidence, Finding};

use super::{GET, judged, only};
use crate::support::wire::{Leg, Listener, Opener, Wire};

/// A conversation with a signed error.
struct Signed {
    name: &'static str,
    code: &'static str,
    confidence: Confidence,
    product: &'static str,
    /// A clause among the reasons, or what gave the product away.
    says: &'static str,
    write: fn(&mut Wire),
}

/// The cases by code and name.
pub fn names() -> impl Iterator<Item = (&'static str, String)> {
    CASES.iter().map(|case| (case.code, case.name.to_owned()))
}

const APPLICATION_GATEWAY: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>Microsoft-Azure-Application-Gateway/v2</center>\r\n</body>\r\n</html>\r\n";
const IIS: &str = "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\">\r\n<html xmlns=\"http://www.w3.org/1999/xhtml\">\r\n<head>\r\n<title>502 - Web server received an invalid response while acting as a gateway or proxy server.</title>\r\n";
const ALB: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
const ALB_503: &str = "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n";
const CLOUDFRONT: &str = "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01 Transitional//EN\" \"http://www.w3.org/TR/html4/loose.dtd\">\n<HTML><HEAD><META HTTP-EQUIV=\"Content-Type\" CONTENT=\"text/html; charset=iso-8859-1\">\n<TITLE>ERROR: The request could not be satisfied</TITLE>\n</HEAD><BODY>\n<H1>502 ERROR</H1>\n<H2>The request could not be satisfied.</H2>\n<HR noshade size=\"1px\">\nCloudFront wasn't able to connect to the origin.\n";
const GOOGLE: &str = "\n<html><head>\n<meta http-equiv=\"content-type\" content=\"text/html;charset=utf-8\">\n<title>502 Server Error</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: Server Error</h1>\n<h2>The server encountered a temporary error and could not complete your request.<p>Please try again in 30 seconds.</h2>\n<h2></h2>\n</body></html>\n";
const FRONT_DOOR: &str = "<!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0 Transitional//EN' 'http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd'><html xmlns='http://www.w3.org/1999/xhtml'><head><meta content='text/html; charset=utf-8' http-equiv='content-type'/><style type='text/css'>body { font-family:Arial; margin-left:40px; }img  { border:0 none; }#content { margin-left: auto; margin-right: auto }#message h2 { font-size: 20px; font-weight: normal; color: #000000; margin: 34px 0px 0px 0px }#message p  { font-size: 13px; color: #000000; margin: 7px 0px 0px 0px }#errorref { font-size: 11px; color: #737373; margin-top: 41px }</style><title>Microsoft</title></head><body><div id='content'><div id='message'><h2>Our services aren't available right now</h2>";
const GURU: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<html>\n  <head>\n    <title>503 first byte timeout</title>\n  </head>\n  <body>\n    <h1>Error 503 first byte timeout</h1>\n    <h3>Guru Mediation:</h3>\n    <h3>Guru Meditation:</h3>\n";
const AKAMAI: &str = "<HTML><HEAD>\n<TITLE>Service Unavailable</TITLE>\n</HEAD><BODY>\nAn error occurred while processing your request.<p>\nReference&#32;&#35;30&#46;3598c0ba&#46;1521745157&#46;87201fff\n</BODY></HTML>\n";
const AKAMAI_504: &str = "<HTML><HEAD><TITLE>Gateway Timeout</TITLE></HEAD><BODY>\nThe proxy server did not receive a timely response from the upstream server.<P>\nReference&#32;&#35;1&#46;1faa9d50&#46;1386767216&#46;b7ccfbd\n</BODY></HTML>\n";
const API_HEADERS: &str = "Content-Type: application/json\r\nx-amzn-RequestId: 7977e648-d183-47c2-a416-6f04c23e8e5d\r\nx-amzn-ErrorType: InternalServerErrorException\r\nx-amz-apigw-id: IOIGVEoIrPEFfJg=\r\n";
const TOMCAT: &str = "<!doctype html><html lang=\"en\"><head><title>HTTP Status 503 \u{2013} Service Unavailable</title><style type=\"text/css\">body {font-family:Tahoma,Arial,sans-serif;}</style></head>";

/// A response with these headers.
fn error(line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {line}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// A client asks, and nobody listens upstream.
fn refused(wire: &mut Wire, error: &str) {
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, GET);
    let upstream = wire.syn("10.0.0.1:50000", "10.0.0.3:8080");
    wire.resets(upstream, Listener)
        .says(client, Listener, error);
}

/// A client asks, and the gateway sends `request` upstream.
fn asked(wire: &mut Wire, request: &str) -> (Leg, Leg) {
    let client = wire.connects("10.0.0.9:40000", "10.0.0.1:80");
    wire.says(client, Opener, GET);
    let upstream = wire.connects("10.0.0.1:50000", "10.0.0.3:8080");
    wire.says(upstream, Opener, request);
    (client, upstream)
}

/// The gateway waits so long, and leaves.
fn times_out(wire: &mut Wire, millis: i64, error: &str) {
    let (client, upstream) = asked(wire, GET);
    wire.waits_ms(millis)
        .closes(upstream, Opener)
        .says(client, Listener, error);
}

/// The upstream closes without an answer.
fn closed(wire: &mut Wire, request: &str, error: &str) {
    let (client, upstream) = asked(wire, request);
    wire.closes(upstream, Listener)
        .says(client, Listener, error);
}

const CASES: &[Signed] = &[
    Signed {
        name: "API Gateway's integration timeout",
        code: "response-timeout",
        confidence: Certain,
        product: "AWS API Gateway",
        says: "agrees: it says a timer ran out",
        write: |wire| {
            let body = "{\"message\": \"Endpoint request timed out\"}";
            times_out(
                wire,
                29_000,
                &error("504 Gateway Timeout", API_HEADERS, body),
            );
        },
    },
    Signed {
        name: "API Gateway's network error, of a close",
        code: "closed-before-response",
        confidence: Certain,
        product: "AWS API Gateway",
        says: "agrees: it says the upstream's connection failed or ended",
        write: |wire| {
            let body = "{\"message\": \"Network error communicating with endpoint\"}";
            closed(wire, GET, &error("504 Gateway Timeout", API_HEADERS, body));
        },
    },
    Signed {
        name: "an HTTP API",
        code: "connect-refused",
        confidence: Certain,
        product: "AWS API Gateway",
        says: "header apigw-requestid",
        write: |wire| {
            let headers = "Content-Type: application/json\r\napigw-requestid: AbCdEfGhIjKlMnO=\r\n";
            let body = "{\"message\":\"Service Unavailable\"}";
            refused(wire, &error("503 Service Unavailable", headers, body));
        },
    },
    Signed {
        name: "Akamai's read timeout",
        code: "response-timeout",
        confidence: Certain,
        product: "Akamai",
        says: "agrees: it says a timer ran out",
        write: |wire| {
            let headers = "Server: AkamaiGHost\r\nMime-Version: 1.0\r\nContent-Type: text/html\r\n";
            times_out(
                wire,
                120_000,
                &error("504 Gateway Time-out", headers, AKAMAI_504),
            );
        },
    },
    Signed {
        name: "Akamai's handshake failure, where a connection was refused",
        code: "connect-refused",
        confidence: Likely,
        product: "Akamai",
        says: "page says the TLS handshake failed",
        write: |wire| {
            let headers = "Server: AkamaiGHost\r\nMime-Version: 1.0\r\nContent-Type: text/html\r\n";
            refused(wire, &error("503 Service Unavailable", headers, AKAMAI));
        },
    },
    Signed {
        name: "IIS with ARR",
        code: "connect-refused",
        confidence: Certain,
        product: "IIS ARR",
        says: "body: IIS's page of a gateway",
        write: |wire| {
            let headers = "Content-Type: text/html\r\nServer: Microsoft-IIS/10.0\r\nX-Powered-By: ARR/3.0\r\n";
            refused(wire, &error("502 Bad Gateway", headers, IIS));
        },
    },
    Signed {
        name: "Application Gateway v1, by IIS's page and its request",
        code: "closed-before-response",
        confidence: Certain,
        product: "Azure Application Gateway",
        says: "its request upstream: request carries X-AppGW-Trace-Id",
        write: |wire| {
            let request = "GET /cart HTTP/1.1\r\nHost: shop.example\r\nX-Original-Host: shop.example\r\nX-AppGW-Trace-Id: 0af7\r\n\r\n";
            let headers = "Content-Type: text/html\r\nServer: Microsoft-IIS/10.0\r\n";
            closed(wire, request, &error("502 Bad Gateway", headers, IIS));
        },
    },
    Signed {
        name: "Application Gateway v2",
        code: "connect-refused",
        confidence: Certain,
        product: "Azure Application Gateway",
        says: "Server: Microsoft-Azure-Application-Gateway/v2",
        write: |wire| {
            let headers =
                "Server: Microsoft-Azure-Application-Gateway/v2\r\nContent-Type: text/html\r\n";
            refused(
                wire,
                &error("502 Bad Gateway", headers, APPLICATION_GATEWAY),
            );
        },
    },
    Signed {
        name: "Front Door's origin timeout",
        code: "response-timeout",
        confidence: Certain,
        product: "Azure Front Door",
        says: "body: Front Door error page",
        write: |wire| {
            let headers = "Content-Type: text/html\r\nX-Azure-Ref: 0ZlSTYwAAAAAVbBAd\r\n";
            times_out(
                wire,
                30_000,
                &error("504 Gateway Timeout", headers, FRONT_DOOR),
            );
        },
    },
    Signed {
        name: "Fastly's first byte timeout",
        code: "response-timeout",
        confidence: Certain,
        product: "Fastly",
        says: "error page says the same",
        write: |wire| {
            let headers =
                "Retry-After: 0\r\nVia: 1.1 varnish\r\nX-Served-By: cache-fra1234-FRA\r\n";
            times_out(
                wire,
                15_000,
                &error("503 first byte timeout", headers, GURU),
            );
        },
    },
    Signed {
        name: "Cloudflare's 521",
        code: "connect-refused",
        confidence: Certain,
        product: "Cloudflare",
        says: "error page says the same",
        write: |wire| {
            let headers = "Server: cloudflare\r\nCF-RAY: 8f1e-FRA\r\nContent-Type: text/plain\r\n";
            refused(wire, &error("521 <none>", headers, "error code: 521"));
        },
    },
    Signed {
        name: "Cloudflare's 525, where a connection was refused",
        code: "connect-refused",
        confidence: Possible,
        product: "Cloudflare",
        says: "page says the TLS handshake failed",
        write: |wire| {
            let headers = "Server: cloudflare\r\nCF-RAY: 8f1e-FRA\r\nContent-Type: text/plain\r\n";
            refused(wire, &error("525 <none>", headers, "error code: 525"));
        },
    },
    Signed {
        name: "CloudFront's sentence",
        code: "connect-refused",
        confidence: Certain,
        product: "CloudFront",
        says: "agrees: it says the upstream's connection failed or ended",
        write: |wire| {
            let headers = "Server: CloudFront\r\nX-Cache: Error from cloudfront\r\nVia: 1.1 f319e896.cloudfront.net (CloudFront)\r\nX-Amz-Cf-Id: H_HG==\r\n";
            refused(wire, &error("502 Bad Gateway", headers, CLOUDFRONT));
        },
    },
    Signed {
        name: "Google's page",
        code: "closed-before-response",
        confidence: Certain,
        product: "Google Cloud load balancer",
        says: "body: Google error page",
        write: |wire| {
            let headers =
                "Content-Type: text/html; charset=UTF-8\r\nReferrer-Policy: no-referrer\r\n";
            closed(wire, GET, &error("502 Bad Gateway", headers, GOOGLE));
        },
    },
    Signed {
        name: "a balancer of AWS",
        code: "closed-before-response",
        confidence: Certain,
        product: "AWS ALB",
        says: "Server: awselb/2.0",
        write: |wire| {
            let headers = "Server: awselb/2.0\r\nContent-Type: text/html\r\n";
            closed(wire, GET, &error("502 Bad Gateway", headers, ALB));
        },
    },
    Signed {
        name: "a status that a balancer of AWS does not give to a refusal",
        code: "connect-refused",
        confidence: Possible,
        product: "AWS ALB",
        says: "does not usually answer this cause with this status",
        write: |wire| {
            let headers = "Server: awselb/2.0\r\nContent-Type: text/html\r\n";
            refused(
                wire,
                &error("503 Service Temporarily Unavailable", headers, ALB_503),
            );
        },
    },
    Signed {
        name: "Traefik's bare text",
        code: "connect-refused",
        confidence: Certain,
        product: "Traefik",
        says: "bare status text",
        write: |wire| {
            let headers = "Content-Type: text/plain; charset=utf-8\r\n";
            refused(wire, &error("502 Bad Gateway", headers, "Bad Gateway"));
        },
    },
    Signed {
        name: "Kong's message of a timeout",
        code: "response-timeout",
        confidence: Certain,
        product: "Kong",
        says: "agrees: it says a timer ran out",
        write: |wire| {
            let headers = "Content-Type: application/json; charset=utf-8\r\nServer: kong/3.4.2\r\nX-Kong-Request-Id: 00ff\r\n";
            let body = "{\n  \"message\":\"The upstream server is timing out\",\n  \"request_id\":\"00ff\"\n}";
            times_out(wire, 60_000, &error("504 Gateway Timeout", headers, body));
        },
    },
    Signed {
        name: "an unknown gateway with Proxy-Status",
        code: "connect-refused",
        confidence: Certain,
        product: "a gateway with Proxy-Status",
        says: "error page says the same",
        write: |wire| {
            let headers = "Proxy-Status: edge.example; error=connection_refused\r\n";
            refused(wire, &error("502 Bad Gateway", headers, ""));
        },
    },
    Signed {
        name: "Proxy-Status that tells of a name, where a connection was refused",
        code: "connect-refused",
        confidence: Likely,
        product: "a gateway with Proxy-Status",
        says: "page says dns-servfail",
        write: |wire| {
            let headers = "Proxy-Status: edge.example; error=dns_error; rcode=\"SERVFAIL\"\r\n";
            refused(wire, &error("502 Bad Gateway", headers, ""));
        },
    },
    Signed {
        name: "Istio",
        code: "connect-refused",
        confidence: Certain,
        product: "Envoy",
        says: "Server: istio-envoy",
        write: |wire| {
            let headers = "content-type: text/plain\r\nserver: istio-envoy\r\n";
            let body = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: delayed connect error: 111";
            refused(wire, &error("503 Service Unavailable", headers, body));
        },
    },
    Signed {
        name: "Envoy's protocol error, where a connection was closed",
        code: "closed-before-response",
        confidence: Possible,
        product: "Envoy",
        says: "page says the upstream's answer was not valid",
        write: |wire| {
            let headers = "content-type: text/plain\r\nserver: envoy\r\n";
            let body = "upstream connect error or disconnect/reset before headers. reset reason: protocol error";
            closed(wire, GET, &error("502 Bad Gateway", headers, body));
        },
    },
    Signed {
        name: "Tengine",
        code: "closed-before-response",
        confidence: Certain,
        product: "nginx",
        says: "Server: Tengine/2.4.1",
        write: |wire| {
            let headers = "Server: Tengine/2.4.1\r\nContent-Type: text/html\r\n";
            let body = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>Tengine/2.4.1</center>\r\n</body>\r\n</html>\r\n";
            closed(wire, GET, &error("502 Bad Gateway", headers, body));
        },
    },
    Signed {
        name: "a page of one's own, and nginx's request",
        code: "closed-before-response",
        confidence: Certain,
        product: "nginx",
        says: "its request upstream: request in HTTP/1.0",
        write: |wire| {
            let request = "GET /cart HTTP/1.0\r\nHost: backend\r\nConnection: close\r\n\r\n";
            closed(
                wire,
                request,
                &error("502 Bad Gateway", "", "<h1>Oops</h1>"),
            );
        },
    },
];

fn told(finding: &Finding) -> Vec<&String> {
    let names = finding.gateway.identified_by.iter();
    finding.confidence_reasons.iter().chain(names).collect()
}

#[test]
fn every_product_is_named_and_its_page_heard() {
    let mut wrong = Vec::new();
    for case in CASES {
        let analysis = judged(case.write);
        let [finding] = analysis.diagnosis.findings.as_slice() else {
            wrong.push(format!("{}: {:#?}", case.name, analysis.diagnosis.findings));
            continue;
        };
        let found = (finding.code, finding.confidence, finding.gateway.product);
        let said = told(finding)
            .iter()
            .any(|clause| clause.contains(case.says));
        if found != (case.code, case.confidence, Some(case.product)) || !said {
            wrong.push(format!("{}: {found:?} {:#?}", case.name, told(finding)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A gateway passes its upstream's page on: who wrote it is told, and makes nobody a gateway.
#[test]
fn an_application_server_is_the_author() {
    for (line, headers, body, author) in [
        ("503 Service Unavailable", "", TOMCAT, "Tomcat wrote"),
        (
            "502 Bad Gateway",
            "Server: gunicorn\r\n",
            "no backend",
            "gunicorn wrote",
        ),
    ] {
        let analysis = judged(|wire| {
            let (client, upstream) = asked(wire, GET);
            let answer = error(line, headers, body);
            wire.says(upstream, Listener, &answer)
                .says(client, Listener, &answer);
        });
        let finding = only(&analysis);
        assert_eq!(finding.code, "upstream-returned-5xx");
        let reasons = &finding.confidence_reasons;
        assert!(
            reasons.iter().any(|reason| reason.contains(author)),
            "{reasons:#?}"
        );
        assert_eq!(finding.gateway.product, None);
        // Without a gateway it is an application's error, and no finding.
        let alone = judged(|wire| {
            let client = wire.connects("10.0.0.9:40000", "10.0.0.3:8080");
            wire.says(client, Opener, GET).says(
                client,
                Listener,
                error("503 Service Unavailable", headers, body),
            );
        });
        assert_eq!(alone.diagnosis.findings, []);
        assert_eq!(alone.diagnosis.health.application_errors, 1);
    }
}

/// An application on IIS is no gateway, and neither is another service of AWS.
#[test]
fn a_name_alone_makes_no_gateway() {
    for (headers, body) in [
        (
            "Server: Microsoft-IIS/10.0\r\n",
            "<h2>Service Unavailable</h2>",
        ),
        (
            "x-amzn-RequestId: 7977e648\r\nx-amzn-ErrorType: Busy\r\n",
            "{\"message\": \"no\"}",
        ),
    ] {
        let analysis = judged(|wire| {
            let client = wire.connects("10.0.0.9:40000", "10.0.0.3:80");
            wire.says(client, Opener, GET).says(
                client,
                Listener,
                error("503 Service Unavailable", headers, body),
            );
        });
        assert_eq!(analysis.diagnosis.findings, []);
    }
}
