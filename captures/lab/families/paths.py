"""What lies between the gateway and the upstream spoils the connection, or the hosts' own stacks do: filters that know one direction, a path
that drops large packets, a middlebox that forgot, a queue that is full, an old connection under the same name, a loop, no way out at all.
"""

import threading
import time

from families import Case, one_by_one, served_by
from faults import always, in_order
from gateways import Route
from injector import Injector
from topology import FAR, GATEWAY, REMOTE, UPSTREAM

BROKEN = f"{UPSTREAM}:8081"
FULL = f"{UPSTREAM}:8082"
BEHIND = f"{REMOTE}:8080"
FAR_UPSTREAM = f"{FAR}:8080"
LOOP, NO_WAY, FORBIDDEN = "10.78.5.9:8080", "10.78.0.9:8080", "10.78.0.8:8080"
OTHER = f"{UPSTREAM}:8080"

# What the gateway's machine records of its own SYN-ACKs is recorded before its firewall drops them.
NO_SYN_ACK = "iptables -w -A INPUT -p tcp --sport 8081 --tcp-flags SYN,ACK SYN,ACK -j DROP"
ONLY_SYNS = "iptables -w -A INPUT -p tcp --dport 8081 ! --syn -j DROP"
LARGE = "iptables -w -A FORWARD -p tcp {} {}/32 -m length --length 1000:65535 -j DROP"
NO_ICMP = "iptables -w -A OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP"


def _one_way(rule, place):
    def arrange(lab):
        lab.upstream(always("ok"), port=8081)
        lab.arrange(BROKEN, "connect-half-open", rule, place)
    return arrange


def _small_packets_only(direction, how):
    """The router drops large packets that go one way, and says nothing."""
    def arrange(lab):
        for place in ("gateway", "remote"):
            lab.network.segment_by_hand(place)
        lab.network.run("router", *LARGE.format(direction, REMOTE).split())
        lab.network.run("router", *NO_ICMP.split())
        lab.upstream(in_order("ok", "ok:2600", "ok:2600"), address=REMOTE, place="remote")
        lab.the_path_makes(BEHIND, "path-mtu-blackhole", how)
    return arrange


def _behind_the_router(cause, how):
    def arrange(lab):
        lab.upstream(always("ok"), address=REMOTE, place="remote")
        lab.the_path_makes(BEHIND, cause, how)
    return arrange


def _forgotten_while_idle(target, method="POST", idle=0.4, beside=False):
    """One answer, then the middlebox loses what it knew of this connection, then the next request on it; another, over a connection of
    its own, comes `beside` it."""
    def traffic(lab):
        visitor = lab.visitor()
        visitor.ask()
        port = [line for line in lab.upstream_book.lines if line["event"] == "accept"][-1]["peer"].rpartition(":")[2]
        for way in (f"--sport {port}", f"--dport {port}"):
            lab.network.run("router", *f"iptables -w -A FORWARD -p tcp {way} -j {target}".split())
        time.sleep(idle)
        visitor.close()
        asking = threading.Thread(target=visitor.ask, args=(method,), kwargs={"body": b"quantity=2" if method == "POST" else b""})
        asking.start()
        if beside:
            time.sleep(0.3)
            lab.visitor().ask(target="/beside", keep=False)
        asking.join()
        visitor.close()
    return traffic


def _injected(lab):
    lab.upstream(in_order("slow:0.3"), address=REMOTE, place="remote")
    lab.upstreams.append(Injector(lab.network, "router", BEHIND, lab.upstream_book))
    lab.the_path_makes(BEHIND, "injected-reset", "a machine at the router resets in the upstream's name, with a TTL of 251")


def _rejected(lab):
    lab.upstream(in_order("ok"), address=REMOTE, place="remote")
    lab.network.run("router", *"iptables -w -A FORWARD -p tcp --dport 8080 --tcp-flags PSH PSH -j REJECT --reject-with tcp-reset".split())
    lab.the_path_makes(BEHIND, "injected-reset", "the router refuses the request with a reset in the upstream's name")


def _filled(lab):
    """Serves one connection, then takes no more, and its queue is full."""
    lab.crammed(UPSTREAM, 8082, serves=1)
    lab.arrange(FULL, "listen-queue-overflow", None)


