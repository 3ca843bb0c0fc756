"""HAProxy: its configuration, its start, and how its log is read.

The log names the exact upstream connection (%bi:%bp) and tells by two letters who ended the exchange in which phase. It does not tell a
FIN from a RST: the fault server's book does.
"""

import re
import subprocess
from collections import Counter

import gateways as may_be
from gateways import Attempt, Exchange, earlier_attempts
from recordbook import endpoint, split
from topology import CLEAN_ENVIRONMENT

PRODUCT, PROGRAM = "HAProxy", "haproxy"
LINE = re.compile(r"^access (?P<client>\S+) at=(?P<time>\S+) from=(?P<local>\S+) to=(?P<server>\S+) (?P<where>\S+) "
                  r"timers=(?P<timers>\S+) status=(?P<status>\S+) state=(?P<state>..) retries=(?P<retries>\S+)")

FAILED_CONNECTS = may_be.ANY_CONNECT | may_be.HANDSHAKES | {"h2-on-h1-port"}
# An ICMP error that finds the socket in use is a soft error: HAProxy then fails at the next SYN's error or at its own timer.
ICMP = {code for code in FAILED_CONNECTS if code.startswith("icmp-")}
# On a later request of a client connection HAProxy wants the client to try again: it closes without an answer and without a log line.
SILENT_WITHOUT_A_LINE = frozenset({"stale-keepalive-reuse", "closed-before-response", "reset-before-response"})

# First letter: who ended it (S server, s its timer, P the proxy). Second: the phase (C connect, H head, D data).
STATES = {
    "SC": FAILED_CONNECTS,
    "RC": may_be.OWN_ERROR,
    "sC": may_be.NO_ANSWER_TO_SYN | {"tls-handshake-timeout"} | ICMP,
    # In TLS 1.3 the handshake is over for the client before the server has seen its certificate.
    "SH": may_be.CLOSED | may_be.RESET | {"closed-mid-head", "reset-mid-head", "tls-client-cert-required"},
    "sH": may_be.NO_ANSWER,
    "PH": may_be.NOT_HTTP | may_be.BAD_HEAD | {"bad-chunking", "attempt-succeeded-but-error"},
    "PR": {"attempt-succeeded-but-error"},
    "SD": may_be.BROKEN_BODY | may_be.RESET,
    "PD": may_be.CUT_BODY,
    "sD": may_be.NO_ANSWER | {"stall-mid-response"},
    "--": may_be.RELAYED,
}
MORE_TIMERS = {"hasty": ["    timeout http-request 1s"], "one-at-a-time": ["    timeout queue 400ms"]}
# No server was chosen, or none within the time in the queue.
NOT_TRIED = {"SC": "no-live-upstream", "sQ": "queue-timeout"}


def version():
    return subprocess.run(["haproxy", "-v"], capture_output=True, text=True, env=CLEAN_ENVIRONMENT).stdout.split()[2].split("-")[0]


def configuration(route):
    upstreams = [f"{route.name}:8080" if route.variant == "at-start" else "0.0.0.0:8080"] if route.name else route.upstreams
    servers = [f"    server s{number} {upstream}{_server_options(route, upstream)}" for number, upstream in enumerate(upstreams)]
    return "\n".join([
        "global", "    log stdout format raw local0 info", "    nbthread 1", "    maxconn 1000",
        "defaults", "    mode http", "    log global", "    timeout client 5s", *MORE_TIMERS.get(route.variant, []),
        f"    timeout connect {int(route.connect_seconds * 1000)}ms", f"    timeout server {int(route.response_seconds * 1000)}ms",
        f"    http-reuse {'always' if route.reuse else 'never'}",
        *(["    retries 1", "    option redispatch 1"] if route.retry else ["    retries 0"]),
        '    log-format "access %ci:%cp at=%Ts.%ms from=%bi:%bp to=%si:%sp %b/%s timers=%TR/%Tw/%Tc/%Tr/%Ta status=%ST state=%ts '
        'retries=%rc error=%[bc_err_str] %{+Q}r"',
        *_resolvers(route),
        "frontend front", *_binds(route), *_plain(route), "    default_backend pool",
        "backend pool", *_backend_rules(route), *servers,
        *(["backend plain", f"    server p0 {route.upstreams[0]}"] if _plain(route) else []), ""])


