"""expected.json: what the gateway's own log and the fault server's book say happened. No packet is interpreted here.

In: the raw logs of a recording. Out: the findings in time order, the failed attempts that no client noticed, and the counts.
Rule: double entry. The log's wording allows a set of codes, the other side's book names one, and that one must be in the set; when the
two disagree, the recording is refused. The only thing read from the capture is which port a SYN came from.
"""

import json
from collections import Counter, defaultdict

import nat
import packets
from gateways import CUT_HERE, Attempt, Exchange
from steps import CAUSE_OF_FAULT, IDLE_ENDS
from topology import APPLICATION, GATEWAY, GATEWAY6, GATEWAY_BACK

# Two requests that fail so close together may owe it to one failed connect.
NEIGHBOURS_SECONDS = 0.005
UNORDERED_SECONDS = 0.005


# The folder, and the name in front of the kept files, of a gateway behind the gateway.
INNER = "inner"


class Disagreement(Exception):
    pass


def expected(case, work, capture, inside, began, ended):
    """What failed after `ended` is not in the recording that is kept, what was asked before `began` not in full. `inside` is the capture
    that shows what a gateway behind the gateway sends."""
    truth = Truth(case, work, capture)
    if case.inner:
        truth.inner = InnerTruth(truth, case, work, inside)
    findings, events = truth.findings(), truth.events
    if case.inner:
        findings = sorted([*truth.inner.findings(), *findings], key=lambda finding: finding["time"])
    later = [finding for finding in findings if case.partial and finding["time"] > ended]
    unseen = [finding for finding in findings if case.partial and (case.hidden or truth.asked_at[id(finding)] < began)]
    for finding in unseen:
        finding["accept"] = sorted({*finding["accept"], *case.accept_unseen})
    return {
        "gateway": {"product": case.gateway.PRODUCT, "version": case.gateway.version(), "addresses": _addresses(case)},
        **({"inner_gateway": truth.inner.told_of()} if case.inner else {}),
        "inputs": [point.file for point in case.recorded_at],
        "recorded": _recorded(case) | ({"in_flight": _in_flight(truth.asked)} if case.afresh else {}),
        "clear_two_leg": case.clear_two_leg and not any(_is_undecidable(finding) for finding in findings),
        "findings": [finding for finding in findings if finding not in unseen and finding not in later],
        **({"unseen": unseen, "later": later} if case.partial else {}),
        "upstream_events": events,
        "application_errors": truth.application_errors,
        "client_aborts": truth.client_aborts,
    }


# The packets at the gateway show what these have in common with others, not who did it (causes.md, part G).
UNDECIDABLE = {"path-mtu-blackhole", "idle-drop-middlebox", "loss-stall", "listen-queue-overflow", "local-connect-error",
               "connect-half-open"}
# What the gateway's log says where it asked no upstream.
NOBODY_ASKED = [{"no-upstream-attempt"}, {"gateway-silent-close"}]
UNDECIDABLE_DETAILS = {"pool-overflow", "queue-timeout"}


def _is_undecidable(finding):
    return finding["cause"] in UNDECIDABLE or finding["detail"] in UNDECIDABLE_DETAILS


