"""The fault is plain, but the capture does not show it: a filter hid the upstream's side, or frames are missing."""

import packets
from families import Case, one_by_one, served_by
from faults import in_order
from gateways import Route


def _upstream_frames(segments, upstream="10.77.0.3:8080"):
    return [segment for segment in segments if upstream in (segment.source, segment.destination)]


def _answer_of_the_last_connection(segments):
    """What the upstream sent on its last connection after the handshake: the gateway acknowledges bytes that are in no frame."""
    frames = _upstream_frames(segments)
    last = frames[-1].source if frames[-1].source != "10.77.0.3:8080" else frames[-1].destination
    return [segment.frame for segment in frames
            if segment.destination == last and (segment.payload or segment.flags & (packets.FIN | packets.RST))]


def _a_regular_comes(lab):
    """The connections on both legs are opened before the capture begins."""
    lab.regular = lab.visitor()
    lab.regular.ask()


def _the_regular_asks(*methods):
    def traffic(lab):
        for method in methods:
            lab.regular.ask(method, body=b"quantity=2" if method == "POST" else b"")
        lab.regular.close()
    return traffic


FILTERED = "port 80"
POOLED = Route(reuse=True)

CASES = [
    Case("nginx-filter-hides-upstream", "The upstream resets, but the capture's filter shows the client's side only.",
         served_by(in_order("ok", "reset")), one_by_one("GET", "GET"), only=FILTERED, clear_two_leg=False,
         cause="upstream-leg-not-captured"),
    Case("haproxy-filter-hides-upstream", "The upstream is silent, but the capture's filter shows the client's side only.",
         served_by(in_order("hang")), one_by_one("GET"), only=FILTERED, clear_two_leg=False, cause="upstream-leg-not-captured"),
    Case("envoy-filter-hides-upstream", "The upstream closes, but the capture's filter shows the client's side only.",
         served_by(in_order("ok", "close")), one_by_one("GET", "GET"), only=FILTERED, clear_two_leg=False,
         cause="upstream-leg-not-captured"),
    Case("apache-filter-hides-upstream", "Nothing listens upstream, but the capture's filter shows the client's side only.",
         lambda lab: lab.arrange("10.77.0.3:8080", "connect-refused", None), one_by_one("GET"), only=FILTERED, clear_two_leg=False,
         cause="upstream-leg-not-captured", classic=True),
    Case("nginx-capture-gap", "The upstream sends half a head and closes. Taken out with editcap: every data and FIN frame of the "
         "upstream on its last connection; the gateway acknowledges bytes that no frame holds.",
         served_by(in_order("ok", "close-mid-head")), one_by_one("GET", "GET"), clear_two_leg=False, cause="capture-gap",
         remove=_answer_of_the_last_connection),
    Case("haproxy-capture-gap", "The upstream answers with garbage. Taken out with editcap: every data and FIN frame of the upstream on "
         "its last connection; the gateway acknowledges bytes that no frame holds.",
         served_by(in_order("ok", "garbage")), one_by_one("GET", "GET"), clear_two_leg=False, cause="capture-gap",
         remove=_answer_of_the_last_connection),
    Case("nginx-late-capture-reset", "The capture begins when the connections of both legs are long open; then the upstream resets.",
         served_by(in_order("ok", "ok", "reset")), _the_regular_asks("GET", "POST"), POOLED, warm_up=_a_regular_comes, clear_two_leg=False),
    Case("envoy-late-capture-timeout", "The capture begins when the connections of both legs are long open; then the upstream is silent.",
         served_by(in_order("ok", "hang")), _the_regular_asks("GET"), POOLED, warm_up=_a_regular_comes, clear_two_leg=False),
    Case("haproxy-late-capture-silent", "The capture begins when the connections of both legs are long open; then the upstream closes and "
         "HAProxy closes the client's connection without a byte.",
         served_by(in_order("ok", "ok", "close")), _the_regular_asks("GET", "GET"), POOLED, warm_up=_a_regular_comes, clear_two_leg=False),
    Case("envoy-late-capture-stale", "The upstream's host forgot the pooled connection before the capture began. That it had served is in "
         "no frame: an observer may as well say reset-before-response.",
         served_by(in_order("ok+vanish")), _the_regular_asks("GET"), POOLED, warm_up=_a_regular_comes, clear_two_leg=False,
         accept=["reset-before-response"]),
]
