"""Varnish: its configuration, its start, and how its log is read.

varnishlog tells a request and its fetches in groups: the client's endpoint (ReqStart), the exact upstream connection and whether it was
new or reused (BackendOpen), why a fetch failed (FetchError), and the answer (RespStatus). It does not tell a FIN from a RST.
"""

import re
import subprocess
from collections import Counter

import gateways as may_be
from gateways import Attempt, Exchange, first_wording
from recordbook import endpoint
from topology import CLEAN_ENVIRONMENT

PRODUCT, PROGRAM = "Varnish", "varnishd"
TAGS = "ReqStart,ReqMethod,ReqURL,RespStatus,RespReason,BackendOpen,BackendClose,FetchError,BogoHeader,HttpGarbage,BerespStatus,Error"

WORDINGS = [
    # For a quarter of a second after a refusal Varnish does not dial the backend again.
    ("fail errno 0 ", may_be.NOT_TRIED),
    ("fail errno 111", may_be.REFUSED),
    ("fail errno 110", may_be.NO_ANSWER_TO_SYN),
    ("fail errno 113", may_be.NO_ROUTE_TO_HOST),
    ("fail errno 101", may_be.NETWORK_UNREACHABLE),
    ("fail errno 13 ", may_be.OWN_ERROR),
    ("fail errno 99", may_be.OWN_ERROR),
    ("fail errno 104", {"connect-reset-after-accept"}),
    ("unhealthy", may_be.NOT_TRIED),
    ("No backend", may_be.NOT_TRIED),
    ("returned no backend", may_be.NOT_TRIED),
    ("busy", may_be.NOT_TRIED),
    ("HTC eof", may_be.NOT_HTTP | may_be.CLOSED | may_be.RESET | {"closed-mid-head", "reset-mid-head"}),
    ("first byte timeout", may_be.NO_ANSWER),
    ("HTC idle", may_be.NO_ANSWER),
    ("Received junk", may_be.NOT_HTTP),
    ("http format error", may_be.NOT_HTTP | may_be.BAD_HEAD),
    ("overflow", may_be.BAD_HEAD),
    ("req.body read error", may_be.RESET),
    ("backend write error", may_be.RESET | may_be.CLOSED | {"request-write-timeout", "zero-window-stall"}),
    ("timeout", may_be.NO_ANSWER | {"stall-mid-response"}),
    ("chunked", may_be.BROKEN_BODY),
    ("straight insufficient bytes", may_be.BROKEN_BODY),
    ("straight read_error", may_be.BROKEN_BODY),
    ("eof socket fail", may_be.BROKEN_BODY),
    ("Resource temporarily unavailable", may_be.BROKEN_BODY),
    ("Connection reset by peer", may_be.BROKEN_BODY),
    ("Body cannot be fetched", may_be.BAD_HEAD),
    ("unzip", {"bad-content-coding"}),
    ("Gzip", {"bad-content-coding"}),
]
DETAILS = {"busy": "pool-overflow"}
OPEN = re.compile(r"^--+ +BackendOpen +\d+ \S+ (?P<host>\S+) (?P<port>\d+) (?P<own>\S+) (?P<own_port>\d+) ")
ERROR = re.compile(r"^--+ +(?:FetchError|Error) ")
FAILED = re.compile(r"FetchError +backend (?P<name>\w+): ")
MEMBER = re.compile(r'^backend (\w+) \{\n +\.host = "([^"]+)";\n +\.port = "(\d+)";', re.M)

RETRY = ["sub vcl_backend_error {", "    if (bereq.retries == 0) { return (retry); }", "}",
         "sub vcl_backend_fetch {", "    if (bereq.retries > 0) { set bereq.backend = pool.backend(); }", "}"]


def version():
    said = subprocess.run(["varnishd", "-V"], capture_output=True, text=True, env=CLEAN_ENVIRONMENT)
    return re.search(r"varnish-(\S+)", said.stdout + said.stderr)[1]


