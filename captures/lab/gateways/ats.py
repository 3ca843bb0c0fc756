"""Apache Traffic Server as a reverse proxy: its configuration, its start, and how its log is read.

gateway.conf holds all its files, each under its name. The reason phrase of the answer it makes tells more than its codes: a refused
connection and an upstream that hung up are both ERR_CONNECT_FAIL. It does not log the port of an upstream connection.
"""

import re
import subprocess
from collections import Counter

import gateways as may_be
from gateways import Attempt, Exchange, first_wording
from topology import CLEAN_ENVIRONMENT

PRODUCT, PROGRAM = "Apache Traffic Server", "traffic_server"
LOG_IS_LATE_SECONDS = 2.5
LINE = re.compile(r"^access (?P<client>\S+) at=(?P<time>\S+) \"[^\"]*\" status=(?P<status>\d+) received=(?P<received>\d+) "
                  r"outcome=(?P<outcome>\S+) upstream=(?P<upstream>\S+) attempts=\d+ nth=(?P<nth>\d+) reason=\"(?P<reason>[^\"]*)\"")

WORDINGS = [
    ("Connection refused", may_be.REFUSED),
    ("No route to host", may_be.NO_ROUTE_TO_HOST),
    ("Network is unreachable", may_be.NETWORK_UNREACHABLE),
    ("Cannot assign requested address", may_be.OWN_ERROR),
    ("Permission denied", may_be.OWN_ERROR),
    ("connect failed", may_be.NO_ANSWER_TO_SYN),
    ("Cannot find server", may_be.NAMES),
    ("Malformed Server Response Status", may_be.CLOSED | may_be.RESET | may_be.NOT_HTTP | may_be.BAD_HEAD),
    ("Malformed Server Response", may_be.BAD_HEAD),
    ("Server Hangup", may_be.CLOSED | may_be.RESET | {"closed-mid-head", "reset-mid-head"}),
    ("Invalid HTTP Response", may_be.NOT_HTTP | may_be.BAD_HEAD),
    ("Connection Timed Out", may_be.NO_ANSWER),
    ("Origin Server Marked Down", may_be.NOT_TRIED),
    ("Origin server congested", may_be.NOT_TRIED),
    ("Origin Server Congested", may_be.NOT_TRIED),
    ("No valid server", may_be.NOT_TRIED),
]
DETAILS = {"ongested": "pool-overflow"}
SECTION = re.compile(r"^## (\S+)$", re.M)


def version():
    said = subprocess.run(["traffic_server", "-V"], capture_output=True, text=True, env=CLEAN_ENVIRONMENT)
    return re.search(r"Traffic Server (\S+)", said.stdout + said.stderr)[1]


