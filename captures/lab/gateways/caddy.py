"""Caddy's reverse_proxy: its configuration, its start, and how its log is read.

One log of JSON lines holds both halves: what was answered ("handled request"), and for every try which upstream and which error
("upstream roundtrip"). Both name the client by address and port. Caddy does not log the port of an upstream connection.
"""

import json
import re
import subprocess
from collections import Counter, defaultdict

import gateways as may_be
from gateways import Attempt, Exchange, first_wording
from topology import CLEAN_ENVIRONMENT

PRODUCT, PROGRAM = "Caddy", "caddy"

# The words of Go's net, net/http and resolver, in the order in which they are tried.
WORDINGS = [
    ("context canceled", ()),           # the client left
    ("no upstreams available", may_be.NOT_TRIED),
    ("no such host", {"dns-nxdomain", "dns-nodata"}),
    ("server misbehaving", {"dns-servfail", "dns-refused"}),
    ("->10.77.0.53:53: i/o timeout", {"dns-timeout"}),
    ("->10.77.0.53:53: read: connection refused", {"dns-unreachable"}),
    ("->10.77.0.53:53: read: no route to host", {"dns-unreachable"}),
    ("connect: connection refused", may_be.REFUSED),
    ("connect: no route to host", may_be.NO_ROUTE_TO_HOST),
    ("connect: network is unreachable", may_be.NETWORK_UNREACHABLE),
    ("connect: permission denied", may_be.OWN_ERROR),
    ("connect: cannot assign requested address", may_be.OWN_ERROR),
    ("connect: connection reset by peer", {"connect-reset-after-accept"}),
    ("TLS handshake timeout", {"tls-handshake-timeout"}),
    ("x509: certificate has expired or is not yet valid", {"tls-cert-expired", "tls-cert-not-yet-valid"}),
    ("x509: certificate is valid for", {"tls-cert-name-mismatch"}),
    ("x509: certificate signed by unknown authority", {"tls-untrusted-ca"}),
    ("remote error: tls: protocol version not supported", {"tls-version-mismatch"}),
    ("server selected unsupported protocol version", {"tls-version-mismatch"}),
    ("remote error: tls: unrecognized name", {"tls-sni-missing", "tls-sni-unrecognized"}),
    ("remote error: tls: certificate required", {"tls-client-cert-required"}),
    ("remote error: tls: unknown certificate authority", {"tls-client-cert-rejected"}),
    ("remote error: tls: no application protocol", {"alpn-mismatch"}),
    ("remote error: tls: error decrypting message", {"tls-decrypt-error"}),
    ("tls: ", may_be.HANDSHAKES),
    ("timeout awaiting response headers", may_be.NO_ANSWER),
    ("i/o timeout", may_be.NO_ANSWER_TO_SYN | may_be.NO_ANSWER | {"stall-mid-response"}),
    ("malformed MIME header", {"closed-mid-head", "reset-mid-head", "bad-header"}),
    ("malformed HTTP", may_be.NOT_HTTP),
    ("too many 1xx", {"bad-interim-response"}),
    ("unsupported transfer encoding", may_be.BAD_FRAMING),
    ("bad Content-Length", may_be.BAD_FRAMING),
    ("http: message cannot contain multiple Content-Length headers", may_be.BAD_FRAMING),
    ("invalid byte in chunk length", may_be.CUT_BODY),
    ("malformed chunked encoding", may_be.CUT_BODY),
    ("server response headers exceeded", {"header-too-large"}),
    ("broken pipe", may_be.RESET | may_be.CLOSED),
    ("connection reset by peer", may_be.RESET | {"reset-mid-head", "reset-mid-response", "tls-handshake-reset"}),
    ("server closed idle connection", may_be.CLOSED),
    ("unexpected EOF", may_be.CUT_BODY | {"bad-interim-response", "unsolicited-response", "closed-mid-head", "reset-mid-response", "tls-handshake-closed"}),
    ("EOF", may_be.CLOSED | {"tls-handshake-closed"}),
]
LOCAL = re.compile(r"(\d[\d.]+:\d+)->")


