"""What a case is, and the traffic that most cases share. Each module of this package is one family of causes."""

import time
from dataclasses import dataclass, field

from gateways import Route, apache, envoy, haproxy, nginx

GATEWAYS = {"nginx": nginx, "haproxy": haproxy, "envoy": envoy, "apache": apache}


@dataclass(eq=False)
class Case:
    name: str
    about: str
    arrange: object                     # function(lab): upstreams, rules, resolvers
    traffic: object                     # function(lab): the clients
    route: Route = field(default_factory=Route)
    on: str = "any"                     # the interface that is recorded
    classic: bool = False               # tcpdump and pcap instead of dumpcap and pcapng
    only: str = ""                      # a capture filter
    ipv6: bool = False
    remote: bool = False                # with a router and another network
    far: bool = False                   # with a path that has a delay
    back: bool = False                  # with a second interface and a network behind it
    warm_up: object = None              # function(lab): traffic before the capture begins
    crowd: bool = False
    healthy: bool = False
    clear_two_leg: bool = True
    settle: float = 0                   # seconds between the gateway's start and the capture's
    cause: str = ""                     # what an observer can know, where it is less than the log knows
    accept: list = field(default_factory=list)
    alert: str = ""
    remove: object = None               # function(segments) -> numbers of the frames that are taken out afterwards

    @property
    def gateway(self):
        return GATEWAYS[self.name.split("-")[0]]


def one_by_one(*methods, keep=True, target="/", body=b"", pause=0.0):
    """One client, one request after the other, over one connection as long as the gateway keeps it."""
    def traffic(lab):
        visitor = lab.visitor()
        for method in methods:
            visitor.ask(method, target, body=body if method == "POST" else b"", keep=keep)
            if pause:
                time.sleep(pause)
        visitor.close()
    return traffic


def served_by(plan, **where):
    return lambda lab: lab.upstream(plan, **where)
