"""What an upstream does with a request: answers, what follows an answer, and faults; and what each fault is called in causes.md.

A step is a word from `ANSWERS` or `FAULTS`, with an argument after a colon; an answer may be followed by `+` and a word from `AFTERWARDS`:

    "ok"   "ok:5000"   "chunked:20000"   "status:503"   "reset"   "ok+vanish"   "ok+idle-close:0.5"
"""

import threading
import time

from connection import Connection

# A fault in the middle of a message lets the gateway read the first part before the end arrives.
PAUSE_SECONDS = 0.08
# Longer than any gateway of the lab waits.
TOO_LATE_SECONDS = 1.7

REASONS = {200: "OK", 204: "No Content", 304: "Not Modified", 404: "Not Found", 500: "Internal Server Error", 502: "Bad Gateway",
           503: "Service Unavailable", 504: "Gateway Timeout"}


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
    "large-head": lambda request, argument: _message(200, ["Set-Cookie: cart=" + "x" * int(argument), "Content-Length: 3"], b"abc"),
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
    return not connection.vanish()


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


def _speak_when_idle(data, end):
    """Bytes that nobody asked for, on a connection that waits in the gateway's pool, and then the end of it."""
    def speak(connection, argument):
        if not connection.idle(float(argument)):
            return True
        connection.note("unsolicited")
        connection.send(data)
        end(connection)
        return False
    return speak


UNASKED_408 = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
UNASKED_503 = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 9\r\n\r\ndraining\n"
UNASKED_PART = b"HTTP/1.1 408 Request Time"

AFTERWARDS = {"idle-408": _speak_when_idle(UNASKED_408, Connection.close), "idle-503": _speak_when_idle(UNASKED_503, Connection.close),
              "idle-part": _speak_when_idle(UNASKED_PART, Connection.close), "": _keep, "close": _close, "reset": _reset, "vanish": _vanish, "idle-close": _close_when_idle,
              "idle-reset": _reset_when_idle}

HALF_A_HEAD = b"HTTP/1.1 200 OK\r\nServer: shop\r\nContent-Ty"
HALF_A_BODY = b"HTTP/1.1 200 OK\r\nServer: shop\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\n" + _text(1800)
HALF_A_LARGE_BODY = b"HTTP/1.1 200 OK\r\nServer: shop\r\nContent-Type: text/plain\r\nContent-Length: 150000\r\n\r\n" + _text(70_000)
GARBAGE = b"ERR 17 backend not initialised\r\n\r\n"
BAD_CODE = b"HTTP/1.1 abc OK\r\nContent-Length: 3\r\n\r\nabc"
SPACE_IN_NAME = b"HTTP/1.1 200 OK\r\nX Trace: 1\r\nContent-Length: 3\r\n\r\nabc"
NUL_IN_VALUE = b"HTTP/1.1 200 OK\r\nX-Trace: a\0b\r\nContent-Length: 3\r\n\r\nabc"

NO_COLON = b"HTTP/1.1 200 OK\r\nX-Trace 1\r\nContent-Length: 3\r\n\r\nabc"
LENGTH_AND_CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
TWO_LENGTHS = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc"
LENGTH_NOT_A_NUMBER = b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nabc"
UNKNOWN_CODING = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: wat\r\n\r\nabc"
SWITCH_UNASKED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MANY_HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 300
HTML = b"<html><body><h1>It works!</h1></body></html>\n"
MANY_FIELDS = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(300)) + b"Content-Length: 3\r\n\r\nabc"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nServer: shop\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
FIRST_CHUNK = b"3e8\r\n" + _text(1000) + b"\r\n"
LONGER_BODY = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n" + _text(160)
NOT_GZIP = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: 400\r\n\r\n" + _text(400)
# A server of HTTP/2 speaks first: SETTINGS; and to a request of HTTP/1 it says GOAWAY with PROTOCOL_ERROR.
HTTP2_SETTINGS = b"\0\0\x06\x04\0\0\0\0\0" + b"\0\x03\0\0\0\x64"
HTTP2_GOAWAY = b"\0\0\x08\x07\0\0\0\0\0" + b"\0\0\0\0" + b"\0\0\0\x01"
EARLY_413 = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 10\r\n\r\ntoo large\n"

CLEAR_TEXT_400 = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 12\r\nConnection: close\r\n\r\nBad Request\n"


def _head_with_a_cookie_of(length):
    return b"HTTP/1.1 200 OK\r\nSet-Cookie: cart=" + b"x" * length + b"\r\nContent-Length: 3\r\n\r\nabc"


def _part_then(data, end):
    def fault(connection):
        connection.send(data)
        time.sleep(PAUSE_SECONDS)
        end(connection)
    return fault


def _in_two_parts(first, second, end):
    def fault(connection):
        connection.send(first)
        time.sleep(PAUSE_SECONDS)
        _part_then(second, end)(connection)
    return fault


def _closed_after(seconds):
    def fault(connection):
        time.sleep(seconds)
        connection.close()
    return fault


