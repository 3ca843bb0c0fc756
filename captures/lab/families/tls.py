"""The upstream is spoken to in TLS, or should have been."""

import threading

import certificates
from families import Case, FIRST_FOUR, one_by_one
from faults import always, in_order
from gateways import Route

PORT, SECURE = 8443, Route(upstreams=["10.77.0.3:8443"], tls=True)
PLAIN_TO_TLS = Route(upstreams=["10.77.0.3:8443"])

HANDSHAKES = {
    "tls-alert": ("tls-alert-40", "The upstream answers the ClientHello with the fatal alert handshake_failure."),
    "tls-handshake-closed": ("tls-close", "The upstream reads the ClientHello and closes by FIN."),
    "tls-handshake-reset": ("tls-reset", "The upstream reads the ClientHello and resets."),
    "tls-handshake-timeout": ("tls-hang", "The upstream reads the ClientHello and stays silent."),
    "tls-on-http-port": ("tls-answer-400", "The port speaks plain HTTP: the ClientHello is answered by `HTTP/1.1 400`."),
}


def _hello(fault):
    return lambda lab: lab.mute(fault, port=PORT)


def _cases():
    for number, (name, (fault, about)) in enumerate(HANDSHAKES.items()):
        for gateway in FIRST_FOUR:
            yield Case(f"{gateway}-{name}", about, _hello(fault), one_by_one("GET", keep=number % 2 == 0), SECURE,
                       alert="handshake_failure", on="eth0" if number == 1 else "any", classic=number == 4)


def _encrypted(plan):
    return lambda lab: lab.upstream(plan, port=PORT, wrap=certificates.server(lab.work))


def _plain_request_to_tls(lab):
    lab.mute("plain-to-tls-alert", port=PORT)


def _two_at_once(lab):
    """Two clients in the same instant, each over an encrypted connection of its own."""
    start = threading.Barrier(2)

    def visit():
        visitor = lab.visitor()
        start.wait(5)
        visitor.ask()
        visitor.close()

    threads = [threading.Thread(target=visit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


CASES = [
    *_cases(),
    Case("nginx-tls-alert-internal-error", "The upstream answers the ClientHello with the fatal alert internal_error.",
         _hello("tls-alert-80"), one_by_one("GET"), SECURE, alert="internal_error"),
    Case("nginx-http-on-tls-port", "nginx speaks plain HTTP to a TLS port; the alert that comes back goes to the client as raw bytes.",
         _plain_request_to_tls, one_by_one("GET", keep=False), PLAIN_TO_TLS),
    Case("haproxy-http-on-tls-port", "HAProxy speaks plain HTTP to a TLS port, which answers with an alert.",
         _plain_request_to_tls, one_by_one("GET"), PLAIN_TO_TLS),
    Case("envoy-http-on-tls-port", "Envoy speaks plain HTTP to a TLS port, which answers with an alert.",
         _plain_request_to_tls, one_by_one("GET"), PLAIN_TO_TLS),
    Case("haproxy-http-on-tls-port-closed", "HAProxy speaks plain HTTP to a TLS port, which just closes. Only the port's number tells: an "
         "observer may as well say closed-before-response.",
         lambda lab: lab.mute("plain-to-tls-close", port=PORT), one_by_one("GET"), PLAIN_TO_TLS, accept=["closed-before-response"],
         clear_two_leg=False),
    Case("nginx-encrypted-malformed", "The upstream's answer inside TLS is no HTTP. Without the keys nobody can see that.",
         _encrypted(in_order("ok", "space-in-name")), one_by_one("GET", "GET"), SECURE, clear_two_leg=False,
         cause="encrypted-inconclusive"),
    Case("haproxy-encrypted-header-too-large", "The upstream's head inside TLS is too large. Without the keys nobody can see that.",
         _encrypted(in_order("ok", "huge-head")), one_by_one("GET", "GET"), SECURE, clear_two_leg=False, cause="encrypted-inconclusive"),
    Case("envoy-encrypted-upstream-503", "The upstream itself answers 503 inside TLS.",
         _encrypted(in_order("ok", "status:503")), one_by_one("GET", "GET"), SECURE, clear_two_leg=False, cause="encrypted-inconclusive"),
    Case("nginx-encrypted-response-timeout", "One answer inside TLS succeeds, then the upstream stays silent: visible without keys.",
         _encrypted(in_order("ok", "hang")), one_by_one("GET", "GET"), SECURE, clear_two_leg=False),
    Case("envoy-encrypted-reset", "The upstream resets after the request inside TLS: visible without keys.",
         _encrypted(always("reset")), one_by_one("GET"), SECURE, clear_two_leg=False),
    *[Case(f"{gateway}-encrypted-ambiguous", "Two clients ask in the same instant; both requests travel inside TLS, and one connection is "
           "closed while the other is reset, also in the same instant. The log knows which client met which end; no packet tells.",
           _encrypted(in_order("close-together", "reset-together")), _two_at_once, SECURE, clear_two_leg=False, accept=["ambiguous"])
      for gateway in FIRST_FOUR],
]
