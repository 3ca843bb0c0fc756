"""The request does not get through: the upstream resets within its body, answers before it has come, or does not read it."""

from families import Case, one_by_one, served_by
from faults import in_order
from gateways import Route

BODY = b"q" * 30_000
# So little room makes the window of the upstream close after a few kilobytes.
ROOM = 2048
SMALL = "4096 4096 4096"

EARLY = "The upstream answers 413 when it has read the head, and resets because the body is still coming."


def _unread(fault):
    return served_by(in_order("ok", fault), room=ROOM)


def _blocked(lab):
    """The gateway's kernel takes only a few kilobytes from it: it is the gateway that waits to write."""
    lab.network.kernel("gateway", "ipv4/tcp_wmem", SMALL)
    _unread("block-the-sender")(lab)


def _answered_early_with_more_to_write(lab):
    lab.network.kernel("gateway", "ipv4/tcp_wmem", SMALL)
    _unread("answer-early")(lab)


def _asked(keep):
    return one_by_one("GET", "POST", body=BODY, keep=keep)


def _cases():
    for number, gateway in enumerate(["nginx", "haproxy", "envoy", "apache", "varnish"]):
        keep = gateway not in ("haproxy", "apache")
        yield Case(f"{gateway}-request-reset-mid-body", "The upstream resets when it has read the head; the body is still coming.",
                   _unread("reset-in-request-body"), _asked(keep), on="eth0" if number % 2 else "any", accept=["reset-before-response"])
    for number, gateway in enumerate(["haproxy", "envoy", "varnish"]):
        yield Case(f"{gateway}-early-response-abort", EARLY + " The gateway loses the answer to the reset.",
                   _answered_early_with_more_to_write, _asked(gateway != "haproxy"), on="any" if number % 2 else "eth0")
    for gateway in ("nginx", "apache"):
        yield Case(f"{gateway}-healthy-early-response", EARLY + " The gateway saves the answer: no error of its own.",
                   _unread("answer-early"), _asked(True), healthy=True)
    for number, gateway in enumerate(["nginx", "haproxy", "apache", "squid"]):
        yield Case(f"{gateway}-zero-window-stall", "The upstream reads the head and then nothing more; its window closes, and the gateway, which "
                   "has handed the rest to its kernel, waits for an answer in vain.",
                   _unread("stop-reading"), _asked(gateway not in ("haproxy", "apache")), on="eth0" if number % 2 == 0 else "any",
                   accept=["request-write-timeout"])
    for number, gateway in enumerate(["nginx", "haproxy", "envoy"]):
        yield Case(f"{gateway}-request-write-timeout", "The upstream reads the head and then nothing more; its window closes, and the gateway "
                   "cannot write the rest of the body.", _blocked, _asked(gateway != "haproxy"), on="any" if number % 2 == 0 else "eth0",
                   accept=["zero-window-stall"])
    yield Case("envoy-zero-window-then-reset", "The upstream reads the head and then nothing more, and resets after 600 ms of a closed window.",
               _unread("stop-reading-then-reset"), _asked(True), accept=["reset-before-response", "zero-window-stall"])


CASES = [*_cases()]
