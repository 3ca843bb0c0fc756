"""A path that takes time and has weather: two tunnel devices in two namespaces and threads that carry packets over late, or not at all.

The kernel here has no netem. A delay is what lets a request and the upstream's close cross on the way; the weather loses, repeats and swaps
the packets that a case names, so that real TCP stacks retransmit, reorder and recover.
"""

import fcntl
import heapq
import itertools
import os
import struct
import threading
import time
from dataclasses import dataclass

from packets import ACK, FIN, RST, SYN

SET_INTERFACE, TUNNEL, WITHOUT_HEADER = 0x400454CA, 1, 0x1000
REPEATED_AFTER_SECONDS = 0.003
# A packet that waits to be overtaken goes on after this if none comes.
OVERTAKEN_WITHIN_SECONDS = 0.18
OUT, BACK = "out", "back"
FROM_THE_SECOND = tuple(range(2, 1000))


@dataclass(frozen=True)
class Rule:
    """What happens to which packets: those that go `way` ("out" from the router or "back" to it) and are `what`, by their number.
    `numbers` empty means all of them."""

    effect: str         # "lose", "repeat", or "swap": the next packet that way overtakes it
    way: str
    what: str           # a word of KINDS
    numbers: tuple = ()


KINDS = {
    "any": lambda flags, length: True,
    "syn": lambda flags, length: flags & (SYN | ACK) == SYN,
    "syn-ack": lambda flags, length: flags & (SYN | ACK) == SYN | ACK,
    "data": lambda flags, length: length > 0,
    "ack": lambda flags, length: not length and not flags & (SYN | FIN | RST),
    "fin": lambda flags, length: bool(flags & FIN),
    "rst": lambda flags, length: bool(flags & RST),
}


class Weather:
    """Decides about each packet by rules that count, so that a case is the same each time; and writes down what it did."""

    def __init__(self, rules, book, path):
        self.rules, self.book, self.path = rules, book, path
        self.seen = [itertools.count(1) for _ in rules]
        self._lock = threading.Lock()

    def effects(self, way, packet):
        kind = _flags_and_length(packet)
        if kind is None:
            return []
        with self._lock:
            named = [(rule, next(seen)) for rule, seen in zip(self.rules, self.seen) if rule.way == way and KINDS[rule.what](*kind)]
            met = [rule for rule, number in named if not rule.numbers or number in rule.numbers]
        for rule in met:
            self.book.note(event="weather", path=self.path, way=way, what=rule.what, effect=rule.effect)
        return [rule.effect for rule in met]


class Path:
    def __init__(self, network, one, other, seconds, weather=None, device="tun0"):
        self.seconds, self.weather = seconds, weather or Weather((), None, device)
        ends = [tunnel(network, one, device), tunnel(network, other, device)]
        self._carry(OUT, *ends)
        self._carry(BACK, *reversed(ends))

    def _carry(self, way, source, target):
        underway = _Underway()
        threading.Thread(target=self._take, args=(way, source, underway), daemon=True).start()
        threading.Thread(target=underway.deliver, args=(target,), daemon=True).start()

    def _take(self, way, source, underway):
        waiting = []
        while True:
            try:
                packet = os.read(source, 65536)
            except OSError:
                return
            now, effects = time.monotonic(), self.weather.effects(way, packet)
            if "lose" in effects:
                continue
            due = now + self.seconds
            if "swap" in effects:
                waiting.append(underway.put(due + OVERTAKEN_WITHIN_SECONDS, packet))
                continue
            underway.put(due, packet)
            while waiting:
                underway.hasten(waiting.pop(), due + REPEATED_AFTER_SECONDS)
            if "repeat" in effects:
                underway.put(due + REPEATED_AFTER_SECONDS, packet)


class _Underway:
    """Packets on the way, in the order in which they are due."""

    def __init__(self):
        self.heap, self.numbers, self.ready = [], itertools.count(), threading.Condition()

    def put(self, due, packet):
        with self.ready:
            number = next(self.numbers)
            heapq.heappush(self.heap, (due, number, packet))
            self.ready.notify()
            return due, number, packet

    def hasten(self, entry, due):
        """Brings a packet forward that waits to be overtaken."""
        with self.ready:
            if entry not in self.heap:
                return
            self.heap.remove(entry)
            heapq.heapify(self.heap)
        self.put(due, entry[2])

    def deliver(self, target):
        while True:
            with self.ready:
                while not self.heap or self.heap[0][0] > time.monotonic():
                    self.ready.wait(self.heap[0][0] - time.monotonic() if self.heap else None)
                packet = heapq.heappop(self.heap)[2]
            try:
                os.write(target, packet)
            except OSError:
                return


def tunnel(network, place, name):
    with network.inside(place):
        device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(device, SET_INTERFACE, struct.pack("16sH", name.encode(), TUNNEL | WITHOUT_HEADER))
    return device


def _flags_and_length(packet):
    """Control bits and bytes of payload of a TCP packet over IPv4."""
    if packet[0] >> 4 != 4 or packet[9] != 6:
        return None
    tcp = packet[(packet[0] & 15) * 4:]
    return tcp[13], len(tcp) - (tcp[12] >> 4) * 4
