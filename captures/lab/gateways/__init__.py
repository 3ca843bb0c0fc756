"""The four gateways. A module each: how it is configured and started, and how its own log is read."""

from dataclasses import dataclass, field


@dataclass
class Route:
    """What a case asks of a gateway, in words that all four understand. A gateway ignores what it has no notion of."""

    upstreams: list = field(default_factory=lambda: ["10.77.0.3:8080"])
    tls: bool = False
    reuse: bool = False
    retry: bool = False
    health_checks: bool = False
    name: str = ""                      # the upstream's host name, resolved at request time
    variant: str = ""                   # a word that one gateway's module explains
    connect_seconds: float = 0.8
    response_seconds: float = 1.2


@dataclass
class Attempt:
    """One try as the gateway's log tells it: where to, which codes its wording allows, over which connection if it says."""

    upstream: str | None
    codes: frozenset
    line: str
    connection: str | None = None       # the gateway's endpoint


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
