"""The connection to the upstream does not come about: refused, unanswered, or turned away by the network."""

from families import Case, FIRST_FOUR, one_by_one
from faults import in_order
from gateways import Route

BROKEN = "10.77.0.3:8081"
HEALTHY = "10.77.0.3:8080"
INPUT = "iptables -w -A INPUT -p tcp --dport 8081 -j"
# The third segment of the handshake: bare, from the gateway. Refusing only it leaves a connection that the gateway believes in.
LAST_OF_HANDSHAKE = "iptables -w -A INPUT -p tcp --dport 8081 --tcp-flags SYN,ACK,RST,FIN,PSH ACK -j REJECT --reject-with tcp-reset"

RULES = {
    "connect-refused": (None, "Nothing listens on the upstream's port: the SYN is answered by RST."),
    "connect-timeout": (f"{INPUT} DROP", "A firewall on the upstream drops the SYN without a word."),
    "connect-reset-after-accept": (LAST_OF_HANDSHAKE, "The handshake completes for the gateway and is reset before it sent a byte."),
    "icmp-port-unreachable": (f"{INPUT} REJECT --reject-with icmp-port-unreachable", "The SYN is answered with ICMP 3/3."),
    "icmp-host-unreachable": (f"{INPUT} REJECT --reject-with icmp-host-unreachable", "The SYN is answered with ICMP 3/1."),
    "icmp-net-unreachable": (f"{INPUT} REJECT --reject-with icmp-net-unreachable", "The SYN is answered with ICMP 3/0."),
    "icmp-admin-prohibited": (f"{INPUT} REJECT --reject-with icmp-admin-prohibited", "The SYN is answered with ICMP 3/13."),
}
SHORT_SECONDS, LONG_SECONDS = 0.8, 1.5
# The kernel repeats a SYN after a second. HAProxy sees an ICMP error only then.
MORE_THAN_ONE_SYN = {("haproxy", "icmp-admin-prohibited"), ("nginx", "connect-timeout"), ("envoy", "connect-timeout"),
                     ("apache", "connect-timeout")}
ON = {
    "connect-refused": FIRST_FOUR,
    "connect-timeout": FIRST_FOUR,
    "connect-reset-after-accept": ["nginx", "haproxy", "envoy"],
    "icmp-port-unreachable": ["nginx", "envoy"],
    "icmp-host-unreachable": ["nginx", "apache"],
    "icmp-net-unreachable": ["nginx", "haproxy"],
    "icmp-admin-prohibited": FIRST_FOUR,
}


def _broken(code, rule):
    def arrange(lab):
        lab.arrange(BROKEN, code, rule)
        if code == "connect-reset-after-accept":
            lab.upstream(in_order(), port=8081)
    return arrange


def _cases():
    for number, (code, (rule, about)) in enumerate(RULES.items()):
        for gateway in ON[code]:
            patience = LONG_SECONDS if (gateway, code) in MORE_THAN_ONE_SYN else SHORT_SECONDS
            yield Case(f"{gateway}-{code}", about, _broken(code, rule), one_by_one("GET", "GET", keep=gateway != "nginx"),
                       Route(upstreams=[BROKEN], connect_seconds=patience, response_seconds=2.5),
                       on="eth0" if number % 3 == 1 else "any", classic=gateway == "apache")


def _by_the_router(lab):
    lab.network.run("router", *"ip route add unreachable 10.78.0.77/32".split())
    lab.arrange("10.78.0.77:8080", "icmp-host-unreachable", "iptables -w -L FORWARD", place="router")


def _prohibited_by_the_router(lab):
    lab.network.run("router", *"ip route add prohibit 10.78.0.78/32".split())
    lab.arrange("10.78.0.78:8080", "icmp-admin-prohibited", "iptables -w -L FORWARD", place="router")


def _half_is_broken(code):
    def arrange(lab):
        lab.arrange(BROKEN, code, RULES[code][0])
        lab.upstream(in_order(), port=8080)
    return arrange


NOBODY, NOBODY6, NO_ROUTER = "10.77.0.77", "fd77::77", "10.77.0.250"
# Linux asks three times, a second apart, and tells the gateway EHOSTUNREACH a second later. On eth0 the ICMP error to itself that goes
# with it is not seen, so nothing names the upstream.
KERNEL_SECONDS = 4.0


def _nobody(address=NOBODY, port=8080):
    """An address on the link that nobody owns: the neighbour's hardware address is asked for in vain, and no SYN leaves."""
    def arrange(lab):
        host = f"[{address}]" if ":" in address else address
        lab.unowned(f"{host}:{port}", address)
    return arrange


def _no_router(lab):
    lab.network.run("gateway", *f"ip route replace 10.78.0.0/16 via {NO_ROUTER}".split())
    lab.unowned("10.78.0.3:8080", NO_ROUTER)


def _refused_and_nobody(lab):
    lab.arrange(BROKEN, "connect-refused", None)
    _nobody()(lab)


def _healthy_and_nobody(lab):
    lab.upstream(in_order(), port=8080)
    _nobody()(lab)


