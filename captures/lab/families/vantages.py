"""The same traffic recorded on two or three machines whose clocks do not agree. `time` in the truth is by the right clock.

The first file's clock is right; what the others are off is told in expected.json under `recorded.clocks`. In "two halves" each file holds one
leg alone and no packet is in both: nothing but the exchanges themselves tells how the clocks stand to each other.
"""

import time

from capture import Point
from delay import BACK, FROM_THE_SECOND, OUT, Rule
from client import crowd
from families import Case, one_by_one, served_by
from faults import always, in_order
from gateways import Route
from topology import FAR, GATEWAY

BROKEN = "10.77.0.3:8081"
AHEAD, BEHIND = 3.2, -0.75


def _at(place, ahead=0.0, drift=0, **how):
    return Point(name=f"capture.{place}", place=place, ahead=ahead, drift=drift, **how)


def _targets(count, pause=0.0, keep=True):
    """One client, a target of its own for each request."""
    def traffic(lab):
        visitor = lab.visitor()
        for number in range(count):
            visitor.ask(target=f"/item/{number}", keep=keep)
            time.sleep(pause)
        visitor.close()
    return traffic


def _lost_on_the_way(plan, rule, how):
    """The upstream is far away, and what one side sends the other never gets."""
    def arrange(lab):
        lab.far_away(0.004, rule)
        lab.upstream(plan, address=FAR, place="far")
        lab.the_path_makes(f"{FAR}:8080", "response-timeout", how)
    return arrange


# A frame that is in one file alone may have been lost by the path or by the other recording: to leave that open is honest.
LOST_BY_WHOM = {"accept": ["ambiguous", "capture-gap", "loss-stall"], "clear_two_leg": False}
FAR_AWAY = Route(upstreams=[f"{FAR}:8080"])
LEG_OF_THE_CLIENT, LEG_OF_THE_UPSTREAM = "port 80", "port 8080"

