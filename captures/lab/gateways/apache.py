"""Apache httpd with mod_proxy_http: its configuration, its start, and how its logs are read.

The access log carries the port that mod_proxy used towards the upstream (the note proxy-source-port); the error log says why, with the
errno in parentheses, and names the client by its port.
"""

import re
import subprocess
from collections import Counter, defaultdict
from datetime import datetime

import gateways as may_be
from gateways import Attempt, Exchange, earlier_attempts
from topology import CLEAN_ENVIRONMENT

PRODUCT, PROGRAM = "Apache httpd", "apache2"
ACCESS = re.compile(r"^access (?P<client>\S+) at=(?P<time>\d+) request=(?P<request>\d+) \"(?P<line>[^\"]*)\" status=(?P<status>\d+) "
                    r"source=(?P<source>\S+) worker=(?P<worker>\S+)")
ERROR = re.compile(r"^\[[^\]]*\] \[(?P<module>\w+):(?P<level>\w+)\] .*?\[client (?P<client>[^\]\s]+(?:\][:\d]+)?)\] ?(?P<text>.*)$")

THREAD = re.compile(r"^\[(?P<when>[^\]]*)\] \[[^\]]*\] \[pid \d+:tid (?P<thread>\d+)\]")
CONNECT = re.compile(r"AH00957: http: attempt to connect to (?P<upstream>\S+) ")

CONNECTS = may_be.ANY_CONNECT
ENDED = may_be.CLOSED | may_be.NOT_HTTP | {"closed-mid-head"}
WORDINGS = [
    (r"AH01114", CONNECTS),
    (r"AH00898: DNS lookup failure", may_be.NAMES),
    (r"AH00898: Error reading from remote server", None),
    (r"AH00898: Too many .* interim responses", {"bad-interim-response"}),
    (r"AH00898: Unexpected Upgrade", {"unexpected-upgrade"}),
    (r"AH00898: .*(malformed|Malformed|Corrupt)", may_be.BAD_HEAD | may_be.NOT_HTTP),
    (r"AH00898: Error during SSL Handshake", may_be.HANDSHAKES),
    # In TLS 1.3 it has sent its request when the alert comes: of the alert the log says nothing.
    (r"\(70014\).*AH01102", ENDED | {"tls-client-cert-required", "tls-client-cert-rejected"}),
    (r"\(20014\).*AH01102", ENDED),
    (r"\(22\).*AH01102", may_be.NOT_HTTP),
    (r"\(104\).*AH01102", may_be.RESET | {"reset-mid-head"}),
    (r"\(70007\).*AH01102", may_be.NO_ANSWER),
    (r"\(70014\).*AH10404", {"closed-mid-head"}),
    (r"\(104\).*AH10404", {"reset-mid-head"}),
    (r"\(70007\).*AH10404", {"head-timeout"}),
    (r"AH02429|AH02430", {"bad-header"}),
    (r"\(70007\).*AH01110", {"stall-mid-response"}),
    (r"AH01110", may_be.BROKEN_BODY | may_be.BAD_FRAMING),
    (r"AH01099|AH01106|AH10404|AH01100|AH10124", may_be.BAD_HEAD | may_be.NOT_HTTP),
    (r"AH01170|AH01171|AH00940|AH00941|AH00934", may_be.NOT_TRIED),
    (r"AH01084|AH01097|AH01095|AH01096", may_be.RESET | may_be.CLOSED | may_be.NO_ANSWER | may_be.HANDSHAKES),
    (r"AH02003", may_be.HANDSHAKES),
]
# Says of no client whose request it was.
FULL_POOL = "AH00941"

MODULES = ["mpm_event", "authz_core", "proxy", "proxy_http", "slotmem_shm", "proxy_balancer", "lbmethod_byrequests",
           "proxy_hcheck", "ssl", "headers"]

DEBIAN = "/usr/lib/apache2/modules"
# What a variant adds.
MORE = {
    "hasty": [f"LoadModule reqtimeout_module {DEBIAN}/mod_reqtimeout.so", "RequestReadTimeout header=1 body=1"],
}


