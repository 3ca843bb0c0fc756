"""nginx: its configuration, its start, and how its logs are read.

The access log says which upstreams were tried, the error log why each failed. Neither names the local port of an upstream connection;
the debug log, which is kept out of the case, says it in two steps: it numbers every connect of the (single) worker, and the n-th connect
is the n-th SYN towards that upstream on the wire.
"""

import re
import subprocess
from collections import defaultdict

import gateways as may_be
from gateways import Attempt, Exchange
from recordbook import endpoint, split
from topology import CLEAN_ENVIRONMENT

PRODUCT, PROGRAM = "nginx", "nginx"
ACCESS = re.compile(r"^access (?P<time>\S+) (?P<client>\S+) conn=(?P<serial>\d+)/(?P<request>\d+) \"(?P<line>[^\"]*)\" (?P<status>\d+) "
                    r"upstream=\"(?P<upstream>[^\"]*)\" upstream_status=\"(?P<upstream_status>[^\"]*)\"")
ERROR = re.compile(r"^(?P<time>\S+ \S+) \[(?P<level>\w+)\] \S+ (?:\*(?P<serial>\d+) )?(?P<text>.*)$")
STEPS = re.compile(r"\*(\d+) (connect to|free keepalive peer: saving connection|get keepalive peer: using connection|http log handler)"
                   r" ?([^\s,]*)")

SLOW_CLIENT = "client timed out (110: Connection timed out) while sending to client"
# causes.md A.3. A wording that several wire events share allows all of them; the fault server's book decides.
WORDINGS = [
    ("could not be resolved (3: ", {"dns-nxdomain", "dns-nodata"}),
    ("could not be resolved (2: ", {"dns-servfail"}),
    ("could not be resolved (5: ", {"dns-refused"}),
    ("could not be resolved (110: ", {"dns-timeout", "dns-unreachable"}),
    ("no live upstreams", may_be.NOT_TRIED),
    ("failed (111: Connection refused) while connecting", may_be.REFUSED),
    ("failed (113: No route to host) while connecting", may_be.NO_ROUTE_TO_HOST),
    ("failed (101: Network is unreachable) while connecting", may_be.NETWORK_UNREACHABLE),
    ("failed (13: Permission denied) while connecting", may_be.OWN_ERROR),
    ("failed (99: ", may_be.OWN_ERROR),
    ("connect() failed (104: ", {"connect-reset-after-accept"}),
    ("upstream timed out (110: Connection timed out) while connecting", may_be.NO_ANSWER_TO_SYN),
    ("upstream timed out (110: Connection timed out) while SSL handshaking", {"tls-handshake-timeout"}),
    ("peer closed connection in SSL handshake (104: ", {"tls-handshake-reset"}),
    ("peer closed connection in SSL handshake while", {"tls-handshake-closed"}),
    ("SSL alert number 70)", {"tls-version-mismatch"}),
    ("unsupported protocol", {"tls-version-mismatch"}),
    ("SSL alert number 112)", {"tls-sni-missing", "tls-sni-unrecognized"}),
    ("SSL alert number 116)", {"tls-client-cert-required"}),
    ("SSL alert number 48)", {"tls-client-cert-rejected"}),
    ("SSL alert number 120)", {"alpn-mismatch"}),
    ("SSL alert number 51)", {"tls-decrypt-error"}),
    ("SSL alert number", may_be.BY_ALERT),
    ("SSL certificate verify error: (10:", {"tls-cert-expired"}),
    ("SSL certificate verify error: (9:", {"tls-cert-not-yet-valid"}),
    ("SSL certificate verify error: (18:", {"tls-untrusted-ca"}),
    ("SSL certificate verify error: (20:", {"tls-untrusted-ca"}),
    ("SSL certificate verify error: (21:", {"tls-untrusted-ca"}),
    ("SSL certificate verify error: (23:", {"tls-cert-revoked"}),
    ("SSL certificate does not match", {"tls-cert-name-mismatch"}),
    ("wrong version number", {"tls-on-http-port"}),
    ("upstream sent too big header", {"header-too-large", "too-many-headers"}),
    ("upstream sent invalid header", {"bad-header"}),
    ("upstream sent no valid HTTP/1.0 header", may_be.NOT_HTTP),
    ("upstream prematurely closed connection while reading response header", may_be.CLOSED | {"closed-mid-head"}),
    ("recv() failed (104: Connection reset by peer) while reading response header", may_be.RESET | {"reset-mid-head"}),
    ("upstream timed out (110: Connection timed out) while reading response header", may_be.NO_ANSWER),
    ("upstream timed out (110: Connection timed out) while sending request", may_be.NO_ANSWER),
    ("failed (13: Permission denied) while reading upstream", may_be.CUT_HERE),
    (SLOW_CLIENT, may_be.CUT_HERE),
    ("upstream timed out (110: Connection timed out) while reading upstream", {"stall-mid-response", "path-mtu-blackhole"}),
    ("upstream sent invalid chunked response", may_be.CUT_BODY),
    ("upstream prematurely closed connection while reading upstream", may_be.CUT_BODY | {"conflicting-framing"}),
    ("failed (104: Connection reset by peer) while reading upstream", {"reset-mid-response"}),
    ("inflate() failed", {"bad-content-coding"}),
    ("writev() failed (104: ", may_be.RESET),
    ("sendfile() failed (104: ", may_be.RESET),
    ("failed (32: Broken pipe) while sending request", may_be.RESET | may_be.CLOSED),
    ("failed (104: Connection reset by peer) while sending request", may_be.RESET | may_be.CLOSED),
]
FAILURES = ("error", "crit", "alert")
# A rule that makes nginx close without an answer (`return 444`).
DROPPED = {"gateway-silent-close"}


