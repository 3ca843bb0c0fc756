"""A DNS server over UDP that answers as it is told: with the right address, with an error code, without data, or not at all.

In: name -> "10.77.0.3" | "nxdomain" | "nodata" | "servfail" | "refused" | "silence". Out: one line per query in the book.
"""

import socket
import struct
import threading

from recordbook import endpoint
from topology import RESOLVER

CODES = {"nodata": 0, "servfail": 2, "nxdomain": 3, "refused": 5}
ADDRESS_RECORD = 1


def look_up(network, name, place="gateway"):
    """A query of some program in a place, as a plain resolver library would send it."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack("!HHHHHH", 0x2A17, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, ADDRESS_RECORD, 1)
    asker = network.socket(place, kind=socket.SOCK_DGRAM)
    asker.settimeout(1)
    asker.sendto(query, (RESOLVER, 53))
    asker.recv(1500)
    asker.close()


class Resolver:
    def __init__(self, network, book, answers, place="resolver"):
        self.book, self.answers = book, answers
        self.socket = network.socket(place, kind=socket.SOCK_DGRAM)
        self.socket.bind((RESOLVER, 53))
        # A bounded wait lets the thread see that it was stopped.
        self.socket.settimeout(0.2)
        self.running = True
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self):
        self.running = False

    def _serve(self):
        while self.running:
            try:
                query, peer = self.socket.recvfrom(1500)
            except TimeoutError:
                continue
            name, kind, question = _question(query)
            answer = self.answers.get(name, "nxdomain")
            self.book.note(event="query", local=f"{RESOLVER}:53", peer=endpoint(peer), name=name, type=kind, answer=answer)
            if answer != "silence":
                self.socket.sendto(_reply(query, question, kind, answer), peer)
        self.socket.close()


def _question(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels), struct.unpack_from("!H", query, at + 1)[0], query[12:at + 5]


def _reply(query, question, kind, answer):
    found = answer not in CODES and kind == ADDRESS_RECORD
    flags = 0x8180 | CODES.get(answer, 0)
    record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\x04" + socket.inet_aton(answer) if found else b""
    return query[:2] + struct.pack("!HHHHH", flags, 1, int(found), 0, 0) + question + record
