"""The fault server: an HTTP/1.1 upstream that follows a plan and writes down what it did.

In: an address, a plan, a book. Out: answers and faults on the wire, one line per accepted connection, request and end in the book.
Rule: every end is explicit. A FIN is sent only after everything was read, a RST only by a linger of zero; otherwise the kernel would
choose between the two by whether unread data waits in the socket.

A plan is a function (connection number, request number on it, request number overall) -> step. A step is a word from `ANSWERS` or
`FAULTS`, with an argument after a colon; an answer may be followed by `+` and a word from `AFTERWARDS`:

    "ok"   "ok:5000"   "chunked:20000"   "status:503"   "reset"   "ok+vanish"   "ok+idle-close:0.5"
"""

import fcntl
import itertools
import select
import socket
import struct
import termios
import threading
import time
from dataclasses import dataclass

from recordbook import endpoint

TCP_REPAIR = 19
LONGEST_SILENCE_SECONDS = 6
# A fault in the middle of a message lets the gateway read the first part before the end arrives.
PAUSE_SECONDS = 0.08

REASONS = {200: "OK", 204: "No Content", 304: "Not Modified", 404: "Not Found", 500: "Internal Server Error", 502: "Bad Gateway",
           503: "Service Unavailable", 504: "Gateway Timeout"}


def in_order(*steps):
    """The n-th request overall gets the n-th step; afterwards all is well."""
    return lambda connection, request, overall: steps[overall] if overall < len(steps) else "ok"


def on_each_connection(*steps):
    """The n-th request of every connection gets the n-th step; the last step repeats."""
    return lambda connection, request, overall: steps[min(request, len(steps) - 1)]


def always(step):
    return lambda connection, request, overall: step


def mixed(*steps):
    """The steps in turn for ever, by the order in which requests arrive over all connections."""
    return lambda connection, request, overall: steps[overall % len(steps)]


@dataclass
class Request:
    method: str
    target: str
    expects_continue: bool
    body_length: int


