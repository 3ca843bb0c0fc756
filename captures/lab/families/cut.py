"""Recordings that hold less than there was: 96 bytes of each frame, one direction, a beginning or an end inside the traffic; and frames that
are larger than any network carries, because the network card was to cut them.

`accept` lists the honest answers of an observer who cannot see the cause. Failures that such a recording shows in part stand under
`unseen`: nothing has to be found there, and what is found must be right. Those after its end stand under `later`: nothing may be found.
"""

import threading
import time

from capture import Point
from families import Case, one_by_one, served_by
from faults import in_order, mixed
from gateways import Route

FIRST_BYTES = 96
# What an observer may say who sees too little of each frame, or too few of them.
TOO_SHORT = ["ambiguous", "capture-gap"]
TOO_FEW = [*TOO_SHORT, "upstream-leg-not-captured"]
BOTH_WAYS_IN_FRONT = "port 80"


def _snapped(name, about, plan, *methods, on="eth0", **more):
    return Case(name, about, served_by(plan), one_by_one(*methods, keep=False), points=[Point(on=on, snap=FIRST_BYTES)],
                clear_two_leg=False, **{"accept": TOO_SHORT, **more})


def _one_way(name, about, arrange, traffic, point, route=None, **more):
    return Case(name, about, arrange, traffic, route or Route(), points=[point], partial=True, clear_two_leg=False, accept=TOO_FEW, **more)


def _cut_short(*methods, after, keep=True):
    """The last request is still without an answer when the recording ends."""
    def traffic(lab):
        visitor = lab.visitor()
        for method in methods[:-1]:
            visitor.ask(method, keep=keep)
        last = threading.Thread(target=visitor.ask, args=(methods[-1],), kwargs={"keep": keep})
        last.start()
        time.sleep(after)
        lab.end_recording()
        last.join()
        visitor.close()
    return traffic


def _asks_beforehand(lab):
    """A request is on its way when the recording begins."""
    lab.regular = lab.visitor()
    lab.regular.ask()
    lab.underway = threading.Thread(target=lab.regular.ask, kwargs={"keep": False})
    lab.underway.start()


def _then_asks_again(lab):
    lab.underway.join()
    visitor = lab.visitor()
    for _ in range(2):
        visitor.ask(keep=False)


REGULARS, VISITS, PAUSE_SECONDS = 3, 9, 0.09


def _regulars_are_busy(lab):
    """Clients with kept connections, each with targets of its own, that go on while the recording begins."""
    def visit(number):
        visitor = lab.visitor()
        for turn in range(VISITS):
            visitor.ask(target=f"/item/{number}?turn={turn}")
            time.sleep(PAUSE_SECONDS)
        visitor.close()
    lab.underway = [threading.Thread(target=visit, args=(number,)) for number in range(REGULARS)]
    for thread in lab.underway:
        thread.start()
        # Not in step, so that the order of the requests is the same each time.
        time.sleep(0.05)


def _regulars_go_on(lab):
    for thread in lab.underway:
        thread.join()


CASES = [
    _snapped("nginx-snap-reset", "The upstream resets; the recording holds 96 bytes of each frame: no head is in it in full.",
             in_order("ok", "reset"), "GET", "GET"),
    _snapped("haproxy-snap-closed", "The upstream closes; the recording holds 96 bytes of each frame, 24 of them HTTP.",
             in_order("ok:3000", "close"), "GET", "POST", on="any"),
    _snapped("envoy-snap-bad-header", "A field value of the upstream's head holds a NUL byte, behind the 96 bytes that the recording holds.",
             in_order("ok", "nul-in-value"), "GET", "GET", on="any", cause="capture-gap", accept=["ambiguous", "bad-header"]),
    _snapped("apache-snap-healthy", "Bodies of some size, 96 bytes of each frame; nothing is wrong.",
             mixed("ok:5000", "chunked:9000", "no-content"), "GET", "GET", "POST", accept=[], healthy=True),
    _one_way("nginx-one-way-upstream-reset", "Of the upstream's leg the recording holds only what the gateway sent. The upstream resets.",
             served_by(in_order("ok", "reset")), one_by_one("GET", "GET"), Point(only=f"{BOTH_WAYS_IN_FRONT} or src host 10.77.0.1")),
    _one_way("haproxy-one-way-upstream-closed", "Of the upstream's leg the recording holds only what the upstream sent. It closes.",
             served_by(in_order("ok", "close")), one_by_one("GET", "GET", keep=False),
             Point(only=f"{BOTH_WAYS_IN_FRONT} or src host 10.77.0.3")),
    _one_way("apache-one-way-upstream-refused", "Of the upstream's leg the recording holds only what the gateway sent: a SYN, the same as "
             "towards a host that is silent. Nothing listens there.",
             lambda lab: lab.arrange("10.77.0.3:8080", "connect-refused", None), one_by_one("GET"),
             Point(only=f"{BOTH_WAYS_IN_FRONT} or src host 10.77.0.1")),
    _one_way("envoy-one-way-out-timeout", "The recording holds only what the gateway's machine sent: the errors, not the requests. The upstream "
             "is silent.", served_by(in_order("ok", "hang")), one_by_one("GET", "GET"), Point(way="out", classic=True), hidden=True),
    _one_way("nginx-one-way-in-closed", "The recording holds only what the gateway's machine received: the requests, not the errors. The "
             "upstream closes.", served_by(in_order("ok", "close")), one_by_one("GET", "GET"), Point(way="in", classic=True), hidden=True),
    Case("nginx-early-end-timeout", "The recording ends while the upstream, and so the gateway, has not answered: nobody can know yet what "
         "comes of it.", served_by(in_order("ok", "hang")), _cut_short("GET", "GET", after=0.2), Route(response_seconds=2.2),
         points=[Point()], partial=True),
    Case("envoy-early-end-after-reset", "One request is reset; the next one is still waiting when the recording ends.",
         served_by(in_order("reset", "hang")), _cut_short("GET", "POST", after=0.2), Route(response_seconds=2.2),
         points=[Point()], partial=True),
    Case("haproxy-begin-inside-closed", "The recording begins while a request is waiting for its answer; then the upstream closes. A later "
         "request is reset.", served_by(in_order("ok", "close-very-late", "ok", "reset")), _then_asks_again, Route(response_seconds=3),
         points=[Point()], warm_up=_asks_beforehand, partial=True, clear_two_leg=False,
         accept_unseen=TOO_FEW),
    Case("nginx-begin-inside-pool", "The recording begins while three clients and a pool of upstream connections are in use; later one request "
         "is reset, on a connection whose beginning is in no frame, and one is closed on.",
         served_by(in_order(*["slow:0.12"] * 17, "reset", *["slow:0.12"] * 3, "close", *["slow:0.12"] * 9)), _regulars_go_on, Route(reuse=True),
         points=[Point()], warm_up=_regulars_are_busy, partial=True, clear_two_leg=False),
    Case("haproxy-offload-reset-mid-response", "Of 150000 bytes announced the upstream sends 70000 and resets: frames of many kilobytes, as "
         "the machine hands them to its card.", served_by(in_order("ok:20000", "reset-mid-large-body")), one_by_one("GET", "GET", keep=False),
         on="eth0"),
    Case("envoy-offload-post-closed", "A body of 60000 bytes goes through in frames of many kilobytes; the upstream reads it all and closes.",
         served_by(in_order("ok:20000", "close")), one_by_one("GET", "POST", body=b"q" * 60_000), on="eth0"),
]
