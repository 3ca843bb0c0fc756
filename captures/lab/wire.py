"""What each cause looks like on its upstream connection, as causes.md defines it. Only `check` uses this, never the making of the truth.

In: a code, the connection's two endpoints, the capture's segments, until when they count. Out: complaints.
Left out: causes that an observer cannot see on a connection (DNS, no attempt, gaps).
"""

from dataclasses import dataclass

from packets import ACK, FIN, RST, SYN

# The gateway's answer and the upstream's end may be stamped in either order within this.
NEAR_SECONDS = 0.02
HANDSHAKE = b"\x16"


@dataclass
class View:
    """One connection, as far as it goes at the time of the error, seen from its last request."""

    gateway: list       # segments of the gateway
    upstream: list      # segments of the upstream
    request: object     # the gateway's last segment with payload before the error

    @property
    def opened_before(self):
        """The capture began when the connection was already open."""
        return not any(segment.flags & SYN for segment in self.gateway)

    @property
    def answer(self):
        """What the upstream sent since the last request."""
        return b"".join(segment.payload for segment in self.upstream if self.request and segment.frame > self.request.frame)

    def end(self):
        """Who ended first after the request, and how: ("upstream", RST), ("gateway", FIN), or (None, 0)."""
        ends = [(segment.frame, side, segment) for side in ("gateway", "upstream") for segment in getattr(self, side)
                if segment.flags & (FIN | RST)]
        if not ends:
            return None, 0, None
        _, side, segment = min(ends, key=lambda end: end[0])
        return side, segment.flags & (FIN | RST), segment


def complaints(code, connection, segments, until):
    """`until` None means the whole connection counts, as for an attempt that was repaired."""
    if not connection or code not in LOOKS:
        return
    both = {connection["client"], connection["server"]}
    mine = [segment for segment in segments if {segment.source, segment.destination} == both]
    if until:
        mine = [segment for segment in mine if segment.time <= until + NEAR_SECONDS]
    if not mine:
        yield f"{connection['client']} → {connection['server']} is not in the capture"
        return
    gateway = [segment for segment in mine if segment.source == connection["client"]]
    upstream = [segment for segment in mine if segment.source == connection["server"]]
    # A pooled connection may carry the next request within the same milliseconds.
    sent = [segment for segment in gateway if segment.payload and (until is None or segment.time <= until)]
    in_tls = bool(sent) and sent[0].payload[:1] == HANDSHAKE
    if in_tls and not code.startswith("tls-"):
        return
    # A gateway may still send an alert after the handshake has failed: there the ClientHello counts.
    view = View(gateway, upstream, (sent[0] if in_tls else sent[-1]) if sent else None)
    if not LOOKS[code](view):
        yield f"{code}: {connection['client']} → {connection['server']} does not look like it"


def _never_opened(view):
    return not any(segment.flags & SYN for segment in view.upstream)


def _refused(view):
    return _never_opened(view) and any(segment.flags & RST for segment in view.upstream)


def _unanswered(view):
    return not view.upstream and any(segment.flags & SYN for segment in view.gateway)


def _reset_before_use(view):
    return view.request is None and any(segment.flags & SYN for segment in view.upstream) and view.end()[:2] == ("upstream", RST)


def _ended_by_upstream(flag, some):
    """The upstream ended first, with this flag, having read the request; with or without a part of an answer."""
    def look(view):
        side, flags, segment = view.end()
        return side == "upstream" and flags & flag and bool(view.answer) == some and _acknowledges(segment, view.request)
    return look


def _ended_by_gateway(some):
    def look(view):
        return view.end()[0] != "upstream" and bool(view.answer) == some and view.request is not None
    return look


def _stale(view):
    """An earlier answer, then an end that does not acknowledge the request."""
    side, _, segment = view.end()
    answered_before = view.opened_before or any(before.payload for before in view.upstream if before.frame < view.request.frame)
    return side == "upstream" and answered_before and not view.answer and not _acknowledges(segment, view.request)