class Truth:
    def __init__(self, case, work, capture):
        self.case, self.inner = case, None
        self.asked = _lines(work / "client.log")
        self._read(_lines(work / "upstream.log"), case.gateway, work, capture)

    def _read(self, book, gateway, folder, capture):
        self.kills = [line for line in book if line["event"] == "killed"]
        self.arranged = {line["upstream"]: line["cause"] for line in book if line["event"] == "arranged"}
        self.on_the_way = {line["upstream"]: line["cause"] for line in book if line["event"] == "on the way"}
        self.neighbours = {line["upstream"]: line["neighbour"] for line in book if "neighbour" in line}
        self.queries = [line for line in book if line["event"] == "query" and line["name"] == self.case.route.name]
        self.served = defaultdict(list)
        for line in book:
            if "connection" in line:
                self.served[line["peer"], line["local"]].append(line)
        self.views = nat.Views(folder)
        # What else runs on the gateway's machine, under an address of its own, is not the gateway.
        self.syns = [syn for syn in _first_syns(capture) if not syn[1].startswith(f"{APPLICATION}:")]
        self.told = defaultdict(list)
        for exchange in gateway.exchanges(folder, self.syns):
            self.told[exchange.client].append(exchange)
        self.events, self.application_errors, self.own_faults, self.asked_at = [], 0, 0, {}
        self.given, self.asked_over_it = {}, defaultdict(int)
        self.client_aborts = sum(line["aborted"] for line in self.asked)

    def findings(self):
        found = [finding for line in self.asked for finding in self._judge(line)]
        if bool(found or self.own_faults) == self.case.healthy:
            raise Disagreement(f"{len(found)} clients failed, which is not what was arranged")
        _accept_neighbours(found)
        if self.case.crowd and self.case.gateway.PRODUCT == "Envoy":
            _accept_unordered(found)
        return sorted(found, key=lambda finding: finding["time"])

    def _judge(self, line):
        """The finding that a client's line deserves, if any."""
        if line["server"].startswith(APPLICATION):
            self.application_errors += line["status"] >= 500
            return []
        if line["aborted"]:
            return []
        failure, exchange = _failure(line), self._exchange(line)
        if "fault" in line:
            self._own_fault(line, exchange)
            self.own_faults += 1
            return []
        if failure == "status" and exchange.status != line["status"]:
            raise Disagreement(f"the client got {line['status']}, the log says: {exchange.line}")
        failed = exchange.attempts if failure else exchange.attempts[:-1]
        codes = [self._code(attempt, exchange, line) for attempt in failed]
        connections = [self._connection(attempt, line) for attempt in failed]
        if not failure:
            self.events += [{"cause": code, "upstream": attempt.upstream, "connection": connection}
                            for attempt, code, connection in zip(failed, codes, connections) if code != "no-upstream-attempt"]
            return []
        if not failed:
            raise Disagreement(f"the client failed without an attempt or a reason in the log: {exchange.line}")
        finding = self._finding(line, failure, exchange, failed, codes[-1], connections[-1])
        self.asked_at[id(finding)] = line["time"]
        return [finding]

    def _own_fault(self, line, exchange):
        """No finding: the client's own book says what it did wrong, the gateway's log with which status it was turned away."""
        if line["status"] is None or exchange.status != line["status"]:
            raise Disagreement(f"the client got {line['status']}, the log says: {exchange.line}")

    def _finding(self, line, failure, exchange, attempts, code, connection):
        last = attempts[-1]
        finding = {
            "client": line["client"],
            "time": line["response_time"] if failure == "status" else line["end_time"],
            "status": line["status"],
            "failure": failure,
            "cause": self.case.cause or code,
            "detail": self._detail(code, line, last),
            "accept": self.case.accept,
            "upstream": last.upstream,
            "connection": connection,
            "attempts": sum(attempt.codes not in NOBODY_ASKED for attempt in attempts),
            "truth": "\n".join(dict.fromkeys([attempt.line for attempt in attempts] + [exchange.line])),
        }
        if code == "local-connect-error":
            # Nothing leaves the gateway's machine: only its log can name whom it wanted to reach.
            finding |= {"upstream": None, "connection": None}
        if self.case.host:
            finding |= self._other_names(line, last.upstream, connection)
        if self.case.cause:
            finding |= {"log_cause": code, "detail": None}
        if self.case.route.sealed:
            # The client's leg is encrypted: that there was an error at all can only be inferred.
            finding |= {"failure": "suspected", "status": None, "log_status": line["status"]}
        if self.case.only:
            # Behind the filter nobody can name what the log names.
            finding |= {"upstream": None, "connection": None, "attempts": None}
        return finding

    def _other_names(self, line, upstream, connection):
        """What the host calls the same ends elsewhere: an observer on the host sees all of these names."""
        names = self.views.of(connection["client"], connection["server"])[1:] if connection else []
        return {
            "client_views": self.views.of_client(line["client"])[1:],
            "upstream_views": sorted({server for _, server in names} - {upstream}),
            "connection_views": [{"client": client, "server": server} for client, server in names],
        }

    def _exchange(self, line):
        """The log's line for a client's line: the same client endpoint, the same place in its order."""
        told = next((self.told[name] for name in self.views.of_client(line["client"]) if name in self.told), [])
        if line["request"] >= len(told) and self._killed(line):
            return self._unfinished(line)
        if line["request"] >= len(told) and _failure(line) == "silent-close":
            return self._unlogged(line)
        if line["request"] >= len(told):
            raise Disagreement(f"the gateway's log has no line for request {line['request']} of {line['client']}")
        return told[line["request"]]

    def _unlogged(self, line):
        """A request that the gateway leaves out of its log by design: over the upstream connection that the book mentioned last."""
        last = max(self._served_until(line["end_time"]), key=lambda entry: entry["time"])
        codes = getattr(self.case.gateway, "SILENT_WITHOUT_A_LINE", frozenset())
        text = f"no line in the log: {self.case.gateway.PRODUCT} does not log a request that it ends in silence"
        return Exchange(line["client"], line["request"], 0, [Attempt(last["local"], codes, text, last["peer"])], text)

    def _killed(self, line):
        """How the lab ended the gateway's process while a client waited, if it did."""
        return next((entry for entry in self.kills if line["time"] <= entry["time"] <= line["end_time"]), None)

    def _unfinished(self, line):
        """A request of which the log tells nothing because its process died: the connection on which the fault server was answering."""
        killed = self._killed(line)
        asked = [entry for entry in self._served_until(killed["time"]) if entry["event"] == "request" and entry["time"] >= line["time"]]
        last = max(asked, key=lambda entry: entry["time"])
        text = f"no line in the log: {killed['how']}"
        return Exchange(line["client"], line["request"], 0, [Attempt(last["local"], CUT_HERE | {"gateway-silent-close"}, text, last["peer"])], text)

    def _served_until(self, time):
        return [entry for lines in self.served.values() for entry in lines if entry["time"] <= time]

    def _code(self, attempt, exchange, line):
        other = self._other_side(attempt, line)
        if other not in attempt.codes:
            raise Disagreement(f"the log allows {sorted(attempt.codes)}, the upstream's book says {other}: {attempt.line}")
        return other

    def _other_side(self, attempt, line):
        """The cause as the upstream's side knows it."""
        if attempt.codes in NOBODY_ASKED:
            return next(iter(attempt.codes))
        if attempt.upstream in self.on_the_way:
            return self.on_the_way[attempt.upstream]
        connection = self._connection(attempt, line)
        if self.inner and self.inner.failed(connection):
            return "relayed-nested"
        names = self.views.of(connection["client"], connection["server"]) if connection else []
        lines = [entry for name in names for entry in self.served[name] if entry["time"] <= line["end_time"]]
        if any(entry["event"] == "request" for entry in lines) or lines and attempt.upstream not in self.arranged:
            code = _cause_of_lines(lines)
            # The upstream did all that it was asked for, or was about to.
            if code == "attempt-succeeded-but-error" and attempt.codes >= CUT_HERE:
                return "gateway-silent-close" if line["status"] is None else "gateway-truncated-relay"
            return code
        if attempt.upstream is None and self.case.route.name in self.arranged:
            return self.arranged[self.case.route.name]
        if attempt.upstream is None:
            return _cause_of_query(self.queries, line)
        return self.arranged.get(attempt.upstream)

    def _connection(self, attempt, line):
        """The exact upstream connection: the log's word for it, else the SYN towards the upstream while the client waited. In a crowd there
        must have been only one, and as many SYNs as attempts."""
        if attempt.upstream is None or attempt.upstream in self.neighbours:
            return None                 # without the neighbour's hardware address no SYN leaves
        if attempt.connection:
            return {"client": attempt.connection, "server": attempt.upstream}
        by_book = self._connection_in_book(attempt, line)
        if by_book:
            return by_book
        sources = [source for time, source, to in self.syns
                   if to == attempt.upstream and line["time"] <= time <= line["end_time"]]
        unclear = not sources or self.case.crowd and (len(sources) > 1 or not self._one_syn_each(attempt.upstream))
        return None if unclear else {"client": sources[-1], "server": attempt.upstream}

    def _connection_in_book(self, attempt, line):
        """Where the gateway's log does not name the connection: the one on which the fault server read a request while the client waited,
        or accepted one; or, for a request that never came to be read, the pooled one that it had left before. In a crowd nobody knows."""
        if self.case.crowd:
            return None
        name = line["client"], line["time"], attempt.upstream
        if name not in self.given:
            self.given[name] = self._free_in_book(attempt, line)
        peer = self.given[name]
        return {"client": peer, "server": attempt.upstream} if peer else None

    def _free_in_book(self, attempt, line):
        """What an earlier client was given is no later one's: on a busy machine the fault server writes a request down after its answer has
        come to the client, so that it seems to lie in the time of the next."""
        mine = [(entry["time"], peer, entry) for (peer, local), entries in self.served.items() for entry in entries
                if local == attempt.upstream and entry["time"] <= line["end_time"]]
        for fits in (lambda time, peer, entry: entry["event"] == "request" and time >= line["time"]
                     and entry["request"] >= self.asked_over_it[peer],
                     lambda time, peer, entry: entry["event"] == "accept" and time >= line["time"] and not self.asked_over_it[peer],
                     lambda time, peer, entry: entry["event"] in IDLE_ENDS and "stale-keepalive-reuse" in attempt.codes):
            found = [(time, peer, entry) for time, peer, entry in mine if fits(time, peer, entry)]
            if found:
                _, peer, entry = max(found, key=lambda one: one[:2])
                self.asked_over_it[peer] = max(self.asked_over_it[peer], entry.get("request", 0) + 1)
                return peer
        return None

    def _one_syn_each(self, upstream):
        """Whether each failed attempt had a SYN of its own: a gateway may fail several requests for one refused connection."""
        nameless = [attempt for told in self.told.values() for exchange in told for attempt in exchange.attempts
                    if attempt.upstream == upstream and not attempt.connection]
        return len(nameless) == sum(to == upstream for _, _, to in self.syns)

    def _detail(self, code, line, last):
        if code == "neighbor-unresolved":
            return self.neighbours[last.upstream]
        if code == "upstream-returned-5xx":
            return str(line["status"])
        if code == "relayed-nested":
            return self.inner.failed(self._connection(last, line))["cause"]
        if last.detail:
            return last.detail
        return {"no-upstream-attempt": "no-live-upstream", "tls-alert-from-upstream": self.case.alert}.get(code)