def _one_then_another(lab):
    """The second client comes while the first one's answer is still under way nowhere: its request needs a new connection."""
    visitor = lab.visitor()
    visitor.ask(keep=False)
    lab.fill(UPSTREAM, 8082, "client")
    lab.visitor().ask(keep=False)


def _filled_in_between(lab):
    """The gateway's SYN finds room in the queue, its last segment of the handshake does not."""
    lab.far_away(0.04)
    lab.crammed(FAR, 8080, serves=0, place="far")
    lab.arrange(FAR_UPSTREAM, "listen-queue-overflow", None)


def _somebody_else_is_faster(lab):
    asking = threading.Thread(target=lambda: lab.visitor().ask())
    asking.start()
    # The SYN is there after 40 ms, the last segment of the handshake after 120.
    time.sleep(0.08)
    lab.fill(FAR, 8080, "far")
    asking.join()


NO_RESET = "iptables -w -A INPUT -p tcp --dport 8081 --tcp-flags RST RST -j DROP"


def _held_by_an_old_connection(lab):
    """The upstream's host still holds a connection from the port that the gateway is going to use; the gateway's host has forgotten it."""
    lab.upstream(always("ok"), port=8081)
    lab.old_connection((GATEWAY, 45000), (UPSTREAM, 8081))
    lab.network.kernel("gateway", "ipv4/ip_local_port_range", "45000 45000")


def _held_for_good(lab):
    """What would free the name, the gateway's reset, is dropped."""
    _held_by_an_old_connection(lab)
    lab.arrange(BROKEN, "connect-stale-tuple", NO_RESET)


def _in_a_loop(lab):
    lab.network.kernel("remote", "ipv4/ip_forward", 1)
    for place in ("router", "remote"):
        lab.network.kernel(place, "ipv4/conf/all/send_redirects", 0)
        lab.network.kernel(place, "ipv4/conf/eth0/send_redirects", 0)
    lab.network.kernel("router", "ipv4/conf/eth1/send_redirects", 0)
    lab.network.run("router", *f"ip route add 10.78.5.9/32 via {REMOTE}".split())
    lab.arrange(LOOP, "icmp-ttl-exceeded", "ip route get 10.78.5.9", place="router")


def _no_way(upstream, kind):
    """The gateway's own routing table turns the connect away; another upstream is well."""
    def arrange(lab):
        lab.network.run("gateway", *f"ip route add {kind} {upstream.partition(':')[0]}/32".split())
        lab.upstream(always("ok"))
        lab.arrange(upstream, "local-connect-error", None)
    return arrange


def _no_port_left(lab):
    """One port for all connections to one upstream, and it is in use."""
    lab.upstream(in_order("ok", "slow:0.8"))
    lab.network.kernel("gateway", "ipv4/ip_local_port_range", "45000 45000")
    lab.arrange(OTHER, "local-connect-error", None)


def _own_firewall(reject):
    """The gateway's own firewall refuses what leaves for one of two upstreams, and tells its own host so by ICMP."""
    def arrange(lab):
        lab.upstream(always("ok"))
        lab.arrange(BROKEN, "local-connect-error", f"iptables -w -A OUTPUT -p tcp --dport 8081 -j REJECT --reject-with {reject}", "gateway")
    return arrange


def _two_at_a_time(lab):
    lab.visitor().ask(keep=False)
    slow = threading.Thread(target=lambda: lab.visitor().ask(keep=False))
    slow.start()
    time.sleep(0.3)
    lab.visitor().ask(keep=False)
    slow.join()


HASTY, PATIENT = 0.8, 2.5
REUSING = Route(upstreams=[BEHIND], reuse=True)


def _half_open(gateway, number):
    yield Case(f"{gateway}-half-open-syn-ack-dropped", "The upstream accepts the connection; the gateway's own firewall drops the SYN-ACK, "
               "behind the point where it is recorded.", _one_way(NO_SYN_ACK, "gateway"), one_by_one("GET", keep=False),
               Route(upstreams=[BROKEN], connect_seconds=1.5), on="eth0" if number % 2 else "any")
    yield Case(f"{gateway}-half-open-ack-dropped", "The upstream's firewall lets SYNs in and nothing else: the handshake is complete for the "
               "gateway alone, and the upstream sends its SYN-ACK again. A full queue of the upstream looks the same.",
               _one_way(ONLY_SYNS, "upstream"), one_by_one("POST", keep=False, body=b"quantity=2"),
               Route(upstreams=[BROKEN], response_seconds=1.6), on="any" if number % 2 else "eth0", accept=["listen-queue-overflow"])