CASES = [
    Case("nginx-vantage-closed", "Recorded on the client and on the gateway, whose clock is 3.2 s ahead; the upstream closes.",
         served_by(in_order("ok", "ok", "close")), one_by_one("GET", "GET", "GET"), points=[_at("client"), _at("gateway", AHEAD)]),
    Case("haproxy-vantage-two-halves-reset", "The client's machine recorded the client's leg, the gateway's machine, 0.75 s behind, only the "
         "upstream's leg: no packet is in both files. The upstream resets.",
         served_by(in_order(*["ok"] * 5, "reset")), _targets(6, keep=False),
         points=[_at("client"), _at("gateway", BEHIND, only=LEG_OF_THE_UPSTREAM)], clear_two_leg=False),
    Case("envoy-vantage-three-timeout", "Recorded on client, gateway and upstream, whose clocks are 0.75 s behind and 3.2 s ahead of the "
         "client's; the upstream is silent.", served_by(in_order("ok", "hang")), one_by_one("GET", "GET"),
         points=[_at("client"), _at("gateway", BEHIND), _at("upstream", AHEAD)]),
    Case("apache-vantage-drift-reset", "Recorded on the gateway and on the client, whose clock is 1.5 s ahead and 200 ppm fast, for six "
         "seconds; the upstream resets twice.",
         served_by(in_order("ok", "reset", *["ok"] * 9, "reset")), _targets(12, pause=0.5, keep=False),
         points=[_at("gateway"), _at("client", 1.5, 200)]),
    Case("nginx-vantage-upstream-refused", "Recorded on the gateway and on the upstream's machine, whose clock is 3.2 s ahead; nothing "
         "listens there.", lambda lab: lab.arrange(BROKEN, "connect-refused", None), one_by_one("GET", "GET"), Route(upstreams=[BROKEN]),
         points=[_at("gateway"), _at("upstream", AHEAD)]),
    Case("haproxy-vantage-upstream-stale", "Recorded on the gateway and on the upstream's machine, whose clock is 0.75 s behind; the "
         "upstream's host forgot the pooled connection and resets the request on it.",
         served_by(in_order("ok", "ok+vanish")), _targets(3, pause=0.1, keep=False), Route(reuse=True), points=[_at("gateway"), _at("upstream", BEHIND)]),
    Case("envoy-vantage-two-halves-crowd", "Four clients, four rounds, all in step, each with targets of its own; the client's machine "
         "recorded the client's leg, the gateway's machine, 3.2 s ahead, only the upstream's leg. The upstream closes on one request and is "
         "silent to another.", served_by(in_order(*["ok"] * 6, "close", *["ok"] * 5, "hang")),
         lambda lab: crowd(lab.network, lab.client_book, f"{GATEWAY}:80", 4, 4, targets=True),
         points=[_at("client"), _at("gateway", AHEAD, only=LEG_OF_THE_UPSTREAM)], crowd=True, clear_two_leg=False),
    Case("haproxy-vantage-ends-timeout", "Recorded on the client and on the upstream's machine, whose clock is 0.75 s behind, but not on the "
         "gateway between them: no packet is in both files. The upstream is silent.",
         served_by(in_order(*["ok"] * 4, "hang")), _targets(5, keep=False), points=[_at("client"), _at("upstream", BEHIND)],
         clear_two_leg=False),
    Case("nginx-vantage-same-machine-closed", "Recorded twice on the gateway's machine, on `any` and on `eth0`, by one clock: each packet is in "
         "both files. The upstream closes.", served_by(in_order("ok", "close")), one_by_one("GET", "POST", body=b"quantity=2"),
         points=[Point("capture.any"), Point("capture.eth0", on="eth0")]),
    Case("envoy-vantage-reset-lost", "Recorded on the gateway and on the upstream's machine, whose clock is 3.2 s ahead. The upstream resets, and "
         "the path loses the reset: it is in the upstream's file, but the gateway never got it and waited until its own timer.",
         _lost_on_the_way(in_order("ok", "reset-late"), Rule("lose", BACK, "rst", (1,)), "the reset is lost"), one_by_one("GET", "GET"),
         FAR_AWAY, far=True, points=[_at("gateway"), _at("far", AHEAD)], **LOST_BY_WHOM),
    Case("apache-vantage-request-lost", "Recorded on the gateway and on the upstream's machine, whose clock is 0.75 s behind. The path loses "
         "every segment of the second request: the upstream's file has none of them.",
         _lost_on_the_way(always("ok"), Rule("lose", OUT, "data", FROM_THE_SECOND), "every segment of the second request is lost"),
         _targets(2, keep=False), FAR_AWAY, far=True, points=[_at("gateway"), _at("far", BEHIND)], accept=["loss-stall"]),
    Case("haproxy-vantage-answer-lost", "Recorded on the gateway and on the upstream's machine, whose clock is 3.2 s ahead. The upstream "
         "answers at once, and the path loses the answer each time: it is in the upstream's file alone.",
         _lost_on_the_way(always("ok"), Rule("lose", BACK, "data", FROM_THE_SECOND), "every segment of the second answer is lost"),
         _targets(2, keep=False), FAR_AWAY, far=True, points=[_at("gateway"), _at("far", AHEAD)], **LOST_BY_WHOM),
    Case("envoy-vantage-healthy", "Recorded on client, gateway and upstream, with three clocks; nothing is wrong.",
         served_by(always("ok:900")), _targets(6), Route(reuse=True), healthy=True,
         points=[_at("client"), _at("gateway", AHEAD, 200), _at("upstream", BEHIND)]),
    Case("apache-vantage-two-halves-healthy", "Two halves whose clocks are 0.75 s apart; nothing is wrong.",
         served_by(always("ok:300")), _targets(5), healthy=True,
         points=[_at("client", only=LEG_OF_THE_CLIENT), _at("gateway", BEHIND, only=LEG_OF_THE_UPSTREAM)], clear_two_leg=False),
]