def _acknowledges(end, request):
    """A bare RST acknowledges nothing."""
    past = (end.acknowledged - request.sequence - request.length) & 0xFFFFFFFF
    return bool(end.flags & ACK) and past < 1 << 31


def _answered_with(start):
    return lambda view: view.answer.startswith(start)


def _answered_anything(view):
    return bool(view.answer)


def _hello_then(look):
    return lambda view: view.request is not None and view.request.payload[:1] == HANDSHAKE and look(view)


def _alert(*numbers):
    """One of these fatal alerts in clear, of the upstream."""
    return lambda view: any(segment.payload[:1] == b"\x15" and segment.payload[5:7] in [bytes([2, number]) for number in numbers]
                            for segment in view.upstream)


def _left_without_asking(view):
    """The upstream showed something, and the gateway was the first to end it or said why in a record of its own."""
    ended, _, end = view.end()
    spoke = [segment.frame for segment in view.gateway if segment.payload and segment.frame > view.request.frame]
    return bool(view.answer) and (ended == "gateway" or spoke and (end is None or spoke[0] < end.frame))


def _reset_while_sent_to(view):
    """The end does not acknowledge all of the request; a stack that had taken it all into its buffer may."""
    side, flags, _ = view.end()
    return side == "upstream" and flags & RST and not _since_the_head(view)


def _answered_then_reset(view):
    return _since_the_head(view).startswith(b"HTTP/1.1 4") and view.end()[:2] == ("upstream", RST)


def _window_closed(view):
    return any(segment.window == 0 and not segment.flags & (SYN | RST) for segment in view.upstream) and not view.answer


def _since_the_head(view):
    """What the upstream said since the last request's first segment: `answer` counts from the last segment of its body."""
    heads = [segment.frame for segment in view.gateway if segment.payload.startswith((b"GET ", b"POST "))]
    return b"".join(segment.payload for segment in view.upstream if heads and segment.frame > heads[-1])


def _heard(view):
    """All that the upstream said."""
    return b"".join(segment.payload for segment in view.upstream)


def _says_since_the_request(start):
    return lambda view: view.answer.startswith(start)


def _says(what):
    return lambda view: any(what in text for text in (_heard(view), view.answer))


def _speaks_something_else(view):
    return bool(_heard(view)) and not view.answer.startswith(b"HTTP/")


def _sends_first(*starts):
    return lambda view: any(segment.payload.startswith(starts) for segment in view.gateway)


def _syn_answered_in_vain(view):
    """Either the SYN is sent again though a SYN-ACK came, or the SYN-ACK is though the handshake was completed."""
    syns = sum(bool(segment.flags & SYN) for segment in view.gateway)
    answers = sum(bool(segment.flags & SYN) for segment in view.upstream)
    return answers and (syns > 1 or answers > 1)


def _no_place_in_the_queue(view):
    return _unanswered(view) or _syn_answered_in_vain(view)


def _syn_answered_by_ack(view):
    return bool(view.upstream) and all(segment.flags & (SYN | ACK | RST) == ACK for segment in view.upstream)


def _sent_in_vain(view):
    """The last request is sent again, or a part of the answer is missing, until the gateway gives up."""
    return view.request is not None and view.end()[0] != "upstream"


def _left_alone(view):
    """Nothing comes to the last request but, perhaps, a reset."""
    after = [segment for segment in view.upstream if segment.frame > view.request.frame]
    return all(segment.flags & RST for segment in after)


def _reset_by_somebody(view):
    return view.end()[:2] == ("upstream", RST) and not view.answer