def configuration(route):
    connect, response = max(1, round(route.connect_seconds)), max(1, round(route.response_seconds))
    upstream = f"{route.name}:8080" if route.name else route.upstreams[0]
    return "\n".join([
        "## records.config",
        "CONFIG proxy.config.admin.user_id STRING #-1",
        "CONFIG proxy.config.http.server_ports STRING 80",
        "CONFIG proxy.config.exec_thread.autoconfig INT 0", "CONFIG proxy.config.exec_thread.limit INT 2",
        "CONFIG proxy.config.accept_threads INT 1",
        "CONFIG proxy.config.http.cache.http INT 0", "CONFIG proxy.config.http.wait_for_cache INT 0",
        "CONFIG proxy.config.url_remap.pristine_host_hdr INT 1", "CONFIG proxy.config.reverse_proxy.enabled INT 1",
        f"CONFIG proxy.config.http.connect_attempts_timeout INT {connect}",
        f"CONFIG proxy.config.http.connect_attempts_max_retries INT {1 if route.retry else 0}",
        "CONFIG proxy.config.http.connect_attempts_max_retries_dead_server INT 0",
        f"CONFIG proxy.config.http.transaction_no_activity_timeout_out INT {response}",
        f"CONFIG proxy.config.http.keep_alive_enabled_out INT {int(route.reuse)}",
        "CONFIG proxy.config.http.down_server.cache_time INT 0",
        "CONFIG proxy.config.http.response_header_max_size INT 16384",
        "CONFIG proxy.config.diags.debug.enabled INT 0", "CONFIG proxy.config.log.logging_enabled INT 3",
        "CONFIG proxy.config.log.max_secs_per_buffer INT 1", "CONFIG proxy.config.log.periodic_tasks_interval INT 1",
        "CONFIG proxy.config.dns.nameservers STRING 10.77.0.53", "CONFIG proxy.config.dns.resolv_conf STRING NULL",
        "CONFIG proxy.config.dns.lookup_timeout INT 1", "CONFIG proxy.config.dns.retries INT 0",
        "CONFIG proxy.config.hostdb.lookup_timeout INT 2",
        "CONFIG proxy.config.hostdb.timeout INT 1", "CONFIG proxy.config.hostdb.ttl_mode INT 1",
        "CONFIG proxy.config.dns.search_default_domains INT 0",
        *(["CONFIG proxy.config.http.per_server.connection.max INT 1"] if route.variant == "one-at-a-time" else []),
        "## remap.config", f"map / {'https' if route.tls else 'http'}://{upstream}/",
        "## logging.yaml", "logging:", "  formats:", "  - name: lab",
        "    format: 'access %<chi>:%<chp> at=%<cqtq> \"%<cqtx>\" status=%<pssc> received=%<sssc> outcome=%<crc> upstream=%<nhi>:%<nhp> "
        "attempts=%<sca> nth=%<sstc> reason=\"%<prrp>\" ms=%<ttms>'",
        "  logs:", "  - filename: gateway", "    format: lab", "    mode: ascii", "## storage.config", "",
        "## ip_allow.yaml", "ip_allow:", "- apply: in", "  ip_addrs: 0/0", "  action: allow", "  methods: ALL", ""])


PLACES = ["prefix", "exec_prefix", "bindir", "sbindir", "sysconfdir", "datadir", "includedir", "libdir", "libexecdir", "localstatedir",
          "runtimedir", "logdir", "mandir", "infodir", "cachedir"]


def command(folder):
    """One folder is everything to it: its parts of the configuration, its logs, its sockets."""
    _, *parts = SECTION.split((folder / "gateway.conf").read_text())
    for name, text in zip(parts[::2], parts[1::2]):
        (folder / name).write_text(text.lstrip("\n"))
    (folder / "runroot.yaml").write_text("".join(f"{place}: {folder}\n" for place in PLACES))
    return ["traffic_server", f"--run-root={folder}/runroot.yaml"]


def tidy(folder):
    """The log is written as it is kept."""


def exchanges(folder, syns):
    """Every request of the log, in its order."""
    seen, found = Counter(), []
    for line in (folder / "gateway.log").read_text(errors="replace").splitlines():
        said = LINE.match(line)
        if said:
            client = said["client"]
            found.append(Exchange(client, seen[client], int(said["status"]), [_attempt(said, line)], line))
            seen[client] += 1
    return found


def _attempt(said, line):
    if said["received"] == said["status"] and said["outcome"] not in ("ERR_READ_ERROR", "ERR_CONNECT_FAIL", "ERR_READ_TIMEOUT"):
        return Attempt(said["upstream"], may_be.RELAYED, line)
    if said["status"] == said["received"]:
        return Attempt(said["upstream"], may_be.BROKEN_BODY, line)
    codes = first_wording(WORDINGS, said["reason"], PRODUCT)
    detail = next((detail for word, detail in DETAILS.items() if word in said["reason"]), None)
    return Attempt(None if codes <= may_be.NAMES | may_be.NOT_TRIED else said["upstream"], codes, line, None, detail)
