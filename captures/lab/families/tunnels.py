"""One leg or both inside VXLAN, recorded below the tunnel or on `any`, where the same packet is there with and without its wrapping; and legs
over a tunnel device, whose frames begin with the IP header."""

import tunnels
from families import Case, served_by
from faults import always, in_order
from gateways import Route
from topology import GATEWAY
from tunnels import TUNNEL_GATEWAY, TUNNEL_UPSTREAM, VXLAN_FRONT, VXLAN_GATEWAY, VXLAN_UPSTREAM


def _inside(*legs, then):
    def arrange(lab):
        for leg in legs:
            leg(lab.network)
        then(lab)
    return arrange


def _asked(*methods, server=f"{GATEWAY}:80", place="client", keep=True):
    def traffic(lab):
        visitor = lab.visitor(server, place)
        for method in methods:
            visitor.ask(method, body=b"quantity=2" if method == "POST" else b"", keep=keep)
        visitor.close()
    return traffic


def _vxlan(name, about, plan, traffic, *legs, then=None, **more):
    route = Route(upstreams=[f"{VXLAN_UPSTREAM}:8080"], **more.pop("route", {}))
    return Case(name, about, _inside(tunnels.vxlan_to_upstream, *legs, then=then or served_by(plan, address=VXLAN_UPSTREAM)), traffic, route,
                addresses=[VXLAN_FRONT if legs else GATEWAY, VXLAN_GATEWAY], **more)


IN_FRONT = f"{VXLAN_FRONT}:80"

CASES = [
    _vxlan("haproxy-vxlan-reset", "The upstream's leg runs inside VXLAN, recorded below it; the upstream resets.",
           in_order("ok", "reset"), _asked("GET", "GET", keep=False), on="eth0"),
    _vxlan("nginx-vxlan-any-closed", "The upstream's leg runs inside VXLAN and is recorded on `any`, once in its wrapping and once without; "
           "the upstream closes.", in_order("ok", "close"), _asked("GET", "POST")),
    _vxlan("envoy-vxlan-both-legs-timeout", "Each leg runs inside a VXLAN of its own, recorded below them; the upstream is silent.",
           in_order("ok", "hang"), _asked("GET", "GET", server=IN_FRONT), tunnels.vxlan_to_client, on="eth0"),
    _vxlan("apache-vxlan-any-both-legs-refused", "Each leg runs inside a VXLAN of its own and is recorded on `any`, with and without its "
           "wrapping; nothing listens.", None, _asked("GET", server=IN_FRONT), tunnels.vxlan_to_client,
           then=lambda lab: lab.arrange(f"{VXLAN_UPSTREAM}:8080", "connect-refused", None), classic=True),
    _vxlan("envoy-vxlan-any-healthy", "Each leg runs inside a VXLAN of its own and is recorded on `any`; nothing is wrong.",
           always("ok:3000"), _asked("GET", "POST", "GET", server=IN_FRONT), tunnels.vxlan_to_client, route={"reuse": True}, healthy=True),
    Case("nginx-tun-reset-mid-head", "Both legs run over one tunnel device, recorded there: bare IP packets. The upstream resets in the middle "
         "of the head.", _inside(tunnels.tun, then=served_by(in_order("ok", "reset-mid-head"), address=TUNNEL_UPSTREAM, place="far")),
         _asked("GET", "GET", server=f"{TUNNEL_GATEWAY}:80", place="far"), Route(upstreams=[f"{TUNNEL_UPSTREAM}:8080"]),
         far=True, on="tun0", addresses=[TUNNEL_GATEWAY]),
    Case("haproxy-tun-any-closed", "The upstream's leg runs over a tunnel device without a link layer, the client's over Ethernet; recorded on "
         "`any`. The upstream closes.",
         _inside(tunnels.tun, then=served_by(in_order("ok", "close"), address=TUNNEL_UPSTREAM, place="far")),
         _asked("GET", "GET", keep=False), Route(upstreams=[f"{TUNNEL_UPSTREAM}:8080"]), far=True, addresses=[GATEWAY, TUNNEL_GATEWAY]),
]
