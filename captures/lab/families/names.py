"""The upstream's name does not lead to an address, at the time of the request."""

import time

import resolver
from families import Case, one_by_one
from faults import in_order
from gateways import Route
from topology import RESOLVER, SECOND_UPSTREAM, UPSTREAM

NAME = "shop.internal.example"
ANSWERS = {
    "nxdomain": "The resolver says that the upstream's name does not exist.",
    "nodata": "The resolver knows the name but no address of it.",
    "servfail": "The resolver fails.",
    "refused": "The resolver refuses to answer the gateway.",
}


def _answering(answer):
    def arrange(lab):
        lab.resolver({NAME: answer})
        lab.upstream(in_order())
    return arrange


def _cases():
    for number, (answer, about) in enumerate(ANSWERS.items()):
        yield Case(f"nginx-dns-{answer}", about, _answering(answer), one_by_one("GET", "GET"), Route(name=NAME),
                   on="eth0" if number % 2 else "any")
        yield Case(f"apache-dns-{answer}", about + " Apache asks through the C library and answers 500.", _answering(answer),
                   one_by_one("GET"), Route(name=NAME))
        yield Case(f"haproxy-dns-{answer}", about + " HAProxy resolves at request time and a rule answers 503.", _answering(answer),
                   one_by_one("GET"), Route(name=NAME))
        yield Case(f"envoy-dns-{answer}", about + " Envoy's dynamic forward proxy answers 503.", _answering(answer),
                   one_by_one("GET"), Route(name=NAME))


def _nobody_resolves(lab):
    """Nothing listens on the resolver's port: the query is answered by ICMP."""
    lab.network.use_resolver("gateway", RESOLVER)
    lab.upstream(in_order())
    lab.arrange(NAME, "dns-unreachable", None)


def _firewalled_resolver(lab):
    lab.network.use_resolver("gateway", RESOLVER)
    lab.upstream(in_order())
    lab.network.run("resolver", *"iptables -w -A INPUT -p udp --dport 53 -j REJECT --reject-with icmp-admin-prohibited".split())
    lab.arrange(NAME, "dns-unreachable", None)


OLD, NEW = UPSTREAM, SECOND_UPSTREAM


def _at_the_old_address(lab):
    lab.answers = {NAME: OLD}
    lab.resolver(lab.answers)
    lab.upstream(in_order(), address=OLD)
    lab.upstream(in_order(), address=NEW)


def _the_upstream_moves(lab):
    """One request is served; then the upstream moves, the resolver knows, and another program on the gateway's machine learns it. The gateway
    keeps the old address."""
    lab.visitor().ask(keep=False)
    time.sleep(0.2)
    lab.answers[NAME] = NEW
    lab.upstreams[1].stop()
    lab.arrange(f"{OLD}:8080", "dns-stale-address", None)
    resolver.look_up(lab.network, NAME)
    time.sleep(0.2)
    lab.visitor().ask(keep=False)


STALE = "The upstream has moved to another address. Another program on the gateway's machine asks for its name and learns the new one; the " \
        "gateway still dials the old one, where nothing listens any more."


def _unreachable():
    for number, gateway in enumerate(["nginx", "apache", "haproxy", "envoy", "caddy"]):
        yield Case(f"{gateway}-dns-unreachable", "Nothing listens on the resolver's port: ICMP 3/3 answers the query.", _nobody_resolves,
                   one_by_one("GET"), Route(name=NAME, connect_seconds=6, response_seconds=6), on="eth0" if number % 2 else "any",
                   accept=["dns-timeout"])
    yield Case("nginx-dns-admin-prohibited", "A firewall before the resolver answers the query with ICMP 3/13.", _firewalled_resolver,
               one_by_one("GET"), Route(name=NAME), on="eth0", accept=["dns-timeout"])


CASES = [
    *_unreachable(),
    Case("nginx-dns-stale-address", STALE, _at_the_old_address, _the_upstream_moves, Route(name=NAME, variant="long-names"),
         accept=["connect-refused"]),
    Case("haproxy-dns-stale-address", STALE + " HAProxy asked when it started, before the recording began.", _at_the_old_address,
         _the_upstream_moves, Route(name=NAME, variant="at-start"), accept=["connect-refused"], on="eth0", clear_two_leg=False),
    *_cases(),
    Case("nginx-dns-timeout", "The resolver never answers.", _answering("silence"), one_by_one("GET"), Route(name=NAME)),
    Case("apache-dns-timeout", "The resolver never answers the C library that Apache asks through.", _answering("silence"),
         one_by_one("GET"), Route(name=NAME)),
    Case("haproxy-dns-timeout", "The resolver never answers HAProxy.", _answering("silence"), one_by_one("GET"), Route(name=NAME)),
    Case("envoy-dns-timeout", "The resolver never answers Envoy.", _answering("silence"), one_by_one("GET"), Route(name=NAME)),
]
