"""Clients come in TLS: nobody can read what they got. The gateway's log knows; the packets show a failure, and an answer right after it."""

import time

import certificates
from client import crowd
from families import Case, one_by_one, served_by
from faults import always, in_order
from gateways import Route
from topology import GATEWAY

BROKEN = "10.77.0.3:8081"
FRONT = Route(sealed=True)
GATEWAYS = ["nginx", "haproxy", "envoy"]
ENDS = {
    "close": ("closed-before-response", "The upstream reads the request and closes by FIN"),
    "hang": ("response-timeout", "The upstream reads the request and stays silent until the gateway gives up"),
}


def _refusing(lab):
    lab.arrange(BROKEN, "connect-refused", None)


def _one_refuses(lab):
    _refusing(lab)
    lab.upstream(always("ok"))


def _many(lab):
    crowd(lab.network, lab.client_book, f"{GATEWAY}:443", clients=8, rounds=4, sealed=True)


def _checked(lab):
    time.sleep(0.7)
    one_by_one(*["GET"] * 12, pause=0.15)(lab)


def _cases():
    for gateway in GATEWAYS:
        yield Case(f"{gateway}-sealed-connect-refused", "The upstream's port is closed; the client got the gateway's error inside TLS.",
                   _refusing, one_by_one("GET", "GET", pause=0.3), Route(upstreams=[BROKEN], sealed=True), clear_two_leg=False)
        for fault, (name, about) in ENDS.items():
            yield Case(f"{gateway}-sealed-{name}", f"{about}; the requests around it succeed. Clients come in TLS.",
                       served_by(in_order("ok", fault, "ok")), one_by_one("GET", "GET", "GET", pause=0.3), FRONT, clear_two_leg=False)
        yield Case(f"{gateway}-sealed-healthy-crowd", "Eight clients in TLS ask at the same time, again and again; all are served.",
                   served_by(always("ok")), _many, Route(sealed=True, reuse=True), crowd=True, healthy=True, clear_two_leg=False)
        yield Case(f"{gateway}-sealed-healthy-retry", "Of two upstreams one refuses; every request is tried again at the other. Clients come in TLS.",
                   _one_refuses, one_by_one(*["GET"] * 6, pause=0.1),
                   Route(upstreams=[BROKEN, "10.77.0.3:8080"], sealed=True, retry=True), healthy=True, clear_two_leg=False)


CASES = [
    *_cases(),
    Case("haproxy-sealed-healthy-checks-fail", "Of two servers one fails its health checks for ever; clients in TLS are served by the other.",
         _one_refuses, _checked, Route(upstreams=["10.77.0.3:8080", BROKEN], sealed=True, health_checks=True), healthy=True,
         clear_two_leg=False),
    Case("nginx-sealed-both-reset", "Both legs are encrypted: of three requests the second is reset.",
         lambda lab: lab.upstream(in_order("ok", "reset", "ok"), port=8443, wrap=certificates.server(lab.work)),
         one_by_one("GET", "GET", "GET", pause=0.3), Route(upstreams=["10.77.0.3:8443"], tls=True, sealed=True), clear_two_leg=False),
]
