"""The usual failures with the further gateways: Caddy, Varnish, Squid, lighttpd, Apache Traffic Server.

Which fault makes a cause differs: what one gateway refuses another passes on. Where a gateway passes everything on, there is no case.
"""

import time

from client import crowd
from families import Case, VANISHED, one_by_one, served_by
from families.connecting import BROKEN, RULES
from families.names import NAME
from faults import always, in_order, mixed, on_each_connection
from gateways import Route
from topology import GATEWAY, SECOND_UPSTREAM

# The case's last name -> (the usual fault, what the story says)
ENDS = {
    "closed-before-response": ("close", "The upstream reads the request and closes the connection by FIN without a byte of an answer."),
    "reset-before-response": ("reset", "The upstream reads the request and resets the connection without a byte of an answer."),
    "response-timeout": ("hang", "The upstream reads the request and stays silent until the gateway gives up."),
    "closed-mid-head": ("close-mid-head", "The upstream sends half a head and closes by FIN."),
    "reset-mid-head": ("reset-mid-head", "The upstream sends half a head and resets."),
    "head-timeout": ("stall-mid-head", "The upstream sends half a head and then nothing until the gateway gives up."),
    "truncated-body": ("close-mid-body", "Of 5000 bytes announced the upstream sends 1800 and closes by FIN: 200 with a short body."),
    "reset-mid-response": ("reset-mid-body", "Of 5000 bytes announced the upstream sends 1800 and resets: 200 with a short body."),
    "malformed-status-line": ("bad-code", "The status line says `abc` where the code belongs."),
    "bad-header": ("space-in-name", "The upstream's head has a field name with a space in it."),
    "header-too-large": ("huge-head", "The upstream's head is larger than the gateway allows: a cookie of many kilobytes."),
    "upstream-503": ("status:503", "The upstream itself answers 503; the gateway relays it."),
}
INSTEAD = {
    ("caddy", "bad-header"): ("no-colon", "The upstream's head has a line without a colon."),
    ("lighttpd", "header-too-large"): ("giant-head", ENDS["header-too-large"][1]),
}
# lighttpd passes on every field name.
NOT_ON = {("lighttpd", "bad-header")}
# The requests around the fault differ so that neither place nor method gives it away. None is the fault.
AROUND = {
    "caddy": (["GET", "POST", "GET"], ["ok", None, "ok:300"]),
    "varnish": (["GET", "GET"], ["ok:700", None]),
    "squid": (["POST"], [None]),
    "lighttpd": (["GET", "POST"], ["chunked:900", None]),
    "ats": (["GET"], [None]),
}
CONNECTS = ["connect-refused", "connect-timeout", "icmp-admin-prohibited", "icmp-host-unreachable"]
POOLED = Route(reuse=True)
# For so long after a failed connect they do not dial the upstream again.
RESTS_SECONDS = {"varnish": 0.3, "lighttpd": 1.1}


def _responses():
    for number, (gateway, (methods, steps)) in enumerate(AROUND.items()):
        for place, name in enumerate(ENDS):
            if (gateway, name) in NOT_ON:
                continue
            fault, about = INSTEAD.get((gateway, name), ENDS[name])
            yield Case(f"{gateway}-{name}", about, served_by(in_order(*[step or fault for step in steps])),
                       one_by_one(*methods, keep=(number + place) % 3 != 0, body=b"quantity=2"), Route(),
                       on="eth0" if (number + place) % 3 == 1 else "any", classic=(number + place) % 7 == 2)


def _connects():
    for number, gateway in enumerate(AROUND):
        for place, code in enumerate(CONNECTS):
            rule, about = RULES[code]
            traffic = one_by_one("GET", "GET", pause=RESTS_SECONDS.get(gateway, 0))
            yield Case(f"{gateway}-{code}", about, _arranged(code, rule), traffic, _connecting(code),
                       on="eth0" if (number + place) % 2 else "any")


def _arranged(code, rule):
    return lambda lab: lab.arrange(BROKEN, code, rule)


def _connecting(code):
    return Route(upstreams=[BROKEN], connect_seconds=0.8 if code == "connect-timeout" else 2.5)


def _stale(method):
    return (served_by(in_order("ok", "ok+vanish")), one_by_one("GET", "GET", method, "GET", body=b"quantity=2", pause=VANISHED), POOLED)


def _answering(answer):
    def arrange(lab):
        lab.resolver({NAME: answer})
        lab.upstream(in_order())
    return arrange


NAMES = {
    "nxdomain": "The resolver says that the upstream's name does not exist.",
    "servfail": "The resolver fails.",
    "timeout": "The resolver never answers.",
}