def _black_holes(gateway, number):
    yield Case(f"{gateway}-mtu-blackhole-request", "The router drops packets of more than 1000 bytes towards the upstream, and no ICMP comes: "
               "small requests work, a large one does not.",
               _small_packets_only("-d", "packets of more than 1000 bytes towards the upstream are dropped without a word"),
               one_by_one("GET", "POST", body=b"q" * 3000, keep=False), Route(upstreams=[BEHIND], response_seconds=1.6), remote=True,
               on="any" if number % 2 else "eth0", accept=["loss-stall"])
    yield Case(f"{gateway}-mtu-blackhole-response", "The router drops packets of more than 1000 bytes from the upstream: of a larger answer "
               "only the last, short packet comes, and the hole before it is never filled.",
               _small_packets_only("-s", "packets of more than 1000 bytes from the upstream are dropped without a word"),
               one_by_one("GET", "GET", keep=False), Route(upstreams=[BEHIND], response_seconds=1.6), remote=True,
               on="eth0" if number % 2 else "any", accept=["loss-stall"])


def _middleboxes(gateway, number):
    yield Case(f"{gateway}-idle-dropped", "A middlebox forgot the idle pooled connection and drops what belongs to it, without a word.",
               _behind_the_router("idle-drop-middlebox", "the middlebox drops the packets of the idle connection"),
               _forgotten_while_idle("DROP"), Route(upstreams=[BEHIND], reuse=True, response_seconds=1.6), remote=True,
               on="eth0" if number % 2 else "any", accept=["loss-stall"])


def _local(gateway, number):
    for kind, upstream in (("unreachable", NO_WAY), ("prohibit", FORBIDDEN)):
        yield Case(f"{gateway}-local-{kind}", f"The gateway's own routing table says `{kind}` for one of two upstreams: connect() fails and "
                   "no packet leaves. An observer cannot tell it from a request that was not tried.", _no_way(upstream, kind),
                   one_by_one(*["GET"] * 4, keep=False), Route(upstreams=[OTHER, upstream]), on="eth0" if number % 2 else "any",
                   accept=["no-upstream-attempt"])


def _cases(gateways):
    for number, gateway in enumerate(gateways):
        for kind in (_half_open, _black_holes, _middleboxes, _local):
            yield from kind(gateway, number)
        yield Case(f"{gateway}-routing-loop", "Router and next router send packets for the upstream to each other until their TTL is used up: "
                   "ICMP 11/0.", _in_a_loop, one_by_one("GET", keep=False), Route(upstreams=[LOOP], connect_seconds=PATIENT), remote=True,
                   on="any" if number % 2 else "eth0")
        yield Case(f"{gateway}-stale-tuple", "The upstream's host still holds an old connection from the same port: it answers the SYN with a "
                   "bare ACK. The gateway's host resets that one, but a firewall drops the reset, and so it goes on.", _held_for_good,
                   one_by_one("GET", keep=False), Route(upstreams=[BROKEN], connect_seconds=1.5), on="eth0" if number % 2 else "any")


# Of the same kinds some with the other gateways.
OTHERS = {
    "envoy": ["half-open-ack-dropped", "mtu-blackhole-request", "idle-dropped", "local-unreachable", "routing-loop"],
    "apache": ["half-open-syn-ack-dropped", "mtu-blackhole-response", "idle-dropped", "local-prohibit", "stale-tuple"],
    "caddy": ["half-open-ack-dropped", "idle-dropped", "routing-loop"],
    "varnish": ["half-open-syn-ack-dropped", "mtu-blackhole-request", "local-unreachable"],
}