def _reset_late(connection):
    # By now the request is acknowledged by a segment of its own.
    time.sleep(0.12)
    connection.reset()


def _answer_too_late(connection):
    time.sleep(TOO_LATE_SECONDS)
    connection.send(_message(200, ["Content-Length: 5"], b"done\n"))
    connection.close("answered-too-late")


def _in_drops(head, pieces, last=b""):
    """An answer that takes its time, and comes to its end if it is let."""
    def answer(connection):
        connection.send(head)
        for piece in pieces:
            time.sleep(0.1)
            connection.send(piece)
        connection.send(last)
        connection.note("answered", request=connection.request)
        connection.close("closed-after-answer")
    return answer


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

def _read_some_then_reset(connection, request):
    """The body is still on its way."""
    connection.reset()


def _answer_early_then_reset(connection, request):
    # A close with unread bytes in the queue makes the RST; the linger only makes it certain.
    connection.send(EARLY_413)
    connection.reset()


def _stop_reading(connection, request):
    connection.stop_reading()


def _stop_reading_then_reset(connection, request):
    time.sleep(0.6)
    connection.reset()


# What is done with a request when its head was read and its body not.
BEFORE_THE_BODY = {
    "reset-in-request-body": _read_some_then_reset,
    "answer-early": _answer_early_then_reset,
    "stop-reading": _stop_reading,
    "block-the-sender": _stop_reading,
    "stop-reading-then-reset": _stop_reading_then_reset,
}

