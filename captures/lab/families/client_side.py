"""The client is at fault: it sends no request, or stops within one, and the gateway tells it so. No upstream is asked."""

from families import Case, served_by
from faults import always
from gateways import Route

HALF_A_REQUEST = b"GET / HTTP/1.1\r\nHost: shop.example\r\nX-Half"
NO_REQUEST = b"GET / HTTP/1.1\r\nHost: shop.example\r\nNo colon here\r\n\r\n"
HALF_A_BODY = b"POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
NO_CHUNK = b"zzz\r\n"
HASTY = Route(variant="hasty")


def _badly(cause, data, rest=b""):
    def traffic(lab):
        visitor = lab.visitor()
        visitor.ask()
        visitor.ask_badly(cause, data, rest)
        visitor.close()
    return traffic


def _cases():
    for number, gateway in enumerate(["haproxy", "envoy", "apache"]):
        yield Case(f"{gateway}-client-request-timeout", "The client's second request stops in its head; after a second the gateway answers 408.",
                   served_by(always("ok")), _badly("client-request-timeout", HALF_A_REQUEST), HASTY, on="eth0" if number % 2 else "any")
    for number, gateway in enumerate(["nginx", "haproxy", "envoy", "apache"]):
        yield Case(f"{gateway}-client-bad-request", "The client's second request has a line that is no header field; the gateway answers 400.",
                   served_by(always("ok")), _badly("client-bad-request", NO_REQUEST), on="any" if number % 2 else "eth0")
    for gateway in ("haproxy", "envoy"):
        yield Case(f"{gateway}-client-bad-chunk", "The client's POST is under way to the upstream when a chunk has the size `zzz`; the gateway "
                   "answers 400 and gives the upstream's connection up.", served_by(always("ok")),
                   _badly("client-bad-request", HALF_A_BODY, NO_CHUNK))


CASES = [*_cases()]
