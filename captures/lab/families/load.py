"""Load: two hundred clients at the same time, which are recorded afresh each time and not kept.

In the crowds all ask for the same thing in the same words, 95 of 100 are answered well, all with the same bytes, and the others fail in six
ways, mixed by chance and many of them in one instant. In the healthy loads, with every gateway there is, nothing is wrong.
"""

import random

from client import crowd
from families import Case, GATEWAYS
from faults import mixed, shuffled
from gateways import Route
from topology import GATEWAY

REFUSING = "10.77.0.3:8099"
PORTS = [8080, 8081, 8082, 8083]
SERVING = [f"10.77.0.3:{port}" for port in PORTS]
# Of so many requests to one port each fault of the list meets one.
DECK = 120
# An instant in which the upstreams do what they have waited with.
INSTANT = "@0.25"
CLIENTS, ROUNDS = 200, 20
# Room for all at once.
QUEUE = 1024

# Another is the port where nothing listens. A connection that is gone fails only when it is used before the pool drops it.
FAULTS = {
    "nginx": ["close", "reset", "close-mid-head", "hang", "ok+vanish", "ok+vanish"],
    "haproxy": ["close", "reset", "space-in-name", "hang", "ok+vanish", "ok+vanish"],
    "envoy": ["close", "reset", "close-mid-head", "hang", "ok+vanish", "ok+vanish"],
}


# Apache in the lab has 25 threads, Varnish room for a short queue: they turn away who is more.
FEWER = {"apache": 20, "varnish": 50}
# A busy machine is no failure: nobody shall lose patience with it.
PATIENT = Route(reuse=True, connect_seconds=5, response_seconds=5)


def _answers(seed, faults):
    """A deck with each fault in it once; of everything, faults or not, a part happens in a common instant."""
    draw = random.Random(seed)
    steps = [*faults, *["ok"] * (DECK - len(faults))]
    waits = [f"{draw.uniform(0.1, 0.6):.4f}" for _ in steps]
    for number, fault in enumerate(steps):
        if number < len(faults) and (number + seed) % 2 or draw.random() < 0.1:
            waits[number] = INSTANT
    return shuffled(seed, *[f"{wait}>{step}" for wait, step in zip(waits, steps)])


def _arranged(faults):
    def arrange(lab):
        lab.arrange(REFUSING, "connect-refused", None)
        for seed, port in enumerate(PORTS):
            lab.upstream(_answers(seed, faults), port=port, queue=QUEUE)
    return arrange


def _visits(clients, rounds, **how):
    return lambda lab: crowd(lab.network, lab.client_book, f"{GATEWAY}:80", clients, rounds, **how)


def _well(lab):
    lab.upstream(mixed("0.01>ok", "0.002>chunked:1500", "last+close", "@0.05>ok:900", "0.02>ok:60"), queue=QUEUE)


CASES = [
    *[Case(f"{gateway}-crowd-200", "Two hundred clients at the same time, twenty rounds, one target, one answer, no ids: one in twenty fails, in six "
           "ways, many in the same instant.",
           # HAProxy ends later requests of a client connection in silence; one request a connection shows the statuses.
           _arranged(faults), _visits(CLIENTS, ROUNDS, keep=gateway != "haproxy", in_step=False),
           Route(upstreams=[*SERVING, REFUSING], weights={upstream: DECK // len(PORTS) for upstream in SERVING}, reuse=True,
                 variant="large-pool", response_seconds=1.2), crowd=True, afresh=True) for gateway, faults in FAULTS.items()],
    *[Case(f"{gateway}-healthy-load", "Many clients at the same time over pooled connections that the upstream closes now and then, as it "
           "announced. Nothing is wrong.", _well, _visits(FEWER.get(gateway, 100), 500 // FEWER.get(gateway, 100)), PATIENT, crowd=True, healthy=True, afresh=True)
      for gateway in GATEWAYS],
]
