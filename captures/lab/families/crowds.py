"""Many clients ask for the same thing at the same time, and several fail in the same instant for different reasons.

All send the same bytes: method, target and Host are one, nothing carries an id. Which request meets which fault follows from the order in
which the upstream's ports are reached, so that neither the path nor a header nor a port tells which upstream connection belongs to whom.
"""

from client import crowd
from families import Case, FIRST_FOUR
from faults import mixed
from gateways import Route
from topology import GATEWAY

REFUSING = "10.77.0.3:8099"
FIRST_PORT = 8080


def _one_fault_a_port(*faults):
    """Each port serves well three times, then fails in its own way, and so on; one more port has no listener."""
    def arrange(lab):
        lab.arrange(REFUSING, "connect-refused", None)
        for number, fault in enumerate(faults):
            well = ["ok", "chunked:1500", "ok:600", "no-content", "ok:60"]
            steps = well[number % 3:number % 3 + 3] + [fault]
            lab.upstream(mixed(*steps), port=FIRST_PORT + number)
    return arrange


def _route(count, **more):
    return Route(upstreams=[REFUSING] + [f"10.77.0.3:{FIRST_PORT + number}" for number in range(count)], reuse=True, **more)


def _visits(clients, rounds, **how):
    return lambda lab: crowd(lab.network, lab.client_book, f"{GATEWAY}:80", clients, rounds, **how)


MIXTURE = ["close", "reset", "ok+vanish", "hang", "close-mid-head", "reset-mid-head", "ok", "ok"]
OTHER_MIXTURE = ["reset", "status:503", "huge-head", "close", "ok+vanish", "ok", "ok", "ok"]


def _cases():
    for gateway in FIRST_FOUR:
        giant = ["giant-head" if (gateway, fault) == ("envoy", "huge-head") else fault for fault in OTHER_MIXTURE]
        # HAProxy and Apache end later requests of a client connection in silence; one request a connection shows the statuses.
        keep = gateway in ("nginx", "envoy")
        yield Case(f"{gateway}-crowd", "Twelve clients, six rounds, all in step: seven ways to fail among healthy answers from a pool.",
                   _one_fault_a_port(*MIXTURE), _visits(12, 6, keep=keep), _route(len(MIXTURE)), crowd=True)
        yield Case(f"{gateway}-crowd-post", "Ten clients POST in seven rounds, a millisecond apart: other ways to fail, one of them the "
                   "application's own 503.", _one_fault_a_port(*giant), _visits(10, 7, method="POST", keep=keep, stagger=0.001),
                   _route(len(giant)), crowd=True, on="eth0")


def _silences(lab):
    """Ports that fail slowly: one drops the handshake, one never answers, one stops in the head, one closes late."""
    lab.arrange(REFUSING, "connect-timeout", "iptables -w -A INPUT -p tcp --dport 8099 -j DROP")
    for number, fault in enumerate(SLOWLY):
        lab.upstream(mixed("ok", "ok:300", fault), port=FIRST_PORT + number)


SILENCES = "Ten clients, four rounds: unanswered handshakes, unanswered requests, half heads and late closes side by side."
SLOWLY = ["hang", "stall-mid-head", "close-late", "ok", "ok"]

def _nothing_wrong(lab):
    lab.upstream(mixed("ok", "chunked:3000", "last+close", "ok:5000", "no-content"))
    lab.upstream(mixed("ok:200", "ok", "last+close", "chunked:900"), port=8081)


EXTRA = [
    *[Case(f"{gateway}-healthy-crowd", "Ten clients, five rounds, all in step, over pooled connections that the upstreams close now and then, as "
           "they announced. Nothing is wrong.", _nothing_wrong, _visits(10, 5),
           Route(upstreams=["10.77.0.3:8080", "10.77.0.3:8081"], reuse=True), crowd=True, healthy=True) for gateway in FIRST_FOUR],
    *[Case(f"{gateway}-crowd-rewritten", "Six clients, each with targets of its own, which the gateway puts under another path.",
           _one_fault_a_port(*MIXTURE), _visits(6, 6, targets=True, keep=gateway != "haproxy"), _route(len(MIXTURE), variant="rewrites"),
           crowd=True) for gateway in ("nginx", "haproxy", "envoy")],
    Case("nginx-crowd-targets", "Eight clients, each with targets of its own: here the path does tell which attempt belongs to whom.",
         _one_fault_a_port(*MIXTURE), _visits(8, 6, targets=True), _route(len(MIXTURE)), crowd=True),
    Case("envoy-crowd-request-ids", "Eight clients ask for one target; Envoy gives each request an id of its own on the upstream side.",
         _one_fault_a_port(*MIXTURE), _visits(8, 6), _route(len(MIXTURE), variant="request-ids"), crowd=True),
    Case("nginx-crowd-silences", SILENCES,
         _silences, _visits(10, 4), _route(len(SLOWLY)), crowd=True),
    Case("haproxy-crowd-silences", SILENCES, _silences, _visits(10, 4, keep=False), _route(len(SLOWLY)), crowd=True),
    Case("nginx-crowd-retries", "Ten clients, five rounds, and nginx tries another upstream when one fails: most clients never notice.",
         _one_fault_a_port(*MIXTURE), _visits(10, 5), _route(len(MIXTURE), retry=True), crowd=True, healthy=True),
    Case("haproxy-crowd-alike", "Eight clients at once and one cause for all: every second request is reset.",
         lambda lab: lab.upstream(mixed("ok", "reset")), _visits(8, 3, keep=False), Route(reuse=True), crowd=True),
]

CASES = [*_cases(), *EXTRA]