def version():
    return subprocess.run(["caddy", "version"], capture_output=True, text=True, env=CLEAN_ENVIRONMENT).stdout.split()[0].lstrip("v")


def configuration(route):
    scheme = "https://" if route.tls else ""
    upstreams = [f"{route.name}:8080"] if route.name else route.upstreams
    retry = ["lb_try_duration 500ms", "lb_try_interval 10ms"] if route.retry else []
    checks = ["health_uri /health", "health_interval 300ms", "health_timeout 200ms"] if route.health_checks else []
    rest = ["fail_duration 10s"] if route.variant == "rest-after-failure" else []
    return "\n".join([
        "{", "    admin off", "    auto_https off", "    grace_period 1s",
        "    log {", "        output file gateway.log", "        format json", "        level DEBUG", "    }", "}",
        ":80 {", "    log", f"    reverse_proxy {' '.join(scheme + upstream for upstream in upstreams)} {{",
        "        lb_policy round_robin", *[f"        {line}" for line in [*retry, *checks, *rest]],
        "        transport http {", f"            dial_timeout {int(route.connect_seconds * 1000)}ms",
        f"            response_header_timeout {int(route.response_seconds * 1000)}ms",
        f"            read_timeout {int(route.response_seconds * 1000)}ms",
        f"            write_timeout {int(route.response_seconds * 1000)}ms",
        "            max_response_header 16KiB", "            dial_fallback_delay -1s", "            compression off",
        *([f"            {line}" for line in _tls(route)] if route.tls else []),
        *([] if route.reuse else ["            keepalive off"]),
        "        }", "    }", "}", ""])


def _tls(route):
    return [*(["tls_trusted_ca_certs ca.crt"] if route.verifies else ["tls_insecure_skip_verify"]),
            *([f"tls_server_name {route.asks_for}"] if route.asks_for else []),
            *(["tls_client_auth gateway.crt gateway.key"] if route.shows else [])]


def command(folder):
    return ["env", f"HOME={folder}", "caddy", "run", "--config", "gateway.conf", "--adapter", "caddyfile"]


def tidy(folder):
    """The lines about requests and upstreams; what Caddy says of its start and end names the machine."""
    log = folder / "gateway.log"
    log.write_text("".join(line for line in log.read_text().splitlines(True) if _is_kept(json.loads(line))))


def _is_kept(said):
    name = said.get("logger", "")
    return name.startswith(("http.log.access", "http.log.error", "http.handlers.reverse_proxy")) and said["msg"] != "selected upstream"


def exchanges(folder, syns):
    """Every request of the log, in its order."""
    tries, latest, seen, found = defaultdict(list), None, Counter(), []
    for line in (folder / "gateway.log").read_text().splitlines():
        said = json.loads(line)
        client = f"{said['request']['remote_ip']}:{said['request']['remote_port']}" if "request" in said else latest
        if said["msg"] == "upstream roundtrip":
            latest = client
            tries[client].append((said["upstream"], said.get("error"), line))
        elif said["msg"] == "reading from backend":
            # This line names nobody: it belongs to the answer that was passed on last.
            upstream, _, _ = tries[latest].pop()
            tries[latest].append((upstream, said["error"], line))
        elif said["msg"] == "no upstreams available":
            tries[client].append((None, said["msg"], line))
        elif said["msg"] == "handled request":
            attempts = [_attempt(*one, said["status"]) for one in tries.pop(client, [])]
            found.append(Exchange(client, seen[client], said["status"], attempts, line))
            seen[client] += 1
    return found


def _attempt(upstream, error, line, status):
    if not error:
        return Attempt(upstream, may_be.RELAYED, line)
    codes = first_wording(WORDINGS, error, PRODUCT)
    local = LOCAL.search(error)
    named = local and "dial" not in error and not codes <= may_be.NAMES
    return Attempt(None if codes <= may_be.NAMES | may_be.NOT_TRIED else upstream, codes, line, local[1] if named else None)
