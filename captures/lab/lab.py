"""One recording from start to end: network, upstreams, gateway, capture, traffic, and the folder that remains.

In: a case and the folder for the result. Out: the files of the case; an exception when anything was not as arranged.
Rule: what was started is stopped by its own pid, in every way out.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import certificates
import delay
import nat
import packets
import resolver
import story
import truth
from capture import Capture, Point
from client import Visitor
from connection import TCP_REPAIR
from faults import Crammed, Expecting, Greeter, Mute, Upstream
from recordbook import Book
from topology import CLEAN_ENVIRONMENT, FAR, GATEWAY, RESOLVER, STREET, UPSTREAM, Network


# A program that reads the gateway's log says nothing when it has begun.
LOGGER_STARTS_SECONDS = 1.0


class Lab:
    """What a case's script has in its hands."""

    def __init__(self, case, network, work):
        self.case, self.network, self.work = case, network, work
        self.upstream_book, self.client_book = Book(), Book()
        self.upstreams, self.processes = [], []
        self.programs = []              # upstreams that are programs of their own, and have more to say when all is over
        self.regular = None             # the visitor who was there before the capture began
        self.captures = []              # the recordings that are kept
        self.held = []                  # sockets that only have to be there
        self.keys = work / "keys.log" if case.keys else None

    def upstream(self, plan, address=UPSTREAM, port=8080, place="upstream", wrap=None, room=0, queue=128):
        self.upstreams.append(Upstream(self.network, self.upstream_book, address, port, plan, place, wrap, room, queue))

    def mute(self, fault, address=UPSTREAM, port=8080):
        self.upstreams.append(Mute(self.network, self.upstream_book, address, port, fault))

    def greeter(self, service, address=UPSTREAM, port=8080):
        self.upstreams.append(Greeter(self.network, self.upstream_book, address, port, service))

    def expecting(self, plan, address=UPSTREAM, port=8080):
        self.upstreams.append(Expecting(self.network, self.upstream_book, address, port, plan))

    def crammed(self, address, port, serves, place="upstream"):
        self.upstreams.append(Crammed(self.network, self.upstream_book, address, port, serves, place))

    def fill(self, address, port, place):
        """Takes the last free place in an upstream's queue, from somewhere else."""
        filler = self.network.socket(place)
        filler.connect((address, port))
        self.held.append(filler)

    def old_connection(self, client, server):
        """One that only the upstream's host still knows of: the gateway's has forgotten it without a word."""
        old = self.network.socket("gateway")
        old.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        old.bind(client)
        old.connect(server)
        old.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        old.close()

    def arrange(self, upstream, cause, how, place="upstream"):
        """A fault that no server makes but the network does. `how` is the rule in iptables' words."""
        if how:
            self.network.run(place, *how.split())
        self.upstream_book.note(event="arranged", upstream=upstream, cause=cause, how=how or "nothing listens there")

    def the_path_makes(self, upstream, cause, how):
        """What the weather on the way makes of each failure towards an upstream, whatever that one did itself."""
        self.upstream_book.note(event="on the way", upstream=upstream, cause=cause, how=how)

    def unowned(self, upstream, neighbour):
        """An upstream that is reached by way of a neighbour that is not there."""
        self.upstream_book.note(event="arranged", upstream=upstream, cause="neighbor-unresolved", neighbour=neighbour,
                                how=f"nobody owns {neighbour}")

    def far_away(self, seconds, *weather):
        """The far place, reached through the router over a path that takes so long each way."""
        self._path("far", FAR, seconds, weather)

    def on_the_street(self, seconds, *weather):
        """Clients behind the router, over a path of their own."""
        self._path("street", STREET, seconds, weather)

    def _path(self, place, address, seconds, weather):
        delay.Path(self.network, "router", place, seconds, delay.Weather(weather, self.upstream_book, place), device=place)
        self.network.connect(place, place, address)

    def kill(self, program, how):
        """Ends the gateway's processes that do its work, in the middle of it; what started them may start others."""
        chosen = [pid for process in self.processes for pid in _family(process.pid) if _runs(pid, program)]
        self.upstream_book.note(event="killed", how=how)
        for pid in chosen:
            os.kill(pid, signal.SIGKILL)

    def end_recording(self):
        """The recording ends before the traffic does."""
        for capture in self.captures:
            capture.stop()

    def resolver(self, answers):
        self.network.use_resolver("gateway", RESOLVER)
        self.upstreams.append(resolver.Resolver(self.network, self.upstream_book, answers))

    def visitor(self, server=None, place="client"):
        return Visitor(self.network, self.client_book, server or f"{GATEWAY}:{self.front_port}", place, self.case.route.sealed, self.keys)

    @property
    def front_port(self):
        return 443 if self.case.route.sealed else 80

    def start(self, name, words, port=None, place="gateway", folder=None):
        folder = folder or self.work
        log = open(folder / name, "wb")
        process = subprocess.Popen(self.network.command(place, *words), cwd=folder, env=CLEAN_ENVIRONMENT, stdout=log,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        self.processes.append(process)
        if port:
            self._wait_for_port(process, port, folder / name)

    def stop(self):
        # What reads a gateway's log goes before the gateway.
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)
        for upstream in self.upstreams:
            upstream.stop()

    def _wait_for_port(self, process, port, log):
        wanted, deadline = f":{port:04X} ", time.time() + 20
        while not _listens(process.pid, wanted):
            if time.time() > deadline or process.poll() is not None:
                raise RuntimeError(f"the gateway did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.03)


def record(case, out, prefix):
    work = Path(tempfile.mkdtemp(prefix="gwcap-lab-"))
    work.chmod(0o755)
    try:
        with Network(prefix, remote=case.remote, far=case.far, back=case.back, street=case.street, host=case.host) as network:
            lab = Lab(case, network, work)
            try:
                translations = nat.Translations(network) if case.host else None
                whole = _run(case, lab)
                if translations:
                    translations.write(work)
            finally:
                lab.stop()
        _keep(case, lab, whole, Path(out, case.name))
    finally:
        if os.environ.get("GWCAP_LAB_KEEP"):
            print(f"kept {work}")
        else:
            shutil.rmtree(work)


def _run(case, lab):
    case.arrange(lab)
    gateway = case.gateway
    (lab.work / "gateway.conf").write_text(gateway.configuration(case.route))
    if case.route.sealed:
        certificates.front(lab.work)
    if case.inner:
        _start_inner(case.inner, lab)
    lab.start("console.log", gateway.command(lab.work), port=lab.front_port)
    if hasattr(gateway, "logger"):
        lab.start("logger.log", gateway.logger(lab.work))
        time.sleep(LOGGER_STARTS_SECONDS)
    if case.settle:
        time.sleep(case.settle)
    lab.captures = [Capture(lab.network, lab.work, point) for point in case.recorded_at]
    # Where what is kept is filtered, late, or made elsewhere, the truth still needs to know which ports the gateway connected from.
    whole = lab.captures[0] if case.shows_all else Capture(lab.network, lab.work, Point("whole-time"))
    try:
        whole.start()
        if case.warm_up:
            case.warm_up(lab)
        for capture in lab.captures:
            if capture is not whole:
                capture.start()
        case.traffic(lab)
        lab.end_recording()
        whole.stop()
        # Some write their log a while after the request.
        time.sleep(getattr(gateway, "LOG_IS_LATE_SECONDS", 0))
    finally:
        for each in {whole, *lab.captures}:
            each.kill()
    return whole


def _start_inner(inner, lab):
    """A gateway of its own in a folder of its own: it stands before the outer one, which may look for it when it starts."""
    folder = lab.work / truth.INNER
    folder.mkdir()
    (folder / "gateway.conf").write_text(inner.gateway.configuration(inner.route))
    lab.start("console.log", inner.gateway.command(folder), inner.route.port, inner.place, folder)


def _keep(case, lab, whole, folder):
    for program in lab.programs:
        program.tell(lab.upstream_book)
    lab.upstream_book.write(lab.work / "upstream.log")
    lab.client_book.write(lab.work / "client.log")
    case.gateway.tidy(lab.work)
    if case.inner:
        case.inner.gateway.tidy(lab.work / truth.INNER)
    seen_inside = next((capture.path for capture in lab.captures if case.inner and capture.point.place == case.inner.place), whole.path)
    expected = truth.expected(case, lab.work, whole.path, seen_inside, max(capture.began for capture in lab.captures),
                              min(capture.ended for capture in lab.captures))
    first = lab.captures[0]
    removed = case.remove(list(packets.segments(first.path))) if case.remove else []
    if removed:
        first.remove_frames(removed)
    story.write(case, expected, lab.work, removed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names = [*expected["inputs"], "gateway.conf", "gateway.log", "upstream.log", "client.log", "expected.json", "story.md"]
    for name in [*names, *([nat.FILE] if case.host else []), *([lab.keys.name] if case.keys else [])]:
        shutil.copyfile(lab.work / name, folder / name)
    for name in ["gateway.conf", "gateway.log"] if case.inner else []:
        shutil.copyfile(lab.work / truth.INNER / name, folder / f"{truth.INNER}-{name}")


def _family(pid):
    """A process and its children, theirs too: the first is `ip netns exec`, which becomes the gateway."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            found += map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
    return found


def _runs(pid, program):
    """Whether a process calls itself so; a worker of nginx has a name of its own."""
    try:
        return program in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def _listens(pid, wanted):
    """/proc/<pid>/net/tcp belongs to the process's namespace; 0A is the state LISTEN."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()
        except OSError:
            return False
        if any(wanted in line and line.split()[3] == "0A" for line in lines):
            return True
    return False
