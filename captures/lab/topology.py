"""The network of one case: namespaces joined by a bridge that lives in a namespace of its own, so the host stays as it was.

    client 10.77.0.2 ---+
    gateway 10.77.0.1 --+-- switch (bridge) -- router 10.77.0.254 -- remote 10.78.0.3 (another network)
    upstream 10.77.0.3 -+                            |
    resolver 10.77.0.53 +                            +-- far 10.79.0.3 (a path with a delay)
    gateway 10.80.0.1 -- back 10.80.0.3 (the gateway's second interface)
    street 10.81.0.2 (clients behind the router, over a path with weather)

With `host`, 10.77.0.1 is a host and the gateway one of its containers: containers.py.

In: a unique prefix and which optional places are wanted. Out: a network that is gone again when the `with` block ends.
Rule: nothing outside the prefixed namespaces is touched, and everything is removed even when a step fails.
"""

import ctypes
import os
import shutil
import socket
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import containers

GATEWAY, CLIENT, UPSTREAM, RESOLVER = "10.77.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.53"
SECOND_UPSTREAM, APPLICATION = "10.77.0.4", "10.77.0.9"
ROUTER, REMOTE, FAR = "10.77.0.254", "10.78.0.3", "10.79.0.3"
GATEWAY_BACK, BACK = "10.80.0.1", "10.80.0.3"
STREET = "10.81.0.2"
GATEWAY6, CLIENT6, UPSTREAM6 = "fd77::1", "fd77::2", "fd77::3"

CLEAN_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

PLACES = {
    "client": [f"{CLIENT}/24", f"{CLIENT6}/64"],
    # The application's own address lets a plain application run on the gateway's machine without being the gateway.
    "gateway": [f"{GATEWAY}/24", f"{APPLICATION}/24", f"{GATEWAY6}/64"],
    "upstream": [f"{UPSTREAM}/24", f"{SECOND_UPSTREAM}/24", f"{UPSTREAM6}/64"],
    "resolver": [f"{RESOLVER}/24"],
}


class Network:
    def __init__(self, prefix, remote=False, far=False, back=False, street=False, host=False):
        self.prefix, self.remote, self.far, self.back = prefix, remote or far or street, far, back
        self.street, self.host = street, host
        self.places = []

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_):
        self._remove()

    def name(self, place):
        return f"{self.prefix}-{place}"

    @contextmanager
    def inside(self, place):
        """Sockets and files under /proc/sys/net that this thread opens in the block belong to the place."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name(place)}", os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(home)
            os.close(home)
            os.close(there)

    def socket(self, place, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        with self.inside(place):
            return socket.socket(family, kind)

    def command(self, place, *words):
        """The argument vector that runs a program in the place; `ip netns exec` also brings the place's own resolv.conf."""
        return ["ip", "netns", "exec", self.name(place), *words]

    def run(self, place, *words):
        return run(*self.command(place, *words))

    def kernel(self, place, key, value):
        with self.inside(place):
            Path("/proc/sys/net", key).write_text(str(value))

    def segment_by_hand(self, place, interface="eth0"):
        """No frame larger than a packet of the wire: otherwise the kernel hands whole kilobytes on, and a router sees no full packet."""
        run("ip", "-n", self.name(place), "link", "set", "dev", interface, "gso_max_segs", "1")

    def use_resolver(self, place, address):
        """What a program started in the place reads as /etc/resolv.conf: one quick attempt, as a lab case lasts seconds."""
        folder = Path("/etc/netns", self.name(place))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text(f"nameserver {address}\noptions timeout:1 attempts:1\n")

    def _build(self):
        self.add("switch")
        run("ip", "-n", self.name("switch"), "link", "add", "bridge", "up", "type", "bridge")
        for place, addresses in PLACES.items():
            place = "host" if self.host and place == "gateway" else place
            self.add(place)
            self._plug(place, addresses)
        if self.host:
            containers.build(self)
        if self.remote:
            self._add_remote()
        for place in ["far"] * self.far + ["street"] * self.street:
            self.add(place)
        if self.back:
            self._add_back()

    def add(self, place):
        self.places.append(place)
        run("ip", "netns", "add", self.name(place))
        self.kernel(place, "ipv4/icmp_ratelimit", 0)
        self.kernel(place, "ipv6/conf/default/accept_ra", 0)
        # Router solicitations and multicast reports would only be noise in a capture of a few dozen frames.
        self.kernel(place, "ipv6/conf/default/addr_gen_mode", 1)
        run("ip", "-n", self.name(place), "link", "set", "lo", "up")

    def _plug(self, place, addresses):
        switch = self.name("switch")
        run("ip", "-n", switch, "link", "add", place, "type", "veth", "peer", "name", "eth0", "netns", self.name(place))
        run("ip", "-n", switch, "link", "set", place, "master", "bridge", "up")
        self.address(place, "eth0", addresses)

    def address(self, place, interface, addresses):
        run("ip", "-n", self.name(place), "link", "set", interface, "up")
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            run("ip", "-n", self.name(place), "address", "add", address, "dev", interface, *nodad)

    def _add_remote(self):
        self.add("router")
        self._plug("router", [f"{ROUTER}/24"])
        self.add("remote")
        run("ip", "-n", self.name("router"), "link", "add", "eth1", "type", "veth",
            "peer", "name", "eth0", "netns", self.name("remote"))
        self.address("router", "eth1", ["10.78.0.254/24"])
        self.address("remote", "eth0", [f"{REMOTE}/24"])
        self.kernel("router", "ipv4/ip_forward", 1)
        run("ip", "-n", self.name("remote"), "route", "add", "default", "via", "10.78.0.254")
        for network in ("10.78.0.0/16", "10.79.0.0/16", "10.81.0.0/16"):
            run("ip", "-n", self.name("gateway"), "route", "add", network, "via", ROUTER)

    def _add_back(self):
        self.add("back")
        run("ip", "-n", self.name("gateway"), "link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", self.name("back"))
        self.address("gateway", "eth1", [f"{GATEWAY_BACK}/24"])
        self.address("back", "eth0", [f"{BACK}/24"])

    def connect(self, place, device, address):
        """Gives addresses to the two tunnel devices that delay.Path has made between the router and a place behind it."""
        router = address.rpartition(".")[0] + ".254"
        self.address("router", device, [f"{router}/24"])
        self.address(place, device, [f"{address}/24"])
        run("ip", "-n", self.name(place), "route", "add", "default", "via", router)

    def _remove(self):
        for place in self.places:
            subprocess.run(["ip", "netns", "del", self.name(place)], env=CLEAN_ENVIRONMENT, stderr=subprocess.DEVNULL)
            shutil.rmtree(Path("/etc/netns", self.name(place)), ignore_errors=True)
        self.places = []
        with suppress(OSError):
            Path("/etc/netns").rmdir()          # only when nobody else uses it


def run(*words):
    done = subprocess.run(words, env=CLEAN_ENVIRONMENT, capture_output=True, text=True, timeout=20)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _enter(namespace):
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
