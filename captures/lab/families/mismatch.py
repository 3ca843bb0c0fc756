"""The port of the upstream speaks another protocol than the gateway does."""

from families import Case, one_by_one, served_by
from faults import always, in_order
from gateways import Route

SERVICES = {
    "ssh": "an SSH server, which sends its banner first",
    "smtp": "a mail server, which greets with 220",
    "mysql": "a MySQL server, which sends its greeting first",
    "redis": "a Redis server, which answers each line with an error",
}
SPEAKS = {"nginx": ["ssh", "redis"], "haproxy": ["smtp", "mysql"], "envoy": ["mysql", "redis"], "apache": ["mysql"], "caddy": ["redis"],
          "varnish": ["ssh"], "lighttpd": ["smtp"], "ats": ["mysql"]}
CLOSED = ["closed-before-response"]


def _greeted(service):
    return lambda lab: lab.greeter(service)


def _cases():
    for number, (gateway, services) in enumerate(SPEAKS.items()):
        for place, service in enumerate(services):
            yield Case(f"{gateway}-wrong-service-{service}", f"On the upstream's port listens {SERVICES[service]}.", _greeted(service),
                       one_by_one("GET", "GET", patience=1.5, keep=gateway != "haproxy"), on="eth0" if (number + place) % 3 == 1 else "any",
                       accept=["malformed-status-line"])
    for number, gateway in enumerate(["nginx", "haproxy", "envoy", "apache", "caddy", "ats"]):
        yield Case(f"{gateway}-h1-on-h2-port", "The upstream speaks only HTTP/2: SETTINGS when the connection comes, GOAWAY to a request "
                   "of HTTP/1.1.", _greeted("http2"), one_by_one("GET", patience=1.5), on="eth0" if number % 3 == 0 else "any",
                   accept=["malformed-status-line"])
    for number, gateway in enumerate(["haproxy", "envoy"]):
        yield Case(f"{gateway}-h2-on-h1-port", "The gateway speaks HTTP/2 to an upstream that does not know it and answers `HTTP/1.1 400`.",
                   served_by(always("http1-says-400")), one_by_one("GET", keep=False), Route(variant="http2-upstream"),
                   on="any" if number % 2 else "eth0")
    for gateway in ("nginx", "haproxy", "apache", "caddy"):
        yield Case(f"{gateway}-proxy-protocol-missing", "The upstream wants a PROXY line first, gets a request, and closes. No packet tells why: "
                   "an observer may as well say closed-before-response.", served_by(always("wants-a-proxy-line")),
                   one_by_one("GET", "GET", keep=False), accept=CLOSED, clear_two_leg=False)
    yield Case("nginx-proxy-protocol-missing-reset", "The upstream wants a PROXY line first, gets a request, and resets.",
               served_by(always("wants-a-proxy-line-reset")), one_by_one("GET"), accept=["reset-before-response"], clear_two_leg=False)
    for number, gateway in enumerate(["haproxy", "envoy", "varnish"]):
        yield Case(f"{gateway}-proxy-protocol-unexpected", "The gateway sends a PROXY line; the upstream, a plain HTTP server, closes.",
                   served_by(always("http1-closes")), one_by_one("GET", keep=False), Route(variant="proxy-line"),
                   on="any" if number % 2 else "eth0", accept=CLOSED)
    yield Case("haproxy-healthy-proxy-protocol-400", "HAProxy sends a PROXY line; the upstream, a plain HTTP server, answers 400, which is passed "
               "on: no error of the gateway.", served_by(in_order("http1-says-400")), one_by_one("GET"), Route(variant="proxy-line"),
               healthy=True)


def _wants_a_proxy_line(lab):
    lab.expecting(always("ok"))


def _with_and_without(lab):
    for target in ("/shop", "/plain/1", "/shop", "/plain/2"):
        visitor = lab.visitor()
        visitor.ask(target=target, keep=False)


CASES = [
    Case("haproxy-proxy-protocol-missing-on-one", "HAProxy sends a PROXY line to the upstream, which wants one, but not with requests for "
         "/plain: these connections the upstream closes.", _wants_a_proxy_line, _with_and_without, Route(variant="proxy-line-on-most"),
         accept=CLOSED, clear_two_leg=False),
    *_cases(),
    Case("nginx-raw-passthrough-alone", "An SSH server listens on the upstream's port, and nginx passes its bytes on; but the capture's filter "
         "shows the client's side only.", _greeted("ssh"), one_by_one("GET", patience=1.5), only="port 80", clear_two_leg=False, partial=True, hidden=True,
         cause="gateway-raw-passthrough", accept=["upstream-leg-not-captured"]),
]