def _plain(route):
    return ["    use_backend plain if { path_beg /plain }"] if route.variant == "proxy-line-on-most" else []


def _binds(route):
    return ["    bind :443 ssl crt front.pem"] if route.sealed else [f"    bind :{route.port}", f"    bind :::{route.port} v6only"]


def _resolvers(route):
    if not route.name or route.variant == "at-start":
        return []
    return ["resolvers names", "    nameserver one 10.77.0.53:53", "    resolve_retries 1",
            "    timeout resolve 1s", "    timeout retry 1s", "    hold nx 1ms", "    hold refused 1ms", "    hold other 1ms"]


def _server_options(route, upstream):
    weight = f" weight {route.weights[upstream]}" if upstream in route.weights else ""
    checks = " check inter 300ms fall 1 rise 1" if route.health_checks else ""
    options = {"proxy-line": " send-proxy", "http2-upstream": " proto h2", "one-at-a-time": " maxconn 1"}
    if route.variant == "proxy-line-on-most":
        return weight + " send-proxy"
    return weight + (_tls(route) if route.tls else "") + checks + options.get(route.variant, "")


def _tls(route):
    words = ["ssl", "verify required ca-file ca.crt" if route.verifies else "verify none"]
    words += [f"sni str({route.asks_for})"] if route.asks_for else []
    words += ["crl-file crl.pem"] if route.revocation else []
    words += [f"force-tlsv{route.offers.replace('.', '')}"] if route.offers else []
    words += [f"{'ciphersuites' if route.offers == '1.3' else 'ciphers'} {route.suites}"] if route.suites else []
    words += ["crt gateway.pem"] if route.shows else []
    words += [f"alpn {route.speaks}"] if route.speaks else []
    return " " + " ".join(words)


def _backend_rules(route):
    if route.name and route.variant != "at-start":
        # The name is asked for when the request comes; without an address there is nowhere to connect to.
        return [f"    http-request do-resolve(txn.address,names,ipv4) str({route.name})", "    http-request set-dst var(txn.address)",
                "    http-request deny deny_status 503 unless { var(txn.address) -m found }"]
    return {"own-error-page": ['    http-error status 502 content-type text/html string "<h1>We will be back soon</h1>"'],
            "long-header": [f"    http-response set-header X-Policy {'p' * 900}", f"    http-response set-header X-Rules {'r' * 900}"],
            "rewrites": ["    http-request set-path /inner%[path]"],
            "asks-for-health": ["    option httpchk GET /health"],
            "deny-all-answers": ["    http-response deny deny_status 502"]}.get(route.variant, [])


def command(folder):
    return ["haproxy", "-f", "gateway.conf"]


def tidy(folder):
    """The log goes to the standard output; only its lines about requests and servers are kept."""
    lines = (folder / "console.log").read_text(errors="replace").splitlines(True)
    (folder / "gateway.log").write_text("".join(line for line in lines if line.startswith(("access ", "Server ", "backend "))))


def exchanges(folder, syns):
    members = re.findall(r"^    server \S+ (\S+)", (folder / "gateway.conf").read_text(), re.M)
    seen, found = Counter(), []
    for line in (folder / "gateway.log").read_text(errors="replace").splitlines():
        said = LINE.match(line)
        if said:
            client = _endpoint(said["client"])
            found.append(Exchange(client, seen[client], int(said["status"]), _attempts(said, members, line), line))
            seen[client] += 1
    return found


def _attempts(said, members, line):
    if "<NOSRV>" in said["where"] and said["state"] == "PR":
        return [Attempt(None, may_be.NAMES, line)]
    if "<NOSRV>" in said["where"]:
        return [Attempt(None, may_be.NOT_TRIED, line, None, NOT_TRIED.get(said["state"]))]
    if said["state"] == "sQ":
        return [Attempt(None, may_be.NOT_TRIED, line, None, "queue-timeout")]
    server = _endpoint(said["server"])
    local = None if said["local"].endswith((":0", ":-")) else _endpoint(said["local"])
    last = Attempt(server, frozenset(STATES.get(said["state"], ())), line, local)
    return earlier_attempts(int(said["retries"].lstrip("+")), members, server, FAILED_CONNECTS | {"connect-timeout"}, line) + [last]


def _endpoint(text):
    return endpoint(split(text))