class InnerTruth(Truth):
    """The gateway behind the gateway. Its clients' book is the outer gateway's word: which connection it asked over, and what came of it."""

    def __init__(self, outer, case, work, capture):
        self.case, self.inner, self._asked_over = case, None, Counter()
        self.asked = [line for asked in outer.asked if not asked["aborted"] for line in self._asked_by(outer, asked)]
        self._read(_lines(work / "upstream.log"), case.inner.gateway, work / INNER, capture)
        self._found = super().findings()

    def _asked_by(self, outer, line):
        for attempt in outer._exchange(line).attempts:
            connection = outer._connection(attempt, line)
            if attempt.upstream == self.case.inner.address and connection:
                client = connection["client"]
                yield line | {"client": client, "server": connection["server"], "request": self._asked_over[client]}
                self._asked_over[client] += 1

    def findings(self):
        return self._found

    def failed(self, connection):
        """The finding of what the outer gateway asked over a connection."""
        return next((finding for finding in self._found if connection and finding["client"] == connection["client"]), None)

    def told_of(self):
        inner = self.case.inner
        return {"product": inner.gateway.PRODUCT, "version": inner.gateway.version(), "address": inner.address}


def _accept_neighbours(findings):
    """A request that was given up without a connect while another's connect to the same place failed: no packet tells which of the two
    made it, so either code is right for both."""
    for without in findings:
        for tried in findings if without["cause"] == "no-upstream-attempt" else []:
            near = abs(tried["time"] - without["time"]) < NEIGHBOURS_SECONDS
            if near and tried["cause"].startswith("connect-") and "AH01114" in without["truth"]:
                tried["accept"] = sorted({*tried["accept"], without["cause"]})
                without["accept"] = sorted({*without["accept"], tried["cause"]})


