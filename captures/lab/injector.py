"""A machine in the middle that resets connections it does not own: it reads what passes and writes RSTs in the name of the upstream.

In: a place of the network, the upstream's endpoint. Out: for each segment with payload towards it, a RST to the gateway, with the right
sequence number and a TTL of its own.
"""

import socket
import struct
import threading

from packets import ACK, RST
from recordbook import split

EVERY_PROTOCOL, RAW_WITH_HEADER = 3, socket.IPPROTO_RAW
ETHERNET_HEADER, IPV4_HEADER, TCP_HEADER = 14, 20, 20
TTL = 251


class Injector:
    def __init__(self, network, place, upstream, book, interface="eth0"):
        host, self.port = split(upstream)
        self.address, self.book, self.upstream, self.running = socket.inet_aton(host), book, upstream, True
        with network.inside(place):
            self.ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
            self.ear.bind((interface, 0))
            self.mouth = socket.socket(socket.AF_INET, socket.SOCK_RAW, RAW_WITH_HEADER)
        # A bounded wait lets the thread see that it was stopped.
        self.ear.settimeout(0.2)
        threading.Thread(target=self._listen, daemon=True).start()

    def stop(self):
        self.running = False

    def _listen(self):
        while self.running:
            try:
                packet = self.ear.recv(65536)[ETHERNET_HEADER:]
            except TimeoutError:
                continue
            if len(packet) >= IPV4_HEADER + TCP_HEADER and packet[0] == 0x45 and packet[9] == socket.IPPROTO_TCP:
                self._answer(packet)
        self.ear.close()
        self.mouth.close()

    def _answer(self, packet):
        source, destination, tcp = packet[12:16], packet[16:20], packet[IPV4_HEADER:]
        from_port, to_port, sequence, acknowledged = struct.unpack_from("!HHII", tcp)
        payload = int.from_bytes(packet[2:4], "big") - IPV4_HEADER - (tcp[12] >> 4) * 4
        if destination != self.address or to_port != self.port or payload <= 0:
            return
        reset = struct.pack("!HHIIBBHHH", to_port, from_port, acknowledged, (sequence + payload) & 0xFFFFFFFF, 0x50, RST | ACK, 0, 0, 0)
        pseudo = destination + source + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(reset))
        reset = reset[:16] + struct.pack("!H", _checksum(pseudo + reset)) + reset[18:]
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, IPV4_HEADER + len(reset), 0, 0, TTL, socket.IPPROTO_TCP, 0, destination, source)
        self.mouth.sendto(header + reset, (socket.inet_ntoa(source), 0))
        self.book.note(event="injected", upstream=self.upstream, what="RST", ttl=TTL)


def _checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
