"""Traffic in which nothing is wrong, though some of it looks as if: resets after the answer, error codes in a text, clients that leave."""

import time

from families import Case, FIRST_FOUR, VANISHED, one_by_one, served_by
from faults import always, in_order, on_each_connection
from gateways import Route
from topology import APPLICATION, SECOND_UPSTREAM

POOLED = Route(reuse=True)
REFUSING = "10.77.0.3:8081"


def _bodies_without_bodies(lab):
    visitor = lab.visitor()
    for method in ("GET", "HEAD", "GET", "GET", "HEAD"):
        visitor.ask(method, "/")
    visitor.close()


def _two_left_early(lab):
    visitor = lab.visitor()
    visitor.ask()
    visitor.ask_and_leave(after=0.2)
    lab.visitor().ask_and_leave(after=0.2, reset=True)
    time.sleep(0.6)


def _application_beside(lab):
    lab.upstream(in_order("ok", "ok", "ok"))
    lab.upstream(in_order("ok", "status:503", "status:500"), address=APPLICATION, port=9000, place="gateway")


def _ask_both(lab):
    direct = lab.visitor(f"{APPLICATION}:9000")
    through = lab.visitor()
    for _ in range(3):
        through.ask()
        direct.ask()
    through.close()
    direct.close()


def _pipelined(lab):
    visitor = lab.visitor()
    visitor.ask_pipelined(3)
    visitor.ask()
    visitor.close()


def _continued(lab):
    visitor = lab.visitor()
    visitor.ask("POST", headers=["Expect: 100-continue"], body=b"z" * 3000)
    visitor.ask()
    visitor.close()


def _switched(lab):
    visitor = lab.visitor()
    visitor.upgrade()
    visitor.close()


def _second_helps(lab):
    lab.arrange(REFUSING, "connect-refused", None)
    lab.upstream(always("ok"), address=SECOND_UPSTREAM)


# name -> (story, arrangement, traffic, route)
KINDS = {
    "healthy-pool-closed": (
        "Keep-alive on both legs; the upstream closes its idle connection by FIN, the next request gets a new one.",
        served_by(on_each_connection("ok:300+idle-close:0.3")), one_by_one("GET", "POST", "GET", pause=0.6, body=b"a=1"), POOLED),
    "healthy-pool-reset": (
        "Keep-alive on both legs; the upstream resets its idle connection, the next request gets a new one.",
        served_by(on_each_connection("ok+idle-reset:0.3")), one_by_one("GET", "GET", pause=0.6), POOLED),
    "healthy-reset-after-answer": (
        "The upstream resets the connection after every complete answer.",
        served_by(always("ok:900+reset")), one_by_one("GET", "GET", "GET", pause=0.15), POOLED),
    "healthy-no-bodies": (
        "Answers without a body: HEAD, 204, 304.",
        served_by(in_order("no-content", "ok:800", "not-modified", "ok", "ok:3000")), _bodies_without_bodies, POOLED),
    "healthy-large-bodies": (
        "Bodies of some size both ways, with a length and in chunks.",
        served_by(in_order("ok:20000", "chunked:24000", "ok", "chunked:5")),
        one_by_one("GET", "GET", "POST", "GET", body=b"q" * 9000), POOLED),
    "healthy-client-leaves": (
        "Two clients leave before the upstream has answered, one by FIN, one by RST.",
        served_by(in_order("ok", "slow:0.5", "slow:0.5")), _two_left_early, Route()),
    "healthy-error-in-text": (
        "A body that quotes a 502, and a client error of the application.",
        served_by(in_order("error-page-as-text", "status:404", "error-page-as-text")), one_by_one("GET", "GET", "GET"), Route()),
    "healthy-application-errors": (
        "A plain application on the gateway's machine, at an address of its own, answers its clients 503 and 500. No gateway is involved.",
        _application_beside, _ask_both, Route()),
    "healthy-connection-close": (
        "The upstream closes after each answer, as it announced, once without a length.",
        served_by(in_order("last+close", "until-close+close", "last+close")), one_by_one("GET", "GET", "GET"), POOLED),
    "healthy-pipelined": (
        "Three requests are sent at once on one connection and answered in order.",
        served_by(in_order()), _pipelined, POOLED),
    "healthy-continue": (
        "The client waits for 100 Continue before it sends its body.",
        served_by(in_order()), _continued, POOLED),
    "healthy-retry": (
        "Of two upstreams one refuses; the gateway tries the other and the client is served.",
        _second_helps, one_by_one("GET", "GET"), Route(upstreams=[REFUSING, f"{SECOND_UPSTREAM}:8080"], retry=True)),
}
# Which kinds every gateway gets, and which only some.
EVERYWHERE = ["healthy-pool-closed", "healthy-reset-after-answer", "healthy-client-leaves", "healthy-retry", "healthy-application-errors"]
SOME = {
    "nginx": ["healthy-pool-reset", "healthy-no-bodies", "healthy-large-bodies", "healthy-pipelined"],
    "haproxy": ["healthy-pool-reset", "healthy-error-in-text", "healthy-continue", "healthy-no-bodies"],
    "envoy": ["healthy-pool-reset", "healthy-connection-close", "healthy-large-bodies", "healthy-no-bodies"],
    "apache": ["healthy-pool-reset", "healthy-error-in-text", "healthy-connection-close", "healthy-continue"],
}


def _cases():
    for number, gateway in enumerate(FIRST_FOUR):
        for place, kind in enumerate([*EVERYWHERE, *SOME[gateway]]):
            about, arrange, traffic, route = KINDS[kind]
            yield Case(f"{gateway}-{kind}", about, arrange, traffic, route, healthy=True,
                       on="eth0" if (number + place) % 4 == 1 else "any", classic=(number + place) % 5 == 2)


CASES = [
    *_cases(),
    Case("nginx-healthy-stale-retried", "The pooled connection was gone; nginx sends the GET again over a new one.",
         served_by(in_order("ok+vanish", "ok")), one_by_one("GET", "GET", "GET", pause=VANISHED), Route(reuse=True, retry=True), healthy=True),
    Case("nginx-healthy-upgrade", "The client switches protocols; bytes flow both ways through the tunnel.",
         served_by(always("upgrade")), _switched, Route(variant="upgrade"), healthy=True),
    Case("haproxy-healthy-upgrade", "The client switches protocols; bytes flow both ways through the tunnel.",
         served_by(always("upgrade")), _switched, Route(), healthy=True, on="eth0"),
    Case("envoy-healthy-upgrade", "The client switches protocols; bytes flow both ways through the tunnel.",
         served_by(always("upgrade")), _switched, Route(), healthy=True),
]