def _accept_unordered(findings):
    """Envoy flushes the writes of each connection in a later turn of its loop, not in the order in which it picked the upstreams. Of two
    requests that differ in nothing and that fail within a few milliseconds, no packet tells which was whose: saying so is right too."""
    for one in findings:
        if any(abs(other["time"] - one["time"]) < UNORDERED_SECONDS and other["cause"] != one["cause"] for other in findings):
            one["accept"] = sorted({*one["accept"], "ambiguous"})


def _recorded(case):
    """Where and how. `cut` is what a check of the packets against the truth has to put up with."""
    points = case.recorded_at
    recorded = {"on": ", ".join(dict.fromkeys(f"{point.on} ({point.place})" for point in points)) if case.points else case.on,
                "crowd": case.crowd, "healthy": case.healthy}
    if case.partial or case.points and not all(point.is_whole for point in points):
        recorded["cut"] = True
    clocks = {point.file: {"ahead_seconds": point.ahead, "drift_ppm": point.drift} for point in points if point.ahead or point.drift}
    return recorded | ({"clocks": clocks} if clocks else {})


def _in_flight(asked):
    """How many clients waited at the same time, at the most."""
    steps = sorted([(line["time"], 1) for line in asked] + [(line["end_time"], -1) for line in asked])
    waiting = most = 0
    for _, step in steps:
        waiting += step
        most = max(most, waiting)
    return most