def version():
    return subprocess.run(["apache2", "-v"], capture_output=True, text=True, env=CLEAN_ENVIRONMENT).stdout.split("Apache/")[1].split()[0]


def configuration(route):
    return "\n".join([
        *[f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES],
        "DefaultRuntimeDir .", "PidFile apache.pid", "ServerName gateway", "Listen 80", "User www-data", "Group www-data",
        "StartServers 1", "ServerLimit 1", "ThreadsPerChild 25", "MaxRequestWorkers 25", "KeepAliveTimeout 5",
        "ErrorLog gateway.log", "LogLevel warn proxy:info",
        'LogFormat "access %h:%{remote}p at=%{end:usec}t request=%k \\"%r\\" status=%>s source=%{proxy-source-port}n '
        'worker=%{BALANCER_WORKER_NAME}e us=%D" lab', "CustomLog gateway.log lab",
        *MORE.get(route.variant, []),
        *(_tls(route) if route.tls else []),
        *_proxy(route), ""])


def _tls(route):
    verify = ["SSLProxyVerify require", "SSLProxyCACertificateFile ca.crt"] if route.verifies else ["SSLProxyVerify none"]
    # The server name is the client's Host, where that is passed on.
    name = ["ProxyPreserveHost on", "SSLProxyCheckPeerName on"] if route.asks_for else ["SSLProxyCheckPeerName off"]
    return ["SSLProxyEngine on", *verify, *name,
            *(["SSLProxyCARevocationFile crl.pem", "SSLProxyCARevocationCheck leaf"] if route.revocation else []),
            *([f"SSLProxyProtocol TLSv{route.offers}"] if route.offers else []),
            *([f"SSLProxyCipherSuite {route.suites}"] if route.suites else []),
            *(["SSLProxyMachineCertificateFile gateway.pem"] if route.shows else [])]


def _proxy(route):
    scheme = "https" if route.tls else "http"
    reuse = "" if route.reuse else " disablereuse=On"
    options = f"connectiontimeout={int(route.connect_seconds * 1000)}ms timeout=1 retry=0{reuse}"
    if route.name:
        return [f'ProxyPass "/" "{scheme}://{route.name}:8080/" {options}']
    options += " max=1 acquire=100" if route.variant == "one-at-a-time" else ""
    if len(route.upstreams) == 1 and not route.health_checks and route.variant != "rest-after-failure":
        return [f'ProxyPass "/" "{scheme}://{route.upstreams[0]}/" {options}']
    checks = " hcmethod=TCP hcinterval=1 hcfails=1" if route.health_checks else ""
    options = options.replace("retry=0", "retry=60") if route.variant == "rest-after-failure" else options
    members = [f'    BalancerMember "{scheme}://{upstream}" {options}{checks}' for upstream in route.upstreams]
    attempts = 1 if route.retry else 0
    return ['<Proxy "balancer://pool">', *members, f"    ProxySet maxattempts={attempts} forcerecovery=Off",
            "</Proxy>", 'ProxyPass "/" "balancer://pool/"']


def command(folder):
    return ["apache2", "-d", str(folder), "-f", "gateway.conf", "-DFOREGROUND", "-E", "startup.log"]


def tidy(folder):
    """The lines about requests; what Apache says of its start and end names the build."""
    log = folder / "gateway.log"
    log.write_text("".join(line for line in log.read_text(errors="replace").splitlines(True)
                           if line.startswith("access ") or "[client " in line or "AH00957" in line or FULL_POOL in line))


