"""The pooled connection was already over when the request was sent on it.

Two ways. "Gone": the upstream's host has forgotten the connection and says so only when the request arrives, by a bare RST. "Crossing": the
upstream closes an idle connection while the request is still on its way, over a path with a delay; its FIN or RST does not acknowledge it.
"""

import time

from families import Case, VANISHED, one_by_one
from faults import in_order, on_each_connection
from gateways import Route
from topology import FAR

IDLE_SECONDS = 0.5
DELAY_SECONDS = 0.03
POOLED = Route(reuse=True)
FAR_AWAY = Route(reuse=True, upstreams=[f"{FAR}:8080"])


def _gone(*steps):
    return lambda lab: lab.upstream(in_order(*steps))


def _far(end):
    return lambda lab: (lab.far_away(DELAY_SECONDS), lab.upstream(on_each_connection(f"ok+{end}:{IDLE_SECONDS}"), address=FAR, place="far"))


def _crossing(method, same_client=True):
    """The second request leaves the gateway half a way's time before the upstream's close can arrive there."""
    def traffic(lab):
        visitor = lab.visitor()
        visitor.ask("GET")
        time.sleep(IDLE_SECONDS - DELAY_SECONDS)
        if not same_client:
            visitor.close()
        visitor.ask(method, body=b"quantity=2" if method == "POST" else b"")
        visitor.close()
    return traffic


def _two_clients(*methods):
    """Each request from a client connection of its own, so that the gateway cannot end it in silence."""
    def traffic(lab):
        for method in methods:
            visitor = lab.visitor()
            visitor.ask(method, body=b"quantity=2" if method == "POST" else b"")
            visitor.close()
    return traffic


CASES = [
    Case("nginx-stale-post", "The upstream's host forgot the pooled connection; the POST on it is answered by a bare RST.",
         _gone("ok+vanish", "ok"), one_by_one("GET", "POST", "GET", body=b"quantity=2", pause=VANISHED), POOLED),
    Case("nginx-stale-crossing-fin", "The upstream closes the idle connection while a POST is on its way to it.",
         _far("idle-close"), _crossing("POST"), FAR_AWAY, far=True),
    Case("nginx-stale-crossing-rst", "The upstream resets the idle connection while a POST is on its way to it.",
         _far("idle-reset"), _crossing("POST"), FAR_AWAY, far=True),
    Case("haproxy-stale", "The upstream's host forgot the pooled connection; another client's request on it gets a bare RST and 502.",
         _gone("ok+vanish"), _two_clients("GET", "GET"), POOLED),
    Case("haproxy-stale-silent", "The same on the second request of one client connection: HAProxy closes it without a byte.",
         _gone("ok+vanish"), one_by_one("GET", "GET", pause=VANISHED), POOLED),
    Case("haproxy-stale-crossing-fin", "The upstream closes the idle connection while a request of another client is on its way.",
         _far("idle-close"), _crossing("POST", same_client=False), FAR_AWAY, far=True),
    Case("envoy-stale", "The upstream's host forgot the pooled connection; the request on it is answered by a bare RST.",
         _gone("ok", "ok+vanish", "ok"), one_by_one("GET", "GET", "GET", "GET", pause=VANISHED), POOLED),
    Case("envoy-stale-crossing-fin", "The upstream closes the idle connection while the request is on its way to it.",
         _far("idle-close"), _crossing("GET"), FAR_AWAY, far=True),
    Case("envoy-stale-crossing-rst", "The upstream resets the idle connection while the request is on its way to it.",
         _far("idle-reset"), _crossing("POST"), FAR_AWAY, far=True, on="eth0"),
    Case("apache-stale", "The upstream's host forgot the pooled connection; another client's request on it gets a bare RST and 502.",
         _gone("ok+vanish"), _two_clients("GET", "POST"), POOLED),
    Case("apache-stale-silent", "The same on the second request of one client connection: Apache closes it without a byte.",
         _gone("ok+vanish"), one_by_one("GET", "GET", pause=VANISHED), POOLED),
    Case("apache-stale-crossing-fin-silent", "The upstream closes the idle connection while the client's second request is on its way.",
         _far("idle-close"), _crossing("GET"), FAR_AWAY, far=True),
    *[Case(f"{gateway}-unsolicited-503", "The upstream says 503 on an idle pooled connection, because it drains, and closes it, while a POST is on "
           "its way: the gateway takes what nobody asked for as the answer to it.", _far("idle-503"), _crossing("POST"), FAR_AWAY, far=True,
           accept=["upstream-returned-5xx", "stale-keepalive-reuse"]) for gateway in ("nginx", "envoy")],
    *[Case(f"{gateway}-unsolicited-part", "The upstream begins to say 408 on an idle pooled connection and closes it within the line, while a POST "
           "is on its way to it.", _far("idle-part"), _crossing("POST", same_client=gateway == "nginx"), FAR_AWAY, far=True,
           accept=["stale-keepalive-reuse", "closed-mid-head"], on="eth0") for gateway in ("nginx", "haproxy", "apache")],
    *[Case(f"{gateway}-healthy-unsolicited-408", "The upstream says 408 on an idle pooled connection and closes it, while a POST is on its way: the "
           "client gets the 408. No error of the gateway.", _far("idle-408"), _crossing("POST", same_client=gateway == "nginx"), FAR_AWAY,
           far=True, healthy=True) for gateway in ("nginx", "haproxy")],
]
