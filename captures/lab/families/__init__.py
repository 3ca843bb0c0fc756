"""What a case is, and the traffic that most cases share. Each module of this package is one family of causes."""

import time
from dataclasses import dataclass, field

from capture import Point
from client import PATIENCE_SECONDS
from gateways import Route, apache, ats, caddy, envoy, haproxy, lighttpd, nginx, squid, varnish

GATEWAYS = {
    "nginx": nginx,
    "haproxy": haproxy,
    "envoy": envoy,
    "apache": apache,
    "caddy": caddy,
    "varnish": varnish,
    "squid": squid,
    "lighttpd": lighttpd,
    "ats": ats,
}
# Those that every family is recorded with; the others have `products.py` and the families that name them.
FIRST_FOUR = ["nginx", "haproxy", "envoy", "apache"]


@dataclass
class Inner:
    """A gateway behind the gateway: the upstream that the case's route names, with upstreams of its own."""

    product: str
    route: Route
    place: str = "upstream"
    address: str = "10.77.0.3:80"

    @property
    def gateway(self):
        return GATEWAYS[self.product]


@dataclass(eq=False)
class Case:
    name: str
    about: str
    arrange: object                     # function(lab): upstreams, rules, resolvers
    traffic: object                     # function(lab): the clients
    route: Route = field(default_factory=Route)
    on: str = "any"                     # the interface that is recorded on the gateway's machine
    classic: bool = False               # tcpdump and pcap instead of dumpcap and pcapng
    only: str = ""                      # a capture filter
    points: list = field(default_factory=list)      # where it is recorded, if otherwise than that
    ipv6: bool = False
    remote: bool = False                # with a router and another network
    far: bool = False                   # with a path that has a delay
    back: bool = False                  # with a second interface and a network behind it
    street: bool = False                # with clients behind a path of their own
    host: bool = False                  # with the gateway in a container
    addresses: list = field(default_factory=list)   # the gateway's own, if others than the usual ones
    warm_up: object = None              # function(lab): traffic before the capture begins
    crowd: bool = False
    afresh: bool = False                # recorded each time it is wanted and not kept
    healthy: bool = False
    clear_two_leg: bool = True
    settle: float = 0                   # seconds between the gateway's start and the capture's
    partial: bool = False               # the capture begins or ends within an exchange, or shows one direction: a failure may be unseen
    hidden: bool = False                # no failure can be seen in full
    accept_unseen: list = field(default_factory=list)       # further codes for a failure that is in the capture in part
    cause: str = ""                     # what an observer can know, where it is less than the log knows
    accept: list = field(default_factory=list)
    alert: str = ""
    inner: Inner = None                 # a gateway behind the gateway
    keys: bool = False                  # whoever the lab itself is in TLS, client or upstream, writes its secrets into keys.log
    programs: list = field(default_factory=list)    # what else has to be there: a library of programs.py
    remove: object = None               # function(segments) -> numbers of the frames that are taken out afterwards

    @property
    def gateway(self):
        return GATEWAYS[self.name.split("-")[0]]

    @property
    def recorded_at(self):
        return self.points or [Point(on=self.on, classic=self.classic, only=self.only)]

    @property
    def shows_all(self):
        """One recording of everything on the gateway's machine, from before the first request to after the last."""
        first = self.recorded_at[0]
        return len(self.recorded_at) == 1 and first.place == "gateway" and first.is_whole and not (self.warm_up or self.partial)


# Seconds between requests after which an upstream has forgotten the connection on which it answered the one before: the gateway
# acknowledges the answer within 40 ms.
VANISHED = 0.1


def one_by_one(*methods, keep=True, target="/", body=b"", pause=0.0, patience=PATIENCE_SECONDS):
    """One client, one request after the other, over one connection as long as the gateway keeps it."""
    def traffic(lab):
        visitor = lab.visitor()
        for method in methods:
            visitor.ask(method, target, body=body if method == "POST" else b"", keep=keep, patience=patience)
            if pause:
                time.sleep(pause)
        visitor.close()
    return traffic


def served_by(plan, **where):
    return lambda lab: lab.upstream(plan, **where)