class Upstream:
    """One listening endpoint. `wrap` turns an accepted socket into what HTTP is spoken over, e.g. TLS."""

    def __init__(self, network, book, address, port, plan, place="upstream", wrap=None):
        self.network, self.book, self.plan, self.wrap = network, book, plan, wrap
        self.overall, self._lock, self._accepted = itertools.count(), threading.Lock(), itertools.count()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = network.socket(place, family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        # Only shutdown wakes a thread that waits in accept.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                accepted, peer = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(accepted, endpoint(peer)), daemon=True).start()

    def _serve(self, accepted, peer):
        connection = Connection(accepted, peer, self.book, next(self._accepted))
        connection.note("accept")
        try:
            if self.wrap:
                connection.socket = self.wrap(connection)
            while connection.socket and self._exchange(connection):
                pass
        except OSError as error:
            connection.note("peer-ended", how=type(error).__name__)
        connection.socket and connection.socket.close()

    def _exchange(self, connection):
        """One request and what the plan says about it. False when the connection is over."""
        request = connection.read_request()
        if not request:
            connection.note("peer-closed")
            return False
        with self._lock:
            step = self.plan(connection.number, connection.request, next(self.overall))
        connection.note("request", request=connection.request, method=request.method, target=request.target, step=step)
        what, _, afterwards = step.partition("+")
        name, _, argument = what.partition(":")
        if name in FAULTS:
            FAULTS[name](connection)
            return False
        connection.send(ANSWERS[name](request, argument))
        connection.note("answered", request=connection.request)
        connection.request += 1
        name, _, argument = afterwards.partition(":")
        return AFTERWARDS[name](connection, argument)


class Mute(Upstream):
    """Takes what comes, whatever language it is in, and ends the connection in one way each time."""

    def _exchange(self, connection):
        connection.socket.recv(65536)
        connection.note("request", request=0, step=self.plan)
        FAULTS[self.plan](connection)
        return False


class Connection:
    def __init__(self, accepted, peer, book, number):
        self.socket, self.peer, self.book, self.number = accepted, peer, book, number
        self.local, self.request, self.buffer = endpoint(accepted.getsockname()), 0, b""

    def note(self, event, **facts):
        self.book.note(event=event, local=self.local, peer=self.peer, connection=self.number, **facts)

    def read_request(self):
        """The next request with its whole body, or None when the peer closed first."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        method, target = lines[0].split(" ")[:2]
        request = Request(method, target, "expect" in fields, int(fields.get("content-length", 0)))
        if request.expects_continue:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in fields.get("transfer-encoding", ""):
            self._read_chunks()
        else:
            self._take(request.body_length)
        return request

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

    def vanish(self):
        """The host forgets the connection without a word, as after a restart or behind a full state table: a later segment
        meets no socket and is answered by a bare RST."""
        self._wait_for_acknowledgement()
        self.note("vanished")
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        self.socket.close()
        self.socket = None

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


def _message(status, fields=(), body=b""):
    head = [f"HTTP/1.1 {status} {REASONS[status]}", "Server: shop", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def _text(length):
    return (b"The quick brown fox jumps over the lazy dog.\n" * (length // 45 + 1))[:length]


def _plain(request, argument, status=200, body=None):
    body = _text(int(argument or 120)) if body is None else body
    fields = ["Content-Type: text/plain", f"Content-Length: {len(body)}"]
    return _message(status, fields, b"" if request.method == "HEAD" else body)


def _chunked(request, argument):
    body, size = _text(int(argument or 120)), 4000
    pieces = (body[at:at + size] for at in range(0, len(body), size))
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return _message(200, ["Content-Type: text/plain", "Transfer-Encoding: chunked"], coded)


def _error_page_as_text(request, argument):
    return _plain(request, argument, body=b'{"seen": "HTTP/1.1 502 Bad Gateway\\r\\n\\r\\n", "status": 502}\n')


def _status(request, argument):
    return _plain(request, "", int(argument), b"the application says %s\n" % argument.encode())


def _slow(request, argument):
    time.sleep(float(argument))
    return _plain(request, "")


ANSWERS = {
    "ok": _plain,
    "slow": _slow,
    "chunked": _chunked,
    "no-content": lambda request, argument: _message(204),
    "not-modified": lambda request, argument: _message(304, ['ETag: "7"']),
    "error-page-as-text": _error_page_as_text,
    "status": _status,
    "last": lambda request, argument: _message(200, ["Connection: close", "Content-Length: 5"], b"done\n"),
    "until-close": lambda request, argument: _message(200, ["Connection: close"], _text(700)),
}


def _keep(connection, argument):
    return True


def _close(connection, argument):
    connection.close("closed-after-answer")
    return False


def _reset(connection, argument):
    # The answer arrives and is read before the reset does.
    time.sleep(PAUSE_SECONDS)
    connection.reset("reset-after-answer")
    return False


def _vanish(connection, argument):
    connection.vanish()
    return False


def _close_when_idle(connection, argument):
    if not connection.idle(float(argument)):
        return True
    connection.close("idle-closed")
    return False


def _reset_when_idle(connection, argument):
    if not connection.idle(float(argument)):
        return True
    connection.reset("idle-reset")
    return False


AFTERWARDS = {"": _keep, "close": _close, "reset": _reset, "vanish": _vanish, "idle-close": _close_when_idle,
              "idle-reset": _reset_when_idle}

HALF_A_HEAD = b"HTTP/1.1 200 OK\r\nServer: shop\r\nContent-Ty"
HALF_A_BODY = b"HTTP/1.1 200 OK\r\nServer: shop\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\n" + _text(1800)
GARBAGE = b"ERR 17 backend not initialised\r\n\r\n"
BAD_CODE = b"HTTP/1.1 abc OK\r\nContent-Length: 3\r\n\r\nabc"
SPACE_IN_NAME = b"HTTP/1.1 200 OK\r\nX Trace: 1\r\nContent-Length: 3\r\n\r\nabc"
NUL_IN_VALUE = b"HTTP/1.1 200 OK\r\nX-Trace: a\0b\r\nContent-Length: 3\r\n\r\nabc"

CLEAR_TEXT_400 = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 12\r\nConnection: close\r\n\r\nBad Request\n"


def _head_with_a_cookie_of(length):
    return b"HTTP/1.1 200 OK\r\nSet-Cookie: cart=" + b"x" * length + b"\r\nContent-Length: 3\r\n\r\nabc"


def _part_then(data, end):
    def fault(connection):
        connection.send(data)
        time.sleep(PAUSE_SECONDS)
        end(connection)
    return fault


def _late(connection):
    time.sleep(0.3)
    connection.close()


def _together_with_another(end):
    def fault(connection):
        TWO.wait(5)
        end(connection)
    return fault


def _upgrade(connection):
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
    connection.note("answered", request=connection.request)
    connection.send(connection.socket.recv(100))
    connection.stay_silent()


# Two connections that fail in the same instant.
TWO = threading.Barrier(2)

FAULTS = {
    "close": Connection.close,
    "close-late": _late,
    "reset": Connection.reset,
    "close-together": _together_with_another(Connection.close),
    "reset-together": _together_with_another(Connection.reset),
    "hang": Connection.stay_silent,
    "close-mid-head": _part_then(HALF_A_HEAD, Connection.close),
    "reset-mid-head": _part_then(HALF_A_HEAD, Connection.reset),
    "stall-mid-head": _part_then(HALF_A_HEAD, Connection.stay_silent),
    "close-mid-body": _part_then(HALF_A_BODY, Connection.close),
    "reset-mid-body": _part_then(HALF_A_BODY, Connection.reset),
    "garbage": _part_then(GARBAGE, Connection.close),
    "bad-code": _part_then(BAD_CODE, Connection.close),
    "space-in-name": _part_then(SPACE_IN_NAME, Connection.close),
    "nul-in-value": _part_then(NUL_IN_VALUE, Connection.close),
    "huge-head": _part_then(_head_with_a_cookie_of(20_000), Connection.close),
    "giant-head": _part_then(_head_with_a_cookie_of(100_000), Connection.close),
    "upgrade": _upgrade,
    "tls-alert-40": _part_then(b"\x15\x03\x03\0\x02\x02\x28", Connection.close),
    "tls-alert-80": _part_then(b"\x15\x03\x03\0\x02\x02\x50", Connection.close),
    "tls-close": Connection.close,
    "tls-reset": Connection.reset,
    "tls-hang": Connection.stay_silent,
    "tls-answer-400": _part_then(CLEAR_TEXT_400, Connection.close),
    "plain-to-tls-alert": _part_then(b"\x15\x03\x01\0\x02\x02\x46", Connection.close),
    "plain-to-tls-close": Connection.close,
}

# What each fault is called in causes.md: the fault server's half of the truth.
CAUSE_OF_FAULT = {
    "close": "closed-before-response", "close-late": "closed-before-response", "reset": "reset-before-response",
    "close-together": "closed-before-response", "reset-together": "reset-before-response", "hang": "response-timeout", "close-mid-head": "closed-mid-head", "reset-mid-head": "reset-mid-head",
    "stall-mid-head": "head-timeout", "close-mid-body": "truncated-body", "reset-mid-body": "reset-mid-response",
    "garbage": "malformed-status-line", "bad-code": "malformed-status-line", "space-in-name": "bad-header",
    "nul-in-value": "bad-header", "huge-head": "header-too-large", "giant-head": "header-too-large",
    "tls-alert-40": "tls-alert-from-upstream", "tls-alert-80": "tls-alert-from-upstream", "tls-close": "tls-handshake-closed",
    "tls-reset": "tls-handshake-reset", "tls-hang": "tls-handshake-timeout", "tls-answer-400": "tls-on-http-port",
    "plain-to-tls-alert": "http-on-tls-port", "plain-to-tls-close": "http-on-tls-port",
}
IDLE_ENDS = {"vanished", "idle-closed", "idle-reset", "closed-after-answer", "reset-after-answer"}