def version():
    return subprocess.run(["nginx", "-v"], capture_output=True, text=True, env=CLEAN_ENVIRONMENT).stderr.strip().split("/")[1]


def configuration(route):
    passes = "fastcgi" if route.variant == "fastcgi" else "proxy"
    return "\n".join([
        f"user {'www-data' if route.variant == 'small-buffers' else 'root'};", "worker_processes 1;", "daemon off;", "pid nginx.pid;",
        "error_log gateway.log info;", "error_log debug.log debug;",
        "events { worker_connections 2048; }",
        "http {",
        "    log_format lab 'access $msec $remote_addr:$remote_port conn=$connection/$connection_requests \"$request\" $status '",
        "                   'upstream=\"$upstream_addr\" upstream_status=\"$upstream_status\" time=\"$upstream_response_time\"';",
        "    access_log gateway.log lab;",
        *[f"    {name}_temp_path temp;" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")],
        *_pool(route),
        "    server {",
        *_listens(route),
        "        location / {",
        *[f"            {line}" for line in [*_target(route, passes), *_behaviour(route, passes)]],
        "        }",
        *BESIDE.get(route.variant, []),
        *(["        error_page 502 504 = @sorry;",
           "        location @sorry { default_type text/html; return 503 '<h1>We will be back soon</h1>'; }",
           "        server_tokens off;"] if route.variant == "own-error-page" else []),
        "    }", "}", ""])


# What a request makes nginx ask of another upstream too.
BESIDE = {
    "asks-first": ["        location = /auth { internal; proxy_pass http://beside; proxy_pass_request_body off; "
                   'proxy_set_header Content-Length ""; }'],
    "drops": ["        location = /admin { return 444; }"],
    "mirrors": ["        location = /mirror { internal; proxy_pass http://beside$request_uri; }"],
}
BESIDE_IS = "10.77.0.4:8081"


def _listens(route):
    if route.sealed:
        return ["        listen 443 ssl;", "        ssl_certificate front.crt;", "        ssl_certificate_key front.key;"]
    little = " sndbuf=4k" if route.variant in ("small-buffers", "hurries-clients") else ""
    return [f"        listen {route.port}{little};", f"        listen [::]:{route.port};"]


def _pool(route):
    if route.name:
        valid = "300s" if route.variant == "long-names" else "1s"
        return [f"    resolver 10.77.0.53 valid={valid} ipv6=off;", "    resolver_timeout 1s;"]
    limits = "max_fails=1 fail_timeout=10s" if route.variant == "max-fails" else "max_fails=0"
    weight = {upstream: f" weight={share}" for upstream, share in route.weights.items()}
    servers = [f"        server {upstream} {limits}{weight.get(upstream, '')};" for upstream in route.upstreams]
    kept = 128 if route.variant == "large-pool" else 32
    return ["    upstream pool {", *servers, *([f"        keepalive {kept};"] if route.reuse else []), "    }",
            *([f"    upstream beside {{ server {BESIDE_IS} max_fails=0; }}"] if route.variant in BESIDE else [])]


def _target(route, passes):
    if passes == "fastcgi":
        return ["fastcgi_pass pool;", "fastcgi_param SCRIPT_FILENAME /srv/index.php;", "fastcgi_param REQUEST_METHOD $request_method;"]
    scheme = "https" if route.tls else "http"
    if route.name:
        return [f"set $upstream {route.name};", f"proxy_pass {scheme}://$upstream:8080;"]
    return [f"proxy_pass {scheme}://pool{'/inner/' if route.variant == 'rewrites' else ''};"]


def _behaviour(route, passes):
    lines = [f"{passes}_connect_timeout {int(route.connect_seconds * 1000)}ms;",
             f"{passes}_read_timeout {int(route.response_seconds * 1000)}ms;",
             f"{passes}_send_timeout {int(route.response_seconds * 1000)}ms;",
             f"{passes}_next_upstream {'error timeout' if route.retry else 'off'};"]
    if route.reuse:
        lines += ["proxy_http_version 1.1;", 'proxy_set_header Connection "";', "proxy_set_header Host $host;"]
    if route.asks_for:
        lines += ["proxy_ssl_server_name on;", f"proxy_ssl_name {route.asks_for};"]
    if route.verifies:
        lines += ["proxy_ssl_verify on;", "proxy_ssl_trusted_certificate ca.crt;"]
    if route.revocation:
        lines += ["proxy_ssl_crl crl.pem;"]
    if route.offers:
        lines += [f"proxy_ssl_protocols TLSv{route.offers};"]
    if route.suites:
        lines += [f"proxy_ssl_ciphers {route.suites};"]
    if route.shows:
        lines += ["proxy_ssl_certificate gateway.crt;", "proxy_ssl_certificate_key gateway.key;"]
    if route.variant == "upgrade":
        lines += ["proxy_http_version 1.1;", "proxy_set_header Connection Upgrade;", "proxy_set_header Upgrade $http_upgrade;"]
    if route.variant == "asks-first":
        lines += ["auth_request /auth;"]
    if route.variant == "mirrors":
        lines += ["mirror /mirror;"]
    if route.variant == "small-buffers":
        lines += ["proxy_buffer_size 1k;", "proxy_buffers 4 1k;", "proxy_busy_buffers_size 2k;"]
    if route.variant == "unbuffered":
        lines += ["proxy_buffering off;"]
    if route.variant == "hurries-clients":
        lines += ["send_timeout 500ms;"]
    if route.variant == "gunzip":
        lines += ["gunzip on;"]
    return lines


def command(folder):
    return ["nginx", "-p", f"{folder}/", "-e", "startup.log", "-c", "gateway.conf"]


def tidy(folder):
    """The lines about requests; what nginx says of its start and end names the machine."""
    log = folder / "gateway.log"
    log.write_text("".join(line for line in log.read_text(errors="replace").replace(f"{folder}/", "").splitlines(True)
                           if line.startswith("access ") or (ERROR.match(line) and ERROR.match(line)["serial"] and "temporary file" not in line)))


def exchanges(folder, syns):
    """Every request of the log, in its order. `syns` are the first SYNs of connections on the wire as (time, gateway, upstream)."""
    connections = _connections((folder / "debug.log").read_text(errors="replace"), syns)
    failures, found = defaultdict(list), []
    for line in (folder / "gateway.log").read_text(errors="replace").splitlines():
        access, error = ACCESS.match(line), ERROR.match(line)
        if access:
            serial = int(access["serial"])
            found.append(_exchange(access, failures.pop(serial, []), next(connections[serial], []), line))
        elif error and error["serial"] and "client prematurely closed" not in line and (error["level"] in FAILURES or SLOW_CLIENT in line) \
                and "while resolving" not in line:
            failures[int(error["serial"])].append(error)
    return found


def _exchange(access, failures, connections, line):
    upstreams = [word for word in re.split(r", | : ", access["upstream"]) if word != "-"]
    statuses = [word for word in re.split(r", | : ", access["upstream_status"]) if word != "-"]
    attempts = []
    # A request that failed with one of its subrequests has no upstream of its own: the error names the subrequest's.
    named = [found[1] for failure in failures[:1] for found in [re.search(r'subrequest: .*upstream: "https?://([^/"]+)', failure["text"])] if found]
    for number, upstream in enumerate(upstreams or named or ([None] if failures else [])):
        address = upstream if upstream and ":" in upstream else None
        failure = failures.pop(0) if failures else None
        text = failure.group(0) if failure else line
        codes = _codes(failure["text"]) if failure else _codes_of_status(statuses[number] if number < len(statuses) else "")
        connection = connections[number] if address and number < len(connections) else None
        attempts.append(Attempt(address, codes, text, connection))
    if access["status"] == "444" and not attempts:
        attempts = [Attempt(None, frozenset(DROPPED), line)]
    return Exchange(endpoint(split(access["client"])), int(access["request"]) - 1, int(access["status"]), attempts, line)


def _codes(text):
    for wording, codes in WORDINGS:
        if wording in text:
            # Inside TLS nginx has one wording for either end.
            either = {"reset-before-response"} if 'upstream: "https:' in text and "closed-before-response" in codes else set()
            return frozenset(codes | either)
    raise ValueError(f"nginx said something that causes.md does not know: {text}")


def _codes_of_status(status):
    # Without an error line nginx relayed what it took for an answer, a status line that it does not understand included.
    return frozenset(may_be.RELAYED if status in ("500", "502", "503", "504") else
                     may_be.NOT_HTTP | {"attempt-succeeded-but-error"})


def _connections(debug, syns):
    """Serial of the client connection -> for each of its requests the local endpoints of the upstream connections it used."""
    towards = defaultdict(list)
    for _, local, upstream in syns:
        towards[upstream].append(local)
    current, pool, done = defaultdict(list), {}, defaultdict(list)
    for serial, event, what in STEPS.findall(debug):
        if event == "connect to":
            current[serial].append(towards[what].pop(0) if towards[what] else None)
        elif event == "free keepalive peer: saving connection":
            pool[what] = current[serial][-1]
        elif event == "get keepalive peer: using connection":
            current[serial].append(pool[what])
        else:
            done[int(serial)].append(current.pop(serial, []))
    return defaultdict(lambda: iter(()), {serial: iter(requests) for serial, requests in done.items()})