def _unresolved():
    for gateway in FIRST_FOUR:
        yield Case(f"{gateway}-neighbor-unresolved", "Nobody owns the upstream's address: ARP is not answered, and no SYN leaves.",
                   _nobody(), one_by_one("GET", "GET"),
                   Route(upstreams=[f"{NOBODY}:8080"], connect_seconds=KERNEL_SECONDS, response_seconds=5.0),
                   on="eth0" if gateway in ("haproxy", "apache") else "any", classic=gateway == "apache",
                   clear_two_leg=gateway not in ("haproxy", "apache"))
    yield Case("nginx-neighbor-unresolved-timer", "Nobody answers ARP for the upstream, and nginx gives up before the kernel does.",
               _nobody(), one_by_one("GET"), Route(upstreams=[f"{NOBODY}:8080"], connect_seconds=LONG_SECONDS), on="eth0",
               clear_two_leg=False)
    yield Case("envoy-ipv6-neighbor-unresolved", "Both legs over IPv6; nobody answers the neighbour solicitations for the upstream.",
               _nobody(NOBODY6), lambda lab: lab.visitor("[fd77::1]:80").ask(),
               Route(upstreams=[f"[{NOBODY6}]:8080"], connect_seconds=KERNEL_SECONDS, response_seconds=5.0), ipv6=True)
    yield Case("haproxy-ipv6-neighbor-unresolved", "Both legs over IPv6; nobody answers the neighbour solicitations for the upstream.",
               _nobody(NOBODY6), lambda lab: lab.visitor("[fd77::1]:80").ask(),
               Route(upstreams=[f"[{NOBODY6}]:8080"], connect_seconds=KERNEL_SECONDS), ipv6=True, on="eth0", clear_two_leg=False)
    yield Case("nginx-router-unresolved", "The upstream is on another network, and nobody answers ARP for the router on the way to it.",
               _no_router, one_by_one("GET"), Route(upstreams=["10.78.0.3:8080"], connect_seconds=KERNEL_SECONDS), on="eth0", remote=True,
               clear_two_leg=False)
    yield Case("nginx-retry-neighbor-unresolved", "The first upstream refuses, and nobody owns the address of the second.",
               _refused_and_nobody, one_by_one("GET"),
               Route(upstreams=[BROKEN, f"{NOBODY}:8080"], connect_seconds=KERNEL_SECONDS, retry=True))
    yield Case("haproxy-one-of-two-unresolved", "Two upstreams in turn; nobody owns the address of one of them.",
               _healthy_and_nobody, one_by_one(*["GET"] * 4),
               Route(upstreams=[HEALTHY, f"{NOBODY}:8080"], connect_seconds=KERNEL_SECONDS))
    yield Case("haproxy-neighbor-unresolved-checks", "Health checks ask for an address that nobody owns; requests are answered at once, "
               "without an attempt of their own.", _nobody(), one_by_one(*["GET"] * 5, pause=0.7),
               Route(upstreams=[f"{NOBODY}:8080"], connect_seconds=KERNEL_SECONDS, health_checks=True), settle=2.5,
               accept=["upstream-leg-not-captured"], clear_two_leg=False)


EXTRA = [
    Case("nginx-router-host-unreachable", "The upstream is on another network; the router has no way to it and says ICMP 3/1.",
         _by_the_router, one_by_one("GET", "GET"), Route(upstreams=["10.78.0.77:8080"]), remote=True),
    Case("envoy-router-admin-prohibited", "The upstream is on another network; the router may not let anyone there and says ICMP 3/13.",
         _prohibited_by_the_router, one_by_one("GET"), Route(upstreams=["10.78.0.78:8080"]), remote=True),
    Case("haproxy-ipv6-connect-refused", "Both legs over IPv6; nothing listens on the upstream's port.",
         lambda lab: lab.arrange("[fd77::3]:8080", "connect-refused", None),
         lambda lab: lab.visitor("[fd77::1]:80").ask(), Route(upstreams=["[fd77::3]:8080"]), ipv6=True),
    Case("nginx-one-of-two-refused", "Two upstreams in turn, one of them without a listener, and no retry: every other request fails.",
         _half_is_broken("connect-refused"), one_by_one(*["GET"] * 6), Route(upstreams=[BROKEN, HEALTHY])),
    Case("envoy-one-of-two-refused", "Two upstreams in turn, one of them without a listener, and no retry: every other request fails.",
         _half_is_broken("connect-refused"), one_by_one(*["GET"] * 6), Route(upstreams=[BROKEN, HEALTHY])),
    Case("haproxy-one-of-two-silent", "Two ports of one upstream in turn; the firewall drops what goes to one of them. A later request "
         "of a client connection that meets it is not answered: HAProxy logs 503 and closes without a byte.",
         _half_is_broken("connect-timeout"), one_by_one(*["GET"] * 4), Route(upstreams=[HEALTHY, BROKEN])),
    Case("apache-one-of-two-timeout", "Two ports of one upstream in turn; the firewall drops what goes to one of them.",
         _half_is_broken("connect-timeout"), one_by_one(*["GET"] * 4), Route(upstreams=[HEALTHY, BROKEN])),
]

AT_THE_CLIENTS = Route(upstreams=["10.77.0.2:8080"])


def _at_the_clients(*steps):
    """The clients and the upstream are one host."""
    return lambda lab: lab.upstream(in_order(*steps), address="10.77.0.2", place="client")


CASES = [
    Case("nginx-one-host-closed", "Clients and upstream are one host with one address, which the gateway asks back; the upstream closes on the "
         "third request.", _at_the_clients("ok", "ok", "close", "ok"), one_by_one(*["GET"] * 4, keep=False), AT_THE_CLIENTS),
    Case("haproxy-one-host-timeout", "Clients and upstream are one host with one address; the upstream does not answer the third request.",
         _at_the_clients("ok", "ok", "hang", "ok"), one_by_one(*["GET"] * 4, keep=False), AT_THE_CLIENTS, on="eth0"),
    Case("nginx-one-host-healthy", "Clients and upstream are one host with one address; nothing is wrong.",
         _at_the_clients("ok"), one_by_one(*["GET"] * 4), Route(upstreams=["10.77.0.2:8080"], reuse=True), healthy=True),
    *_cases(), *EXTRA, *_unresolved()]