def _addresses(case):
    """The gateway's own address on either side; they differ when the upstream is reached over another interface."""
    if case.addresses:
        return case.addresses
    front = GATEWAY6 if case.ipv6 else GATEWAY
    back = {"127.": "127.0.0.1", "10.8": GATEWAY_BACK}.get(case.route.upstreams[0][:4])
    return [front, back] if back else [front]


def _failure(line):
    if line["status"] is None:
        return "raw" if "raw" in line else "silent-close"
    if line["status"] >= 500:
        return "status"
    return None if line["complete"] else "truncated-relay"


def _cause_of_lines(lines):
    """The last thing the fault server did on a connection."""
    last = next(line for line in reversed(lines) if line["event"] not in ("peer-closed", "peer-ended", "closed", "reset"))
    if last["event"] == "unsolicited":
        return "unsolicited-response"
    if last["event"] in IDLE_ENDS:
        return "stale-keepalive-reuse"
    step = next(line["step"] for line in reversed(lines) if "step" in line).split("+")[0]
    name, _, argument = step.partition(":")
    if name == "status" and int(argument) >= 500:
        return "upstream-returned-5xx"
    return CAUSE_OF_FAULT.get(name, "attempt-succeeded-but-error")


def _cause_of_query(queries, line):
    answers = [query["answer"] for query in queries if query["time"] <= line["end_time"]]
    return {"silence": "dns-timeout"}.get(answers[-1], f"dns-{answers[-1]}") if answers else None


def _first_syns(capture):
    seen = {}
    for segment in packets.segments(capture):
        if segment.flags & (packets.SYN | packets.ACK) == packets.SYN:
            # A port may come again for another connection, the number of a SYN only with its repetition.
            seen.setdefault((segment.source, segment.destination, segment.sequence), segment.time)
    return sorted((time, source, to) for (source, to, _), time in seen.items())


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]
