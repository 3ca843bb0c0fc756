"""A path that takes time: two tunnel devices in two namespaces and a thread each way that carries packets over late.

The kernel here has no netem; a delay is what lets a request and the upstream's close cross on the way.
"""

import fcntl
import os
import queue
import struct
import threading
import time

SET_INTERFACE, TUNNEL, WITHOUT_HEADER = 0x400454CA, 1, 0x1000


class Path:
    def __init__(self, network, one, other, seconds):
        self.seconds = seconds
        self.ends = [_tunnel(network, one), _tunnel(network, other)]
        self._carry(*self.ends)
        self._carry(*reversed(self.ends))

    def _carry(self, source, target):
        underway = queue.Queue()
        threading.Thread(target=self._take, args=(source, underway), daemon=True).start()
        threading.Thread(target=self._deliver, args=(target, underway), daemon=True).start()

    def _take(self, source, underway):
        while True:
            try:
                packet = os.read(source, 65536)
            except OSError:
                return
            underway.put((time.monotonic() + self.seconds, packet))

    @staticmethod
    def _deliver(target, underway):
        while True:
            due, packet = underway.get()
            time.sleep(max(0, due - time.monotonic()))
            try:
                os.write(target, packet)
            except OSError:
                return


def _tunnel(network, place):
    with network.inside(place):
        device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(device, SET_INTERFACE, struct.pack("16sH", b"tun0", TUNNEL | WITHOUT_HEADER))
    return device