def configuration(route):
    line = ["    .proxy_header = 1;"] if route.variant == "proxy-line" else []
    one = ["    .max_connections = 1;"] if route.variant == "one-at-a-time" else []
    probe = ["    .probe = { .url = \"/health\"; .interval = 300ms; .timeout = 200ms; .window = 1; .threshold = 1; .initial = 0; }"]
    backends = []
    for number, upstream in enumerate(route.upstreams):
        host, _, port = upstream.rpartition(":")
        backends += [f"backend b{number} {{", f'    .host = "{host.strip("[]")}";', f'    .port = "{port}";',
                     f"    .connect_timeout = {int(route.connect_seconds * 1000)}ms;",
                     f"    .first_byte_timeout = {int(route.response_seconds * 1000)}ms;",
                     f"    .between_bytes_timeout = {int(route.response_seconds * 1000)}ms;",
                     *line, *one, *(probe if route.health_checks else []), "}"]
    members = [f"    pool.add_backend(b{number});" for number in range(len(route.upstreams))]
    return "\n".join([
        "vcl 4.1;", "import directors;", *backends,
        "sub vcl_init {", "    new pool = directors.round_robin();", *members, "}",
        "sub vcl_recv {", "    set req.backend_hint = pool.backend();", "    return (pass);", "}",
        "sub vcl_backend_fetch {", *([] if route.reuse else ['    set bereq.http.Connection = "close";']), "}",
        *(RETRY if route.retry else []),
        *(["sub vcl_backend_response {", "    set beresp.do_gunzip = true;", "}"] if route.variant == "gunzip" else []), ""])


def command(folder):
    return ["varnishd", "-F", "-j", "none", "-n", f"{folder}/varnish", "-a", ":80", "-f", f"{folder}/gateway.conf", "-s", "malloc,16m",
            "-p", "thread_pools=1", "-p", "thread_pool_min=10", "-p", "thread_pool_max=100", "-p", "timeout_idle=5"]


def logger(folder):
    return ["varnishlog", "-n", f"{folder}/varnish", "-g", "request", "-i", TAGS]


def tidy(folder):
    """What varnishlog told of requests, a group for each."""
    (folder / "gateway.log").write_text((folder / "logger.log").read_text(errors="replace"))


def exchanges(folder, syns):
    """Every request of the log, in its order."""
    members = {name: endpoint((host, int(port))) for name, host, port in MEMBER.findall((folder / "gateway.conf").read_text())}
    seen, found = Counter(), []
    for group in (folder / "gateway.log").read_text(errors="replace").split("\n\n"):
        start = re.search(r"ReqStart +(\S+) (\d+)", group)
        if not start:
            continue
        client = endpoint((start[1], int(start[2])))
        status = int(re.findall(r"^- +RespStatus +(\d+)", group, re.M)[-1])
        line = "\n".join(line for line in group.splitlines() if "Begin" not in line).strip()
        found.append(Exchange(client, seen[client], status, _attempts(group, members), line))
        seen[client] += 1
    return found


def _attempts(group, members):
    """A fetch has a group of its own, a retry another; within one, a connection that was opened, and errors."""
    fetches = re.split(r"^\*\*+ +<< BeReq .*$", group, flags=re.M)[1:]
    return [attempt for fetch in fetches for attempt in _of_fetch(fetch, members)]


def _of_fetch(fetch, members):
    text = "\n".join(line for line in fetch.splitlines() if "BackendOpen" in line or "Error  " in line or "Bogo" in line)
    opened = [OPEN.match(line) for line in fetch.splitlines() if OPEN.match(line)]
    error = "\n".join(line for line in fetch.splitlines() if ERROR.match(line))
    failed = FAILED.search(error)
    if error and not opened:
        codes = first_wording(WORDINGS, error, PRODUCT)
        detail = next((detail for word, detail in DETAILS.items() if word in error), None)
        return [Attempt(members.get(failed["name"]) if failed and not codes & may_be.NOT_TRIED else None, codes, text, None, detail)]
    codes = first_wording(WORDINGS, error, PRODUCT) if error else may_be.RELAYED
    return [_over(connection, may_be.CLOSED | may_be.RESET, text) for connection in opened[:-1]] + [_over(opened[-1], codes, text)]


def _over(opened, codes, text):
    return Attempt(endpoint((opened["host"], int(opened["port"]))), frozenset(codes), text,
                   endpoint((opened["own"], int(opened["own_port"]))))