LOOKS = {
    "request-reset-mid-body": _reset_while_sent_to,
    "early-response-abort": _answered_then_reset,
    "zero-window-stall": _window_closed,
    "request-write-timeout": _window_closed,
    "conflicting-framing": _answered_anything,
    "invalid-content-length": _says(b"Content-Length: abc"),
    "unknown-transfer-coding": _says(b"Transfer-Encoding: wat"),
    "unexpected-upgrade": _says_since_the_request(b"HTTP/1.1 101"),
    "bad-interim-response": _says_since_the_request(b"HTTP/1.1 10"),
    "http09-response": _says_since_the_request(b"<html>"),
    "too-many-headers": _says(b"X-99: a"),
    "bad-chunking": _says(b"zzz\r\n"),
    "truncated-chunked": _ended_by_upstream(FIN, some=True),
    "bad-content-coding": _says(b"Content-Encoding: gzip"),
    "stall-mid-response": _ended_by_gateway(some=True),
    "wrong-service": _speaks_something_else,
    "h1-on-h2-port": _speaks_something_else,
    "h2-on-h1-port": _sends_first(b"PRI * HTTP/2.0"),
    "proxy-protocol-unexpected": _sends_first(b"PROXY TCP4 "),
    "proxy-protocol-missing": lambda view: view.end()[0] == "upstream" and not view.answer,
    "connect-half-open": _syn_answered_in_vain,
    "listen-queue-overflow": _no_place_in_the_queue,
    "connect-stale-tuple": _syn_answered_by_ack,
    "icmp-ttl-exceeded": _unanswered,
    "path-mtu-blackhole": _sent_in_vain,
    "idle-drop-middlebox": _left_alone,
    "injected-reset": _reset_by_somebody,
    "dns-stale-address": lambda view: _refused(view) or _unanswered(view),
    "unsolicited-response": _answered_anything,
    "connect-refused": _refused,
    "connect-timeout": _unanswered,
    "icmp-port-unreachable": _unanswered,
    "icmp-host-unreachable": _unanswered,
    "icmp-net-unreachable": _unanswered,
    "icmp-admin-prohibited": _unanswered,
    "connect-reset-after-accept": _reset_before_use,
    "closed-before-response": _ended_by_upstream(FIN, some=False),
    "reset-before-response": _ended_by_upstream(RST, some=False),
    "stale-keepalive-reuse": _stale,
    "response-timeout": _ended_by_gateway(some=False),
    "head-timeout": _ended_by_gateway(some=True),
    "closed-mid-head": _ended_by_upstream(FIN, some=True),
    "reset-mid-head": _ended_by_upstream(RST, some=True),
    "truncated-body": _ended_by_upstream(FIN, some=True),
    "reset-mid-response": _ended_by_upstream(RST, some=True),
    "malformed-status-line": _answered_anything,
    "bad-header": _answered_anything,
    "header-too-large": _answered_anything,
    "upstream-returned-5xx": _answered_anything,
    "relayed-nested": _answered_anything,
    "attempt-succeeded-but-error": _answered_anything,
    "http-on-tls-port": lambda view: view.answer.startswith(b"\x15\x03") or not view.answer,
    "tls-on-http-port": _hello_then(_answered_with(b"HTTP/1.1 400")),
    "tls-alert-from-upstream": _hello_then(_answered_with(b"\x15\x03")),
    "tls-version-mismatch": _hello_then(_alert(70)),
    "tls-sni-missing": _hello_then(_alert(112)),
    "tls-sni-unrecognized": _hello_then(_alert(112)),
    "alpn-mismatch": _hello_then(_alert(120)),
    "tls-decrypt-error": _hello_then(_alert(51)),
    "tls-no-shared-cipher": _hello_then(_alert(40, 71)),
    **{code: _hello_then(_left_without_asking) for code in (
        "tls-cert-expired", "tls-cert-not-yet-valid", "tls-cert-name-mismatch", "tls-untrusted-ca", "tls-cert-revoked",
        "tls-cert-rejected-unknown", "tls-closed-after-handshake")},
    "tls-handshake-closed": _hello_then(_ended_by_upstream(FIN, some=False)),
    "tls-handshake-reset": _hello_then(_ended_by_upstream(RST, some=False)),
    "tls-handshake-timeout": _hello_then(_ended_by_gateway(some=False)),
}