def exchanges(folder, syns):
    """Every request of the log, in its order. `syns` are the first SYNs of connections on the wire as (time, gateway, upstream)."""
    members = re.findall(r'(?:BalancerMember|ProxyPass "/") "https?://([^/"]+:\d+)', (folder / "gateway.conf").read_text())
    lines = (folder / "gateway.log").read_text(errors="replace").splitlines()
    sources, dialled = _sources_of_failed_connects(lines, syns), {}
    failures, seen, found, full = defaultdict(list), Counter(), [], ""
    for line in lines:
        access, error, thread = ACCESS.match(line), ERROR.match(line), THREAD.match(line)
        if access:
            client = access["client"]
            attempts = _attempts(access, failures.pop(client, []), members, line, syns)
            if full and access["status"] == "503" and access["source"] == "-":
                attempts, full = [Attempt(None, may_be.NOT_TRIED, full, None, "pool-overflow")], ""
            found.append(Exchange(client, seen[client], int(access["status"]), attempts, line))
            seen[client] += 1
        elif FULL_POOL in line:
            full = line
        elif "AH00957" in line:
            dialled[thread["thread"]] = line
        elif error and error["level"] in ("error", "warn", "crit"):
            failures[error["client"]].append((line, *_dialled(line, dialled.pop(thread["thread"], None), sources)))
    return found


def _dialled(line, connect, sources):
    """(the connect's own line, the port it came from) for a failure that follows a connect of the same thread."""
    return (connect, sources.get(connect)) if "AH01114" in line else (None, None)


def _sources_of_failed_connects(lines, syns):
    """AH00957 line -> the gateway's endpoint. The n-th failed connect is the n-th SYN, when no other SYN went out between it and its line
    and the line before it was written before it went out; otherwise the order proves nothing."""
    sources, lines_to, syns_to = {}, defaultdict(list), defaultdict(list)
    for line in lines:
        connect = CONNECT.search(line)
        if connect:
            lines_to[connect["upstream"]].append((_time(line), line))
    for time, source, to in syns:
        syns_to[to].append((time, source))
    for upstream, told in lines_to.items():
        sent = syns_to[upstream]
        for number, (when, line) in enumerate(sorted(told)) if len(told) == len(sent) else ():
            after_the_last = number == 0 or sorted(told)[number - 1][0] <= sent[number][0]
            before_the_next = number + 1 == len(sent) or when <= sent[number + 1][0]
            if after_the_last and before_the_next:
                sources[line] = sent[number][1]
    return sources


def _time(line):
    return datetime.strptime(THREAD.match(line)["when"] + " +0000", "%a %b %d %H:%M:%S.%f %Y %z").timestamp()


def _attempts(access, failures, members, line, syns):
    if not failures:
        codes = may_be.RELAYED | {"attempt-succeeded-but-error"}
        return [Attempt(_worker(access, members), codes, line, _source(access, syns))]
    text = "\n".join(failure for failure, _, _ in failures)
    codes = next((codes for codes in (_codes(failure) for failure, _, _ in failures) if codes), frozenset())
    if codes <= CONNECTS:
        return _failed_connect(access, failures, members, line, syns)
    upstream = None if codes & {"no-upstream-attempt", "dns-nxdomain"} else _worker(access, members)
    return [Attempt(upstream, codes, text, _source(access, syns) if upstream else None)]


def _failed_connect(access, failures, members, line, syns):
    """A thread that finds the member put into error by another thread gives up with AH01114 too, but never dialled (no AH00957)."""
    text, connect, source = failures[-1]
    if int(access["status"]) < 500:
        last = _attempts(access, [], members, line, syns)
        return earlier_attempts(1, members, last[0].upstream, CONNECTS, text) + last
    if not connect:
        return [Attempt(None, frozenset({"no-upstream-attempt"}), text)]
    return [Attempt(CONNECT.search(connect)["upstream"], frozenset(CONNECTS), f"{connect}\n{text}", source)]


def _codes(text):
    for wording, codes in WORDINGS:
        if re.search(wording, text):
            return frozenset(codes) if codes else None
    raise ValueError(f"Apache said something that causes.md does not know: {text}")


def _worker(access, members):
    named = re.search(r"//([^/]+)", access["worker"])
    return named[1] if named else (members[0] if members else None)


def _source(access, syns):
    """The log tells the port; the address is that of the SYN from this port."""
    return next((source for _, source, _ in reversed(syns) if source.endswith(f":{access['source']}")), None)