def _names():
    for gateway in ("caddy", "squid", "ats"):
        for code, about in NAMES.items():
            yield Case(f"{gateway}-dns-{code}", about, _answering({"timeout": "silence"}.get(code, code)), one_by_one("GET"),
                       Route(name=NAME, connect_seconds=6, response_seconds=6), on="eth0" if code == "servfail" else "any")


def _refusing(*upstreams):
    return lambda lab: [lab.arrange(upstream, "connect-refused", None) for upstream in upstreams]


RESTING = Route(upstreams=[BROKEN], variant="rest-after-failure")
CHECKED = Route(upstreams=[BROKEN], health_checks=True)


def _wait_for_the_checks(lab):
    time.sleep(0.8)
    one_by_one("GET", "GET")(lab)



def _second_helps(lab):
    lab.arrange(BROKEN, "connect-refused", None)
    lab.upstream(always("ok"), address=SECOND_UPSTREAM)


def _left_early(lab):
    visitor = lab.visitor()
    visitor.ask()
    visitor.ask_and_leave(after=0.2)
    time.sleep(0.7)


def _crowded(lab):
    lab.upstream(mixed("ok", "chunked:2000", "last+close", "ok:900"))


def _healthy():
    for number, gateway in enumerate(AROUND):
        yield Case(f"{gateway}-healthy", "Keep-alive as far as the gateway has it; the upstream closes its idle connections. Nothing is wrong.",
                   served_by(on_each_connection("ok:300+idle-close:0.3")), one_by_one("GET", "POST", "GET", pause=0.5, body=b"a=1"), POOLED,
                   healthy=True, on="eth0" if number % 2 else "any")
        yield Case(f"{gateway}-healthy-crowd", "Five clients, three rounds, all in step. Nothing is wrong.", _crowded,
                   lambda lab: crowd(lab.network, lab.client_book, f"{GATEWAY}:80", 5, 3), POOLED, healthy=True, crowd=True)
        yield Case(f"{gateway}-healthy-client-leaves", "A client leaves before the upstream has answered.",
                   served_by(in_order("ok", "slow:0.5")), _left_early, healthy=True, on="any" if number % 2 else "eth0")


CASES = [
    *_responses(),
    *_connects(),
    *_names(),
    *_healthy(),
    Case("caddy-stale-post", "The upstream's host forgot the pooled connection; the POST on it is answered by a bare RST.", *_stale("POST")),
    Case("varnish-stale-post", "The upstream's host forgot the pooled connection; the POST on it is answered by a bare RST.",
         *_stale("POST"), on="eth0"),
    Case("squid-stale-get", "The upstream's host forgot the pooled connection; the GET on it is answered by a bare RST. Squid may not try again.",
         *_stale("GET")),
    Case("ats-stale-post", "The upstream's host forgot the pooled connection; the POST on it is answered by a bare RST.", *_stale("POST")),
    Case("ats-stale-get", "The upstream's host forgot the pooled connection; the GET on it is answered by a bare RST.", *_stale("GET"),
         on="eth0"),
    Case("caddy-no-upstreams-available", "The only upstream refused once and rests for 10 s: later requests find none.", _refusing(BROKEN),
         one_by_one("GET", "GET", "GET"), RESTING),
    Case("caddy-health-checks-fail", "The health checks fail; the requests find no upstream.", _refusing(BROKEN), _wait_for_the_checks, CHECKED),
    Case("varnish-backend-unhealthy", "The probes fail: Varnish says at once that the director has no backend.", _refusing(BROKEN),
         _wait_for_the_checks, CHECKED),
    Case("varnish-held-down", "The backend refuses; for a quarter of a second Varnish does not dial it again.", _refusing(BROKEN),
         one_by_one("GET", "GET", "GET", pause=0.05), Route(upstreams=[BROKEN])),
    Case("squid-dead-peer", "Squid probed its only peer when it started, and it refused: Squid does not dial it for a request. The first request "
         "makes it probe the peer once more, which an observer may take for the request's own attempt.",
         _refusing(BROKEN), _wait_for_the_checks, CHECKED, accept=["connect-refused", "upstream-leg-not-captured"], clear_two_leg=False),
    Case("lighttpd-all-hosts-down", "The only host refused once and rests for 10 s: later requests find none.", _refusing(BROKEN),
         one_by_one("GET", "GET", "GET"), RESTING),
    *[Case(f"{gateway}-healthy-retry", "Of two upstreams one refuses; the gateway tries the other and the client is served.",
           _second_helps, one_by_one("GET", "GET"), Route(upstreams=[BROKEN, f"{SECOND_UPSTREAM}:8080"], retry=True), healthy=True)
      for gateway in ("caddy", "varnish", "lighttpd")],
]
