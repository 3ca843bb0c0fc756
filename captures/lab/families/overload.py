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
    "envoy": ("pool-overflow", "The circuit breaker allows one connection and one request that waits for it: the third one is turned away at once."),
    "varnish": ("pool-overflow", "The backend may have one connection: the second request finds it busy."),
    "apache": ("pool-overflow", "The pool has one connection; the second request waits 100 ms for it and is turned away."),
    "ats": ("pool-overflow", "The origin may have one connection: the second request is turned away."),
}


def _while_others_wait(others):
    """One answer that takes its time, as many requests that wait as the gateway lets wait, and one more."""
    def traffic(lab):
        lab.visitor().ask(keep=False)
        slow = [threading.Thread(target=lambda: lab.visitor().ask(keep=False)) for _ in range(others)]
        for thread in slow:
            thread.start()
            time.sleep(0.2)
        lab.visitor().ask(keep=False)
        for thread in slow:
            thread.join()
    return traffic


CASES = [
    Case(f"{gateway}-{name}", about, served_by(in_order("ok", f"slow:{BUSY_SECONDS}")), _while_others_wait(2 if gateway == "envoy" else 1),
         Route(variant="one-at-a-time", response_seconds=2.5), on="eth0" if number % 2 else "any")
    for number, (gateway, (name, about)) in enumerate(KINDS.items())
]
