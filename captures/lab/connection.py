"""One accepted connection of the fault server: reading requests, and every way to end it.

Rule: every end is explicit. A FIN is sent only after everything was read, a RST only by a linger of zero; otherwise the kernel would choose
between the two by whether unread data waits in the socket.
"""

import fcntl
import select
import socket
import struct
import termios
import time
from dataclasses import dataclass

from recordbook import endpoint

TCP_REPAIR = 19
LONGEST_SILENCE_SECONDS = 6


@dataclass
class Request:
    method: str
    target: str
    expects_continue: bool
    body_length: int
    chunked: bool = False


class Connection:
    def __init__(self, accepted, peer, book, number):
        self.socket, self.peer, self.book, self.number = accepted, peer, book, number
        self.local, self.request, self.buffer = endpoint(accepted.getsockname()), 0, b""

    def note(self, event, **facts):
        self.book.note(event=event, local=self.local, peer=self.peer, connection=self.number, **facts)

    def read_head(self):
        """The next request without its body, or None when the peer closed first."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        method, target = lines[0].split(" ")[:2]
        return Request(method, target, "expect" in fields, int(fields.get("content-length", 0)),
                       "chunked" in fields.get("transfer-encoding", ""))

    def read_body(self, request):
        if request.expects_continue:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.chunked:
            self._read_chunks()
        else:
            self._take(request.body_length)

    def send(self, data):
        self.socket.sendall(data)

    def close(self, event="closed"):
        """By FIN. The request was read, so nothing unread can turn it into a RST."""
        self.note(event, how="fin")
        self.socket.close()
        self.socket = None

    def reset(self, event="reset"):
        self.note(event, how="rst")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        self.socket = None

    def stop_reading(self):
        """Nothing is read any more: the window closes, and stays closed until the peer has had enough."""
        deadline = time.time() + LONGEST_SILENCE_SECONDS
        while time.time() < deadline and not self._peer_has_ended():
            time.sleep(0.05)
        self.note("peer-closed")

    def _peer_has_ended(self):
        """Whether a FIN or RST came, which the state of the socket tells though nothing is read: 1 is ESTABLISHED."""
        return self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != b"\x01"

    def vanish(self):
        """The host forgets the connection without a word, as after a restart or behind a full state table: a later segment
        meets no socket and is answered by a bare RST. False when the next request came first: it would be swallowed."""
        self._wait_for_acknowledgement()
        if not self.idle(0):
            return False
        self.note("vanished")
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        self.socket.close()
        self.socket = None
        return True

    def stay_silent(self):
        self.socket.settimeout(LONGEST_SILENCE_SECONDS)
        while self.socket.recv(65536):
            pass
        self.note("peer-closed")

    def idle(self, seconds):
        """True when nothing arrived for so long."""
        return not self.buffer and not select.select([self.socket], [], [], seconds)[0]

    def _wait_for_acknowledgement(self):
        # An acknowledgement that comes after the connection was forgotten would already be answered by the RST.
        deadline, unsent = time.time() + 1, bytearray(4)
        while time.time() < deadline:
            fcntl.ioctl(self.socket, termios.TIOCOUTQ, unsent)
            if not any(unsent):
                return
            time.sleep(0.002)

    def _more(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return data

    def _take(self, length):
        while len(self.buffer) < length:
            if not self._more():
                raise ConnectionAbortedError
        self.buffer = self.buffer[length:]

    def _read_chunks(self):
        size = -1
        while size:
            while b"\r\n" not in self.buffer:
                self._more()
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            size = int(line, 16)
            self._take(size + 2)
