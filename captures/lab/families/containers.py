"""The gateway runs in a container; the recording is made on `any` of its host, where each packet passes two to four interfaces, before
and after the host rewrote its addresses."""

import time

import containers
from capture import Point
from client import crowd
from containers import APP, CONTAINER
from families import Case, VANISHED, served_by
from faults import in_order, mixed
from gateways import Route
from topology import GATEWAY

PUBLISHED = f"{GATEWAY}:{containers.PUBLISHED_PORT}"
ON_THE_HOST = [Point(place="host")]
BY_TCPDUMP = [Point(place="host", classic=True)]
BROKEN = "10.77.0.3:8081"
SERVICE = "10.96.0.10:80"


def _asked(*methods, place="client", keep=True, body=b"", pause=0.0):
    def traffic(lab):
        visitor = lab.visitor(PUBLISHED, place)
        for method in methods:
            visitor.ask(method, body=body if method == "POST" else b"", keep=keep)
            time.sleep(pause)
        visitor.close()
    return traffic


def _neighbours_of_both(*methods):
    """Requests from outside and from a container on the same bridge, which both call the host's published port."""
    def traffic(lab):
        for place in ("client", "neighbour"):
            _asked(*methods, place=place)(lab)
    return traffic


def _service(pod, arrange):
    def prepared(lab):
        containers.service(lab.network, SERVICE, pod)
        arrange(lab)
    return prepared


def _with(rule, arrange):
    def prepared(lab):
        rule(lab.network)
        arrange(lab)
    return prepared


def _case(name, about, arrange, traffic, route=None, **more):
    return Case(name, about, arrange, traffic, route or Route(), host=True, addresses=[CONTAINER],
                **{"points": ON_THE_HOST, **more})


BY_SERVICE = Route(upstreams=[SERVICE])
ON_THE_BRIDGE = Route(upstreams=[f"{APP}:8080"])

CASES = [
    _case("nginx-container-refused", "The gateway's container is reached by a published port and goes out by masquerade; nothing listens "
          "upstream.", lambda lab: lab.arrange(BROKEN, "connect-refused", None), _asked("GET", "GET"), Route(upstreams=[BROKEN])),
    _case("haproxy-container-reset", "The gateway's container is reached by a published port and goes out by masquerade; the upstream "
          "resets.", served_by(in_order("ok", "reset")), _asked("GET", "GET", keep=False)),
    _case("envoy-container-closed", "The upstream is another container on the gateway's bridge; it closes without an answer.",
          served_by(in_order("ok", "close"), address=APP, place="app"), _asked("GET", "POST", body=b"quantity=2"), ON_THE_BRIDGE),
    _case("apache-container-timeout", "The gateway's container goes out by masquerade; the upstream is silent.",
          served_by(in_order("ok", "hang")), _asked("GET", "GET"), points=BY_TCPDUMP),
    _case("nginx-container-stale-post", "The upstream's host forgot the pooled connection that the container keeps through the host's "
          "translation; the POST on it is answered by a bare RST.", served_by(in_order("ok", "ok+vanish", "ok")),
          _asked("GET", "GET", "POST", "GET", body=b"quantity=2", pause=VANISHED), Route(reuse=True)),
    _case("haproxy-container-upstream-503", "The gateway dials a service's address, which the host turns into that of a container on the "
          "same bridge; that one answers 503 itself.",
          _service(f"{APP}:8080", served_by(in_order("ok", "status:503"), address=APP, place="app")), _asked("GET", "GET"), BY_SERVICE),
    _case("envoy-container-service-reset", "The gateway dials a service's address; the host turns it into that of an upstream elsewhere and "
          "masquerades with a port by chance: both ends of the connection have two names. The upstream resets.",
          _with(containers.random_ports, _service("10.77.0.3:8080", served_by(in_order("ok", "ok", "reset")))),
          _asked("GET", "GET", "GET"), BY_SERVICE),
    _case("apache-container-service-refused", "The gateway dials a service's address; nothing listens on the container behind it.",
          _service(f"{APP}:8081", lambda lab: lab.arrange(SERVICE, "connect-refused", None)), _asked("GET"), BY_SERVICE),
    _case("nginx-container-hairpin-timeout", "A client outside and a client in a container on the gateway's bridge both call the host's "
          "published port; the upstream answers the first and is silent to the second.",
          served_by(in_order("ok", "hang")), _neighbours_of_both("GET")),
    _case("envoy-container-hairpin-masquerade", "A client in a container on the gateway's bridge calls the host's published port and appears "
          "to the gateway under the host's address; the upstream, a container too, closes in the middle of the head.",
          _with(containers.hairpin_masquerade, served_by(in_order("ok", "close-mid-head"), address=APP, place="app")),
          _asked("GET", "GET", place="neighbour"), ON_THE_BRIDGE),
    _case("envoy-container-connect-timeout", "The gateway's container goes out by masquerade; a firewall on the upstream drops the SYN.",
          lambda lab: lab.arrange(BROKEN, "connect-timeout", "iptables -w -A INPUT -p tcp --dport 8081 -j DROP"), _asked("GET"),
          Route(upstreams=[BROKEN])),
    _case("nginx-container-vantage-reset", "Recorded on the client, on the containers' host, whose clock is 3.2 s ahead, and on the upstream's "
          "machine, 0.75 s behind: the same connections under the names of three places. The upstream resets.",
          _with(containers.random_ports, served_by(in_order("ok", "ok", "reset"))), _asked("GET", "POST", "GET"),
          points=[Point("capture.client", "client"), Point("capture.host", "host", ahead=3.2), Point("capture.upstream", "upstream", ahead=-0.75)]),
    _case("haproxy-container-vantage-inside-closed", "Recorded inside the gateway's container and on the upstream's machine, whose clock is 3.2 s "
          "ahead: of the connection that both saw not one address or port is the same. The upstream closes.",
          _with(containers.random_ports, _service("10.77.0.3:8080", served_by(in_order("ok", "ok", "close")))),
          _asked("GET", "GET", "GET", keep=False), BY_SERVICE,
          points=[Point("capture.gateway"), Point("capture.upstream", "upstream", ahead=3.2)]),
    _case("apache-container-healthy", "Published port, service address, masquerade, pooled connections: nothing is wrong.",
          _service("10.77.0.3:8080", served_by(mixed("ok", "chunked:3000", "no-content"))), _neighbours_of_both("GET", "POST", "GET"),
          Route(upstreams=[SERVICE], reuse=True), healthy=True),
    _case("haproxy-container-crowd", "Five clients outside, four rounds, all in step, through a published port and masquerade; the upstream "
          "resets one request and closes on another.",
          served_by(in_order(*["ok"] * 9, "reset", *["ok"] * 6, "close")),
          lambda lab: crowd(lab.network, lab.client_book, PUBLISHED, 5, 4, targets=True, keep=False), Route(), crowd=True),
]
