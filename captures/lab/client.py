"""The raw client: sends requests and writes down exactly what came back and how the connection ended.

In: the network, the gateway's endpoint, a book. Out: one line per request in the book.
Rule: a client never retries and never repairs; what the gateway did is what the line says.
"""

import socket
import ssl
import struct
import threading
import time

from recordbook import endpoint, split

PATIENCE_SECONDS = 6
PAUSE_SECONDS = 0.1


class Visitor:
    """One client connection at a time; a new one is opened when the last one was closed."""

    def __init__(self, network, book, server, place="client", sealed=False, keys=None):
        self.network, self.book, self.server, self.place, self.sealed = network, book, server, place, sealed
        self.socket, self.keys = None, keys

    def ask(self, method="GET", target="/", headers=(), body=b"", host="shop.example", version="1.1", keep=True, patience=PATIENCE_SECONDS):
        self._connect()
        return self._read(self._send(method, target, headers, body, host, version), keep, patience)

    def ask_slowly(self, after, method="GET", target="/", host="shop.example"):
        """Asks, with room for two kilobytes of the answer, and does not read for so long."""
        self._connect(room=2048)
        line = self._send(method, target, (), b"", host, "1.1")
        time.sleep(after)
        return self._read(line, True, PATIENCE_SECONDS)

    def ask_badly(self, cause, data, rest=b"", patience=PATIENCE_SECONDS):
        """Sends what is no request, or only a part of one, and waits for what the gateway says about it. `rest` follows a little later."""
        self._connect()
        line = self.book.note(client=self.local, server=self.server, request=self.ordinal, method=data.split(b" ")[0].decode(),
                              target="/", aborted=False, fault=cause)
        self.ordinal += 1
        self.socket.sendall(data)
        if rest:
            time.sleep(PAUSE_SECONDS)
            self.socket.sendall(rest)
        return self._read(line, True, patience)

    def ask_pipelined(self, count, target="/", host="shop.example"):
        self._connect()
        lines = [self._send("GET", target, (), b"", host, "1.1") for _ in range(count)]
        return [self._read(line, True, PATIENCE_SECONDS) for line in lines]

    def ask_and_leave(self, after, reset=False, method="GET", target="/", host="shop.example"):
        """Sends a request and goes away before the answer, by FIN or by RST."""
        self._connect()
        line = self._send(method, target, (), b"", host, "1.1")
        time.sleep(after)
        line.update(status=None, aborted=True, end="left")
        self.close(reset)

    def upgrade(self, target="/", host="shop.example"):
        """A protocol switch: asks for it, sends a few bytes through the tunnel and expects them back."""
        self._connect()
        line = self._send("GET", target, ["Connection: Upgrade", "Upgrade: echo"], b"", host, "1.1")
        head = self._head(PATIENCE_SECONDS)
        self.socket.sendall(b"through the tunnel")
        echoed = self.socket.recv(100)
        line.update(status=int(head.split()[1]), complete=echoed == b"through the tunnel", end="open", response_time=time.time())

    def close(self, reset=False):
        if self.socket:
            if reset:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()
            self.socket = None

    def _connect(self, room=0):
        if self.socket:
            return
        host, port = split(self.server)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = self.network.socket(self.place, family)
        self.socket.settimeout(PATIENCE_SECONDS)
        if room:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.socket.connect((host, port))
        if self.sealed:
            self.socket = _trusting(self.keys).wrap_socket(self.socket)
        self.local, self.ordinal, self.buffer = endpoint(self.socket.getsockname()), 0, b""

    def _send(self, method, target, headers, body, host, version):
        head = [f"{method} {target} HTTP/{version}", f"Host: {host}", *headers]
        if body:
            head.append(f"Content-Length: {len(body)}")
        data = "\r\n".join(head).encode() + b"\r\n\r\n"
        line = self.book.note(client=self.local, server=self.server, request=self.ordinal, method=method, target=target,
                              aborted=False)
        self.ordinal += 1
        try:
            if any(header.startswith("Expect") for header in headers):
                self.socket.sendall(data)
                self._head(PATIENCE_SECONDS, interim=True)
                self.socket.sendall(body)
            else:
                self.socket.sendall(data + body)
        except OSError as error:
            line["send_error"] = error.strerror
        return line

    def _read(self, line, keep, patience):
        head, complete, end = b"", False, "open"
        try:
            head = self._head(patience)
            line["response_time"] = time.time()
            complete = self._body(line["method"], head)
            if keep and b"connection: close" in head.lower():
                self._drain(patience)
        except ConnectionResetError:
            end = "rst"
        except ConnectionAbortedError:
            end = "fin"
        except TimeoutError:
            end = "timeout"
        status = int(head.split()[1]) if head and head.split()[1].isdigit() else None
        line.update(status=status, complete=complete, end=end if keep else "left", end_time=time.time())
        if status is None and (head or self.buffer):
            line["raw"] = (head or self.buffer)[:60].decode("latin-1")
        if not keep or end != "open":
            self.close()
        return line

    def _head(self, patience, interim=False):
        """The final head; interim answers are read over unless one is waited for, and 101 is final."""
        while True:
            while b"\r\n\r\n" not in self.buffer or not self.buffer.startswith(b"HTTP/"):
                self._more(patience)
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            if interim or head.split()[1] == b"101" or head.split()[1][:1] != b"1":
                return head

    def _drain(self, patience):
        while True:
            self._more(patience)

    def _more(self, patience):
        self.socket.settimeout(patience)
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionAbortedError
        self.buffer += data

    def _body(self, method, head):
        """True at the end of the body, framed as RFC 9112 section 6.3 says; a short body ends in the exception of its end."""
        fields = dict(_field(line) for line in head.split(b"\r\n")[1:])
        if method == "HEAD" or head.split()[1] in (b"204", b"304", b"101"):
            return True
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            return self._chunks()
        if b"content-length" in fields:
            return self._take(int(fields[b"content-length"]))
        return self._until_end()

    def _take(self, length):
        while len(self.buffer) < length:
            self._more(PATIENCE_SECONDS)
        self.buffer = self.buffer[length:]
        return True

    def _chunks(self):
        while True:
            while b"\r\n" not in self.buffer:
                self._more(PATIENCE_SECONDS)
            size, _, self.buffer = self.buffer.partition(b"\r\n")
            length = int(size.split(b";")[0], 16)
            self._take(length + 2)
            if not length:
                return True

    def _until_end(self):
        try:
            self._drain(PATIENCE_SECONDS)
        except ConnectionAbortedError:
            self.buffer = b""
            return True


def _trusting(keys=None):
    """TLS with whoever answers: the certificate was made a moment ago."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if keys:
        context.keylog_filename = str(keys)
    return context


def crowd(network, book, server, clients, rounds, method="GET", targets=False, keep=True, stagger=0.0, in_step=True, sealed=False):
    """Many clients that all ask for the same thing unless each has `targets` of its own. Each round starts for all in the same instant, or
    only the first when they do not stay `in_step`."""
    start = threading.Barrier(clients)

    def visit(number):
        visitor = Visitor(network, book, server, sealed=sealed)
        for turn in range(rounds):
            target = f"/item/{number}?turn={turn}" if targets else "/"
            if in_step or not turn:
                start.wait(30)
            time.sleep(stagger * number)
            visitor.ask(method, target, body=b"quantity=2" if method == "POST" else b"", keep=keep)
        visitor.close()

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)


def _field(line):
    name, _, value = line.partition(b":")
    return name.strip().lower(), value.strip()
