"""The addresses that a host gives to the connections of its containers, as its kernel told them when each connection began.

In: the host's place. Out: nat.log, a line for each TCP connection with its addresses before and after the translation; and from that log,
for a connection as one side names it, the names that it has elsewhere.
Rule: the kernel's word is the truth; no packet is looked at. The table that the kernel keeps is not enough: it forgets a refused
connection at once.
"""

import re
import socket
import struct
import threading

from recordbook import endpoint

FILE = "nat.log"
LINE = re.compile(r"(\S+) -> (\S+) becomes (\S+) -> (\S+)$")

NETFILTER, NEW_CONNECTIONS = 12, 1
HEADERS = 20
TUPLE_BEFORE, TUPLE_OF_ANSWERS = 1, 2
ADDRESSES, PORTS = 1, 2
TCP = 6


class Translations:
    """Listens to the host's kernel from the start to the end of a recording."""

    def __init__(self, network, place="host"):
        with network.inside(place):
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
            self.socket.bind((0, NEW_CONNECTIONS))
        self.lines = []
        threading.Thread(target=self._listen, daemon=True).start()

    def write(self, folder):
        (folder / FILE).write_text("".join(line + "\n" for line in self.lines))

    def _listen(self):
        while True:
            data = self.socket.recv(65536)
            while data:
                length = int.from_bytes(data[:4], "little")
                self._note(dict(_attributes(data[HEADERS:length])))
                data = data[(length + 3) // 4 * 4:]

    def _note(self, told):
        client, server, protocol = _ends(told[TUPLE_BEFORE])
        # Answers travel the other way, between the addresses that the connection has behind the translation.
        answerer, answered, _ = _ends(told[TUPLE_OF_ANSWERS])
        if protocol == TCP:
            self.lines.append(f"{client} -> {server} becomes {answered} -> {answerer}")


class Views:
    """Names of connections as (client, server)."""

    def __init__(self, folder):
        self.names = {}
        for line in (folder / FILE).read_text().splitlines() if (folder / FILE).exists() else []:
            self._learn(*LINE.match(line).groups())

    def of(self, client, server):
        """Every name of the connection, the asked one first."""
        return list(dict.fromkeys([(client, server), *self.names.get((client, server), [])]))

    def of_client(self, client):
        """Every name of a client's end, whatever it was connected to."""
        found = [name for (first, _), names in self.names.items() if first == client for name, _ in names]
        return list(dict.fromkeys([client, *found]))

    def _learn(self, client, server, client_after, server_after):
        """The destination is rewritten before the host routes, the source after: in between stands a third name."""
        names = [(client, server), (client, server_after), (client_after, server_after)]
        for name in names:
            self.names.setdefault(name, names)


def _attributes(data):
    while len(data) >= 4:
        length, kind = struct.unpack_from("<HH", data)
        yield kind & 0x3FFF, data[4:length]
        data = data[(length + 3) // 4 * 4:]


def _ends(tuple_of_connection):
    parts = {kind: dict(_attributes(value)) for kind, value in _attributes(tuple_of_connection)}
    hosts = [socket.inet_ntoa(parts[ADDRESSES][key]) for key in (1, 2)] if 1 in parts[ADDRESSES] else ["::", "::"]
    ports = [int.from_bytes(parts[PORTS].get(key, b""), "big") for key in (2, 3)]
    return endpoint((hosts[0], ports[0])), endpoint((hosts[1], ports[1])), parts[PORTS][1][0]
