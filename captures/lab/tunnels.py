"""Legs that run inside something else: VXLAN over the usual network, or a tunnel device that carries bare IP packets.

In: a network. Out: further addresses of its places, reached only through the tunnel.
"""

import delay

VXLAN_GATEWAY, VXLAN_UPSTREAM = "10.90.0.1", "10.90.0.3"
VXLAN_FRONT, VXLAN_CLIENT = "10.91.0.1", "10.91.0.2"
TUNNEL_GATEWAY, TUNNEL_CLIENT, TUNNEL_UPSTREAM = "10.79.0.1", "10.79.0.2", "10.79.0.3"
UPSTREAM_VNI, CLIENT_VNI = 42, 41


def vxlan_to_upstream(network):
    _vxlan(network, UPSTREAM_VNI, ("gateway", "10.77.0.1", VXLAN_GATEWAY), ("upstream", "10.77.0.3", VXLAN_UPSTREAM))


def vxlan_to_client(network):
    _vxlan(network, CLIENT_VNI, ("gateway", "10.77.0.1", VXLAN_FRONT), ("client", "10.77.0.2", VXLAN_CLIENT))


def _vxlan(network, vni, *ends):
    for (place, _, address), (_, remote, _) in zip(ends, reversed(ends)):
        device = f"vxlan{vni}"
        network.run(place, *f"ip link add {device} type vxlan id {vni} dstport 4789 remote {remote} dev eth0".split())
        network.address(place, device, [f"{address}/24"])


def tun(network, seconds=0.002):
    """A tunnel device on the gateway's machine, a program behind it, and at its other end the place "far" with clients and upstreams."""
    delay.Path(network, "gateway", "far", seconds)
    network.address("gateway", "tun0", [f"{TUNNEL_GATEWAY}/24"])
    # The first address is the one that a client there calls from.
    network.address("far", "tun0", [f"{TUNNEL_CLIENT}/24", f"{TUNNEL_UPSTREAM}/24"])