# Services of other protocols: what they say when a connection comes, and what they answer to a line of HTTP.
GREETINGS = {
    "ssh": (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", b"Invalid SSH identification string.\r\n"),
    "smtp": (b"220 mail.shop.example ESMTP Postfix\r\n", b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"),
    "mysql": (b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xf7\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0abcdefghijkl\0mysql_native_pw\0",
              b"\x21\0\0\x01\xff\x84\x04#08S01Got packets out of order"),
    "redis": (b"", b"-ERR unknown command 'GET', with args beginning with: '/' 'HTTP/1.1' \r\n"),
    "http2": (HTTP2_SETTINGS, HTTP2_GOAWAY),
}

FAULTS = {
    "no-colon": _part_then(NO_COLON, Connection.close),
    "length-and-chunked": _part_then(LENGTH_AND_CHUNKED, Connection.close),
    "two-lengths": _part_then(TWO_LENGTHS, Connection.close),
    "length-not-a-number": _part_then(LENGTH_NOT_A_NUMBER, Connection.close),
    "unknown-coding": _part_then(UNKNOWN_CODING, Connection.close),
    "switch-unasked": _part_then(SWITCH_UNASKED, Connection.close),
    "interim-then-close": _part_then(CONTINUE, Connection.close),
    "interim-flood": _part_then(MANY_HINTS, Connection.close),
    "html": _part_then(HTML, Connection.close),
    "many-fields": _part_then(MANY_FIELDS, Connection.close),
    "bad-first-chunk": _part_then(CHUNKED_HEAD + b"zzz\r\nabc\r\n0\r\n\r\n", Connection.close),
    "bad-later-chunk": _in_two_parts(CHUNKED_HEAD + FIRST_CHUNK, b"zzz\r\nabc\r\n0\r\n\r\n", Connection.close),
    "cut-chunks": _part_then(CHUNKED_HEAD + FIRST_CHUNK, Connection.close),
    "drip": _in_drops(b"HTTP/1.1 200 OK\r\nServer: shop\r\nContent-Type: text/plain\r\nContent-Length: 3000\r\n\r\n", [_text(100)] * 30),
    "drip-chunks": _in_drops(CHUNKED_HEAD, [b"64\r\n" + _text(100) + b"\r\n"] * 30, b"0\r\n\r\n"),
    "longer-body": _part_then(LONGER_BODY, Connection.close),
    "not-gzip": _part_then(NOT_GZIP, Connection.close),
    "stall-mid-body": _part_then(HALF_A_BODY, Connection.stay_silent),
    "http1-says-400": _part_then(CLEAR_TEXT_400, Connection.close),
    "http1-closes": Connection.close,
    "wants-a-proxy-line": Connection.close,
    "wants-a-proxy-line-reset": Connection.reset,
    "close": Connection.close,
    "close-late": _closed_after(0.3),
    "close-very-late": _closed_after(1.2),
    "reset": Connection.reset,
    "reset-late": _reset_late,
    "answer-too-late": _answer_too_late,
    "close-together": _together_with_another(Connection.close),
    "reset-together": _together_with_another(Connection.reset),
    "hang": Connection.stay_silent,
    "close-mid-head": _part_then(HALF_A_HEAD, Connection.close),
    "reset-mid-head": _part_then(HALF_A_HEAD, Connection.reset),
    "stall-mid-head": _part_then(HALF_A_HEAD, Connection.stay_silent),
    "close-mid-body": _part_then(HALF_A_BODY, Connection.close),
    "reset-mid-body": _part_then(HALF_A_BODY, Connection.reset),
    "reset-mid-large-body": _part_then(HALF_A_LARGE_BODY, Connection.reset),
    "garbage": _part_then(GARBAGE, Connection.close),
    "bad-code": _part_then(BAD_CODE, Connection.close),
    "space-in-name": _part_then(SPACE_IN_NAME, Connection.close),
    "nul-in-value": _part_then(NUL_IN_VALUE, Connection.close),
    "huge-head": _part_then(_head_with_a_cookie_of(20_000), Connection.close),
    "giant-head": _part_then(_head_with_a_cookie_of(100_000), Connection.close),
    "upgrade": _upgrade,
    **{f"tls-alert-{number}": _part_then(b"\x15\x03\x03\0\x02\x02" + bytes([number]), Connection.close)
       for number in (40, 51, 70, 71, 80, 112, 116, 120)},
    "tls-close": Connection.close,
    "tls-reset": Connection.reset,
    "tls-hang": Connection.stay_silent,
    "tls-answer-400": _part_then(CLEAR_TEXT_400, Connection.close),
    "plain-to-tls-alert": _part_then(b"\x15\x03\x01\0\x02\x02\x46", Connection.close),
    "plain-to-tls-close": Connection.close,
}

# What each fault is called in causes.md: the fault server's half of the truth.
CAUSE_OF_FAULT = {
    "no-colon": "bad-header",
    "length-and-chunked": "conflicting-framing",
    "two-lengths": "conflicting-framing",
    "length-not-a-number": "invalid-content-length",
    "unknown-coding": "unknown-transfer-coding",
    "switch-unasked": "unexpected-upgrade",
    "interim-then-close": "bad-interim-response",
    "interim-flood": "bad-interim-response",
    "html": "http09-response",
    "many-fields": "too-many-headers",
    "bad-first-chunk": "bad-chunking",
    "bad-later-chunk": "bad-chunking",
    "cut-chunks": "truncated-chunked",
    "longer-body": "content-length-mismatch",
    "not-gzip": "bad-content-coding",
    "drip": "attempt-succeeded-but-error",
    "drip-chunks": "attempt-succeeded-but-error",
    "stall-mid-body": "stall-mid-response",
    "reset-in-request-body": "request-reset-mid-body",
    "answer-early": "early-response-abort",
    "stop-reading": "zero-window-stall",
    "block-the-sender": "request-write-timeout",
    "http1-says-400": "h2-on-h1-port",
    "http1-closes": "proxy-protocol-unexpected",
    "wants-a-proxy-line": "proxy-protocol-missing",
    "wants-a-proxy-line-reset": "proxy-protocol-missing",
    "stop-reading-then-reset": "request-reset-mid-body",
    "ssh": "wrong-service",
    "smtp": "wrong-service",
    "mysql": "wrong-service",
    "redis": "wrong-service",
    "http2": "h1-on-h2-port",
    "close": "closed-before-response",
    "close-notify": "closed-before-response",
    "close-late": "closed-before-response",
    "close-very-late": "closed-before-response",
    "reset": "reset-before-response",
    "reset-late": "reset-before-response",
    "answer-too-late": "response-timeout",
    "close-together": "closed-before-response",
    "reset-together": "reset-before-response",
    "hang": "response-timeout",
    "close-mid-head": "closed-mid-head",
    "reset-mid-head": "reset-mid-head",
    "stall-mid-head": "head-timeout",
    "close-mid-body": "truncated-body",
    "reset-mid-body": "reset-mid-response",
    "reset-mid-large-body": "reset-mid-response",
    "garbage": "malformed-status-line",
    "bad-code": "malformed-status-line",
    "space-in-name": "bad-header",
    "nul-in-value": "bad-header",
    "huge-head": "header-too-large",
    "giant-head": "header-too-large",
    "tls-alert-40": "tls-alert-from-upstream",
    "tls-alert-80": "tls-alert-from-upstream",
    "tls-alert-51": "tls-decrypt-error",
    "tls-alert-70": "tls-version-mismatch",
    "tls-alert-71": "tls-no-shared-cipher",
    "tls-alert-116": "tls-client-cert-required",
    "tls-alert-120": "alpn-mismatch",
    "tls-close": "tls-handshake-closed",
    "tls-reset": "tls-handshake-reset",
    "tls-hang": "tls-handshake-timeout",
    "tls-answer-400": "tls-on-http-port",
    "plain-to-tls-alert": "http-on-tls-port",
    "plain-to-tls-close": "http-on-tls-port",
}
# What comes of a handshake, by the code itself: the TLS side of an upstream knows what it was set up for.
CAUSE_OF_FAULT |= {code: code for code in (
    "tls-cert-expired", "tls-cert-not-yet-valid", "tls-cert-name-mismatch", "tls-untrusted-ca", "tls-cert-revoked", "tls-version-mismatch",
    "tls-no-shared-cipher", "tls-sni-missing", "tls-sni-unrecognized", "tls-client-cert-required", "tls-client-cert-rejected", "alpn-mismatch")}
IDLE_ENDS = {"vanished", "idle-closed", "idle-reset", "closed-after-answer", "reset-after-answer"}
