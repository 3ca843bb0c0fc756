"""lighttpd with mod_proxy: its configuration, its start, and how its logs are read.

The access log names the client and the status, the error log why, though not whose request it is about: the head of each request, which
the debug log prints, opens its part of the error log, and the parts are in the order of the access log while clients ask one at a time.
lighttpd has no word for an upstream that closed by FIN: there is a status and no error, and only the fault server's book tells. It does not
log the port of an upstream connection, and it uses each for one request.
"""

import re
import subprocess
from collections import Counter

import gateways as may_be
from gateways import Attempt, Exchange, first_wording
from topology import CLEAN_ENVIRONMENT

PRODUCT, PROGRAM = "lighttpd", "lighttpd"
ACCESS = re.compile(r"^access (?P<client>\S+) request=(?P<request>\d+) \"[^\"]*\" status=(?P<status>\d+) server=(?P<server>\S+)")
ERROR = re.compile(r"^\S+ \S+ \((?:gw_backend|http-header-glue|mod_proxy|response|reqpool|connections)\.c\.\d+\) (?P<text>.*)$")
UPSTREAM = re.compile(r"tcp:(\S+?:\d+)[ :]|tcp:(\S+?:\d+)$")
HEAD_OF_A_REQUEST = re.compile(r"fd:\d+ rqst: ")

WORDINGS = [
    ("Connection refused", may_be.REFUSED),
    ("Connection timed out", may_be.NO_ANSWER_TO_SYN),
    ("No route to host", may_be.NO_ROUTE_TO_HOST),
    ("Network is unreachable", may_be.NETWORK_UNREACHABLE),
    ("Permission denied", may_be.OWN_ERROR),
    ("Cannot assign requested address", may_be.OWN_ERROR),
    ("FDEVENT_ERR", may_be.ANY_CONNECT),
    ("connect timeout", may_be.NO_ANSWER_TO_SYN),
    ("connect() ", may_be.ANY_CONNECT),
    ("invalid HTTP status line", may_be.NOT_HTTP),
    ("response headers too large", {"header-too-large"}),
    ("response not received", may_be.RESET | may_be.CLOSED | {"reset-mid-head", "closed-mid-head"}),
    ("response already sent out", may_be.BROKEN_BODY),
    ("read timeout", may_be.NO_ANSWER | {"stall-mid-response"}),
    ("write timeout", may_be.NO_ANSWER),
    ("all handlers for", may_be.NOT_TRIED),
]
SAY_NOTHING = ["all handlers for", "read() ", "re-enabled"]
# A status without an error line.
SILENT = {
    500: may_be.CLOSED | may_be.NOT_HTTP | {"closed-mid-head"},
    502: may_be.NOT_HTTP | may_be.BAD_HEAD,
    503: may_be.RELAYED,
    200: may_be.CUT_BODY,
}


def version():
    return subprocess.run(["lighttpd", "-v"], capture_output=True, text=True, env=CLEAN_ENVIRONMENT).stdout.split("/")[1].split()[0]


def configuration(route):
    connect, response = max(1, round(route.connect_seconds)), max(1, round(route.response_seconds))
    rest = 10 if route.variant == "rest-after-failure" else 0
    hosts = []
    for upstream in route.upstreams:
        host, _, port = upstream.rpartition(":")
        hosts.append(f'    ("host" => "{host.strip("[]")}", "port" => {port}, "connect-timeout" => {connect}, '
                     f'"read-timeout" => {response}, "write-timeout" => {response}, "disable-time" => {rest}),')
    return "\n".join([
        'server.modules = ("mod_proxy", "mod_accesslog")', "server.port = 80", 'server.document-root = "/var/empty"',
        'server.errorlog = "errors.log"', 'server.feature-flags += ("server.graceful-shutdown-timeout" => 1)',
        'debug.log-request-header = "enable"', 'accesslog.filename = "access.log"',
        'accesslog.format = "access %h:%{remote}p request=%k \\"%r\\" status=%>s server=%{Server}o %X sent=%O us=%D"',
        'proxy.balance = "round-robin"', 'proxy.server = ("" => (', *hosts, "))", ""])


def command(folder):
    return ["lighttpd", "-D", "-f", "gateway.conf"]


def tidy(folder):
    """One log of the two: before each line of the access log what the error log says about this request."""
    parts, kept = [[]], []
    for line in (folder / "errors.log").read_text(errors="replace").splitlines():
        if HEAD_OF_A_REQUEST.search(line):
            if line.endswith(("HTTP/1.1", "HTTP/1.0")):
                parts.append([])
        elif ERROR.match(line):
            parts[-1].append(line)
    for access, errors in zip((folder / "access.log").read_text(errors="replace").splitlines(), parts[1:]):
        kept += [*errors, access]
    (folder / "gateway.log").write_text("\n".join(kept) + "\n")


def exchanges(folder, syns):
    """Every request of the log, in its order."""
    members = re.findall(r'"host" => "([^"]+)", "port" => (\d+)', (folder / "gateway.conf").read_text())
    members = [f"{host}:{port}" for host, port in members]
    errors, seen, found = [], Counter(), []
    for line in (folder / "gateway.log").read_text(errors="replace").splitlines():
        access = ACCESS.match(line)
        if access:
            client = access["client"]
            found.append(Exchange(client, seen[client], int(access["status"]), _attempts(access, errors, members, line), line))
            seen[client] += 1
            errors = []
        else:
            errors.append(line)
    return found


def _attempts(access, errors, members, line):
    status = int(access["status"])
    tried = [error for error in errors if not any(word in error for word in SAY_NOTHING)]
    attempts = [Attempt(_upstream(error, members), first_wording(WORDINGS, error, PRODUCT), error) for error in tried]
    if status == 503 and not tried and access["server"] == "-":
        return [Attempt(None, may_be.NOT_TRIED, errors[-1] if errors else line)]
    if status < 500 and attempts and not attempts[-1].codes & may_be.BROKEN_BODY:
        attempts.append(Attempt(members[-1], SILENT[200], line))
    return attempts or [Attempt(members[0], frozenset(SILENT.get(status, may_be.RELAYED) | may_be.RELAYED), line)]


def _upstream(error, members):
    named = UPSTREAM.search(error)
    return (named[1] or named[2]) if named else members[0]
