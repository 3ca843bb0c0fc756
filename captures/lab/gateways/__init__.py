"""The gateways. A module each: how it is configured and started, and how its own log is read.

The sets of codes stand for what a gateway can know at most: it sees an errno, an end of file, silence or bad bytes, and several causes of
causes.md look alike to it. The other side's book then names the one.
"""

from dataclasses import dataclass, field

# connect() fails with ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, or another errno of the gateway's own kernel.
REFUSED = frozenset({"connect-refused", "icmp-port-unreachable", "dns-stale-address"})
NO_ROUTE_TO_HOST = frozenset({"icmp-host-unreachable", "icmp-admin-prohibited", "icmp-ttl-exceeded", "neighbor-unresolved",
                              "local-connect-error"})
NETWORK_UNREACHABLE = frozenset({"icmp-net-unreachable", "local-connect-error"})
OWN_ERROR = frozenset({"local-connect-error", "icmp-admin-prohibited"})
NO_ANSWER_TO_SYN = frozenset({"connect-timeout", "connect-half-open", "connect-stale-tuple", "listen-queue-overflow", "neighbor-unresolved",
                              "dns-stale-address"})
ANY_CONNECT = REFUSED | NO_ROUTE_TO_HOST | NETWORK_UNREACHABLE | OWN_ERROR | NO_ANSWER_TO_SYN | {"connect-reset-after-accept"}
# The request is sent, as far as the gateway knows, and its timer ends the wait.
NO_ANSWER = frozenset({"response-timeout", "head-timeout", "request-write-timeout", "zero-window-stall", "path-mtu-blackhole",
                       "idle-drop-middlebox", "connect-half-open", "listen-queue-overflow", "bad-interim-response"})
# The end of the connection before an answer, or within its head.
CLOSED = frozenset({"closed-before-response", "stale-keepalive-reuse", "http-on-tls-port", "proxy-protocol-missing",
                    "proxy-protocol-unexpected", "bad-interim-response", "request-reset-mid-body", "early-response-abort",
                    "unsolicited-response", "h2-on-h1-port"})
RESET = frozenset({"reset-before-response", "idle-drop-middlebox", "stale-keepalive-reuse", "connect-reset-after-accept",
                   "http-on-tls-port", "injected-reset", "proxy-protocol-missing", "proxy-protocol-unexpected", "request-reset-mid-body", "early-response-abort",
                   "unsolicited-response", "h2-on-h1-port"})
NOT_HTTP = frozenset({"malformed-status-line", "http09-response", "wrong-service", "h1-on-h2-port", "http-on-tls-port",
                      "unsolicited-response"})
BAD_FRAMING = frozenset({"conflicting-framing", "invalid-content-length", "unknown-transfer-coding"})
BAD_HEAD = BAD_FRAMING | {"bad-header", "header-too-large", "too-many-headers", "unexpected-upgrade", "bad-interim-response"}
# The head was passed on, and then the gateway had enough.
CUT_HERE = frozenset({"gateway-truncated-relay"})
# The head was passed on: the body ends too early, or stops.
CUT_BODY = frozenset({"truncated-body", "truncated-chunked", "bad-chunking", "bad-content-coding"})
BROKEN_BODY = CUT_BODY | {"reset-mid-response", "stall-mid-response"}
# The upstream says no in the handshake, or the gateway does.
BY_ALERT = frozenset({"tls-alert-from-upstream", "tls-version-mismatch", "tls-no-shared-cipher", "tls-sni-missing", "tls-sni-unrecognized",
                      "tls-client-cert-required", "tls-client-cert-rejected", "alpn-mismatch", "tls-decrypt-error"})
REJECTED = frozenset({"tls-cert-expired", "tls-cert-not-yet-valid", "tls-cert-name-mismatch", "tls-untrusted-ca", "tls-cert-revoked"})
HANDSHAKES = BY_ALERT | REJECTED | {"tls-handshake-closed", "tls-handshake-reset", "tls-handshake-timeout", "tls-on-http-port"}
NAMES = frozenset({"dns-nxdomain", "dns-nodata", "dns-servfail", "dns-refused", "dns-timeout", "dns-unreachable"})
NOT_TRIED = frozenset({"no-upstream-attempt"})
RELAYED = frozenset({"upstream-returned-5xx", "unsolicited-response", "relayed-nested"})


@dataclass
class Route:
    """What a case asks of a gateway, in words that all of them understand. A gateway ignores what it has no notion of."""

    upstreams: list = field(default_factory=lambda: ["10.77.0.3:8080"])
    weights: dict = field(default_factory=dict)     # upstream -> its share of the requests; 1 where it is not named
    tls: bool = False
    sealed: bool = False                # clients come in TLS, to port 443 alone
    verifies: bool = False              # the upstream's certificate, with ca.crt
    asks_for: str = ""                  # a server name, and verifies that one
    offers: str = ""                    # this version of TLS and no other
    suites: str = ""                    # these cipher suites of TLS 1.2
    shows: bool = False                 # a certificate of its own
    revocation: bool = False            # verifies with a list of revoked certificates too
    speaks: str = ""                    # an application protocol, asked for in the handshake
    reuse: bool = False
    retry: bool = False
    health_checks: bool = False
    name: str = ""                      # the upstream's host name, resolved at request time
    variant: str = ""                   # a word that one gateway's module explains
    port: int = 80                      # where clients come in clear
    connect_seconds: float = 0.8
    response_seconds: float = 1.2


@dataclass
class Attempt:
    """One try as the gateway's log tells it: where to, which codes its wording allows, over which connection if it says."""

    upstream: str | None
    codes: frozenset
    line: str
    connection: str | None = None       # the gateway's endpoint
    detail: str | None = None           # why nothing was tried


@dataclass
class Exchange:
    """One request as the gateway's log tells it."""

    client: str
    request: int                        # its number on that client connection
    status: int
    attempts: list
    line: str


def earlier_attempts(count, members, last, codes, line):
    """Tries before the last one, where a log only counts them: they went to the members that the last one did not go to."""
    others = [member for member in members if member != last]
    return [Attempt(others[number % len(others)], frozenset(codes), line) for number in range(count)]


def first_wording(wordings, text, product):
    """The codes of the first wording that is in the text."""
    for wording, codes in wordings:
        if wording in text:
            return frozenset(codes)
    raise ValueError(f"{product} said something that causes.md does not know: {text}")
