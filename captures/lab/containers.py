"""A host with containers, as Docker lays it out: a bridge, a veth for each container, published ports, masquerade on the way out.

    client 10.77.0.2 --- host 10.77.0.1:8080 --DNAT--> docker0 172.18.0.1 -+- gateway    172.18.0.2
    upstream 10.77.0.3 --- host <--masquerade--                            +- app        172.18.0.3
                                                                           +- neighbour  172.18.0.9 (a client in a container)

In: a network whose place "host" is plugged in where the gateway would be. Out: the containers, and the host's rules.
Rule: bridged frames pass the host's rules too, as on every host that runs Docker or Kubernetes.
"""

BRIDGE, CONTAINER, APP, NEIGHBOUR = "172.18.0.1", "172.18.0.2", "172.18.0.3", "172.18.0.9"
CONTAINERS = {"gateway": CONTAINER, "app": APP, "neighbour": NEIGHBOUR}
PUBLISHED_PORT = 8080

RULES = [
    f"-A PREROUTING -p tcp --dport {PUBLISHED_PORT} -m addrtype --dst-type LOCAL -j DNAT --to-destination {CONTAINER}:80",
    "-A POSTROUTING -s 172.18.0.0/24 ! -o docker0 -j MASQUERADE",
]


def build(network):
    network.run("host", *"ip link add docker0 up type bridge".split())
    network.run("host", *f"ip address add {BRIDGE}/24 dev docker0".split())
    network.kernel("host", "ipv4/ip_forward", 1)
    network.kernel("host", "bridge/bridge-nf-call-iptables", 1)
    for number, (place, address) in enumerate(CONTAINERS.items(), 1):
        network.add(place)
        device = f"veth{number}"
        network.run("host", *f"ip link add {device} type veth peer name eth0 netns {network.name(place)}".split())
        network.run("host", *f"ip link set {device} master docker0 up".split())
        network.address(place, "eth0", [f"{address}/24"])
        network.run(place, *f"ip route add default via {BRIDGE}".split())
    for rule in RULES:
        network.run("host", *f"iptables -w -t nat {rule}".split())


def service(network, address, pod):
    """An address that no machine has: whoever connects to it reaches the pod."""
    host, _, port = address.rpartition(":")
    network.run("host", *f"iptables -w -t nat -A PREROUTING -d {host}/32 -p tcp --dport {port} -j DNAT --to-destination {pod}".split())


def random_ports(network):
    """The masquerade gives each connection a port by chance, as kube-proxy's does."""
    network.run("host", *"iptables -w -t nat -I POSTROUTING -s 172.18.0.0/24 ! -o docker0 -j MASQUERADE --random-fully".split())


def hairpin_masquerade(network):
    """What comes back to the gateway's container from a neighbour gets the host's address, as kube-proxy and Docker may do."""
    network.run("host", *f"iptables -w -t nat -A POSTROUTING -s 172.18.0.0/24 -d {CONTAINER}/32 -o docker0 -j MASQUERADE".split())
