"""Squid as an accelerator in front of an origin server: its configuration, its start, and how its log is read.

The access log names the exact upstream connection, and the page that Squid made (ERR_...), which tells one cause from another well. One
upstream is dialled directly; several, and those with health checks, are peers: Squid probes each of them when it starts, and does not
dial a peer whose probe failed.
"""

import re
import subprocess
from collections import Counter

import gateways as may_be
from gateways import Attempt, Exchange
from topology import CLEAN_ENVIRONMENT

PRODUCT, PROGRAM = "Squid", "squid"
LINE = re.compile(r"^access (?P<client>\S+) at=(?P<time>\S+) request=\"[^\"]*\" status=(?P<status>\d+) received=(?P<received>\S+) "
                  r"outcome=(?P<outcome>\S+) error=(?P<error>[^/]+)/(?P<about>\S+) way=(?P<way>\S+) upstream=(?P<upstream>\S+) "
                  r"local=(?P<local>\S+)")

PAGES = {
    "ERR_CONNECT_FAIL": may_be.ANY_CONNECT,
    "ERR_ZERO_SIZE_OBJECT": may_be.CLOSED,
    "ERR_READ_ERROR": may_be.RESET | may_be.BROKEN_BODY | {"reset-mid-head"},
    "ERR_WRITE_ERROR": may_be.RESET | may_be.CLOSED,
    "ERR_READ_TIMEOUT": may_be.NO_ANSWER | {"stall-mid-response"},
    "ERR_INVALID_RESP": may_be.BAD_HEAD | may_be.NOT_HTTP | {"closed-mid-head"},
    "ERR_TOO_BIG": {"header-too-large"},
    "ERR_DNS_FAIL": may_be.NAMES,
    "ERR_CANNOT_FORWARD": may_be.NOT_TRIED,
    "ERR_CLIENT_GONE": frozenset(),
    "-": may_be.RELAYED | may_be.CUT_BODY,
}


def version():
    return subprocess.run(["squid", "-v"], capture_output=True, text=True, env=CLEAN_ENVIRONMENT).stdout.split()[3]


def configuration(route):
    connect, response = max(1, round(route.connect_seconds)), max(1, round(route.response_seconds))
    return "\n".join([
        *_way(route, connect), "http_access allow all", "cache deny all", "cache_mem 8 MB", "reply_header_max_size 16 KB",
        "visible_hostname gateway", "pid_filename none", "coredump_dir none", "pinger_enable off", "icp_port 0", "netdb_filename none",
        "cache_log cache.log", "cache_store_log none",
        "dns_nameservers 10.77.0.53", "dns_timeout 1 second", "dns_retransmit_interval 1 second", "hosts_file none",
        f"connect_timeout {connect} seconds", f"read_timeout {response} seconds", f"write_timeout {response} seconds",
        "shutdown_lifetime 1 second", f"server_persistent_connections {'on' if route.reuse else 'off'}",
        f"forward_max_tries {3 if route.retry else 1}", "retry_on_error off", "buffered_logs off",
        "logformat lab access %>a:%>p at=%ts.%03tu request=\"%rm %ru\" status=%>Hs received=%<Hs outcome=%Ss error=%err_code/%err_detail "
        "way=%Sh upstream=%<a:%<p local=%<la:%<lp ms=%tr",
        "access_log stdio:gateway.log lab", ""])


def _way(route, connect):
    if len(route.upstreams) == 1 and not route.health_checks:
        host, _, port = (f"{route.name}:8080" if route.name else route.upstreams[0]).rpartition(":")
        return [f"http_port 80 accel defaultsite={host} no-vhost vport={port}", "always_direct allow all"]
    peers = []
    for number, upstream in enumerate(route.upstreams):
        host, _, port = upstream.rpartition(":")
        peers.append(f"cache_peer {host} parent {port} 0 name=p{number} no-query no-digest no-netdb-exchange originserver round-robin "
                     f"connect-timeout={connect}")
    return ["http_port 80 accel defaultsite=shop.example no-vhost", *peers, "never_direct allow all"]


def command(folder):
    # Squid writes its logs as a user without rights.
    folder.chmod(0o777)
    return ["squid", "-N", "-f", f"{folder}/gateway.conf"]


def tidy(folder):
    """The log is written as it is kept."""


def exchanges(folder, syns):
    """Every request of the log, in its order."""
    by_name = re.search(r"defaultsite=[a-z.]+ no-vhost vport=8080", (folder / "gateway.conf").read_text())
    direct = re.search(r"defaultsite=(\d\S+) no-vhost vport=(\d+)", (folder / "gateway.conf").read_text())
    direct = direct and f"{direct[1]}:{direct[2]}"
    seen, found = Counter(), []
    for line in (folder / "gateway.log").read_text(errors="replace").splitlines():
        said = LINE.match(line)
        if said:
            client = said["client"]
            found.append(Exchange(client, seen[client], int(said["status"]), [_attempt(said, direct, bool(by_name), line)], line))
            seen[client] += 1
    return found


def _attempt(said, direct, by_name, line):
    if said["way"] == "HIER_NONE" and not direct:
        # Nowhere to go: without a live peer, or with a name that led to no address. The page is ERR_READ_ERROR for both.
        return Attempt(None, may_be.NAMES if by_name else may_be.NOT_TRIED, line)
    codes = frozenset(PAGES[said["error"]])
    if codes <= may_be.NAMES:
        return Attempt(None, codes, line)
    upstream = said["upstream"] if said["upstream"][0].isdigit() and ":-" not in said["upstream"] else direct
    local = said["local"] if said["local"][0].isdigit() and not said["local"].endswith((":0", ":-")) else None
    return Attempt(upstream, codes, line, None if codes <= may_be.ANY_CONNECT else local)