CASES = [
    *_cases(["nginx", "haproxy"]),
    *[case for case in _cases(OTHERS) if case.name.partition("-")[2] in OTHERS[case.name.partition("-")[0]]],
    *[Case(f"{gateway}-idle-dropped-alone", "A middlebox forgot the pooled connection while it was idle for 1.2 s and drops what belongs to it; "
           "a request over another connection to the same upstream is answered meanwhile.",
           _behind_the_router("idle-drop-middlebox", "the middlebox drops the packets of the idle connection"),
           _forgotten_while_idle("DROP", idle=1.2, beside=True), Route(upstreams=[BEHIND], reuse=True, response_seconds=1.6), remote=True,
           on=on, accept=["loss-stall"]) for gateway, on in (("nginx", "any"), ("haproxy", "eth0"))],
    *[Case(f"{gateway}-idle-reset", "A middlebox forgot the pooled connection while it was idle for 1.2 s, and answers what belongs to it with a "
           "reset of its own.", _behind_the_router("idle-drop-middlebox", "the middlebox resets what belongs to the idle connection"),
           _forgotten_while_idle("REJECT --reject-with tcp-reset", idle=1.2), Route(upstreams=[BEHIND], reuse=True), remote=True, on=on,
           accept=["stale-keepalive-reuse", "injected-reset"]) for gateway, on in (("nginx", "eth0"), ("envoy", "any"))],
    *[Case(f"{gateway}-local-firewall", "The gateway's own firewall refuses what leaves for one of two upstreams: no SYN leaves, and an ICMP "
           "error goes from the host to itself.", _own_firewall("icmp-admin-prohibited"), one_by_one(*["GET"] * 4, keep=False),
           Route(upstreams=[OTHER, BROKEN]), accept=["no-upstream-attempt"]) for gateway in ("nginx", "apache")],
    Case("nginx-healthy-stale-tuple", "The upstream's host still holds an old connection from the same port: it answers the SYN with a bare ACK, "
         "the gateway's host resets that one and sends its SYN again: all is well.", _held_by_an_old_connection, one_by_one("GET"),
         Route(upstreams=[BROKEN], connect_seconds=1.5), healthy=True),
    Case("nginx-injected-reset", "A machine in the middle answers the request with a reset in the upstream's name; its TTL is not the "
         "upstream's.", _injected, one_by_one("GET"), Route(upstreams=[BEHIND]), remote=True, accept=["reset-before-response"]),
    Case("haproxy-injected-reset", "A machine in the middle answers the request with a reset in the upstream's name; its TTL is not the "
         "upstream's.", _injected, one_by_one("GET"), Route(upstreams=[BEHIND]), remote=True, accept=["reset-before-response"], on="eth0"),
    Case("envoy-injected-reset", "A machine in the middle answers the request with a reset in the upstream's name; its TTL is not the "
         "upstream's.", _injected, one_by_one("GET"), Route(upstreams=[BEHIND]), remote=True, accept=["reset-before-response"]),
    Case("haproxy-router-resets", "The router refuses the request with a bare reset in the upstream's name; only its TTL is one more than the "
         "upstream's.", _rejected, one_by_one("GET"), Route(upstreams=[BEHIND]), remote=True, accept=["reset-before-response"]),
    Case("nginx-idle-reset-by-middlebox", "A middlebox forgot the idle pooled connection and resets the request on it.",
         _behind_the_router("idle-drop-middlebox", "the middlebox resets the packets of the idle connection"),
         _forgotten_while_idle("REJECT --reject-with tcp-reset"), REUSING, remote=True,
         accept=["injected-reset", "stale-keepalive-reuse", "reset-before-response"]),
    *[Case(f"{gateway}-queue-full", "The upstream takes no connection from its full queue: the gateway's SYN is dropped, while an older "
           "connection was served well. An observer cannot tell it from a firewall.", _filled, _one_then_another,
           Route(upstreams=[FULL], connect_seconds=HASTY), accept=["connect-timeout"], on="any" if gateway == "nginx" else "eth0")
      for gateway in ("nginx", "haproxy")],
    *[Case(f"{gateway}-queue-full-after-syn", "The upstream's queue is full when the handshake's last segment comes: the gateway sends its "
           "request into the void, and the upstream sends its SYN-ACK again.", _filled_in_between, _somebody_else_is_faster,
           Route(upstreams=[FAR_UPSTREAM], response_seconds=1.6), far=True, accept=["connect-half-open"],
           on="eth0" if gateway == "nginx" else "any")
      for gateway in ("nginx", "haproxy")],
    *[Case(f"{gateway}-no-port-left", "The only port that the gateway may connect from is in use for the same upstream: connect() fails with "
           "EADDRNOTAVAIL and no packet leaves.", _no_port_left, _two_at_a_time, Route(), accept=["no-upstream-attempt"])
      for gateway in ("nginx", "haproxy")],
]
