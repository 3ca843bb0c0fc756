"""The gateway lets nobody through: as many requests as it allows are under way to the upstream, and the next one is not sent."""

import threading
import time

from families import Case, served_by
from faults import in_order
from gateways import Route

BUSY_SECONDS = 0.9
# gateway -> what the story says
KINDS = {
    "haproxy": ("queue-timeout", "One request at a time may go to the server; the second one waits 400 ms in the queue and is turned away."),
    "envoy": ("pool-overflow", "The circuit breaker allows one connection and no waiting request: the second one is turned away at once."),
    "varnish": ("pool-overflow", "The backend may have one connection: the second request finds it busy."),
    "apache": ("pool-overflow", "The pool has one connection; the second request waits 100 ms for it and is turned away."),
    "ats": ("pool-overflow", "The origin may have one connection: the second request is turned away."),
}


def _while_another_waits(lab):
    """One answer that takes its time, and a second request meanwhile."""
    lab.visitor().ask(keep=False)
    slow = threading.Thread(target=lambda: lab.visitor().ask(keep=False))
    slow.start()
    time.sleep(0.25)
    lab.visitor().ask(keep=False)
    slow.join()


CASES = [
    Case(f"{gateway}-{name}", about, served_by(in_order("ok", f"slow:{BUSY_SECONDS}")), _while_another_waits,
         Route(variant="one-at-a-time", response_seconds=2.5), on="eth0" if number % 2 else "any")
    for number, (gateway, (name, about)) in enumerate(KINDS.items())
]
