"""One recording from start to end: network, upstreams, gateway, capture, traffic, and the folder that remains.

In: a case and the folder for the result. Out: the files of the case; an exception when anything was not as arranged.
Rule: what was started is stopped by its own pid, in every way out.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import delay
import packets
import resolver
import story
import truth
from capture import Capture
from client import Visitor
from faults import Mute, Upstream
from recordbook import Book
from topology import CLEAN_ENVIRONMENT, GATEWAY, RESOLVER, UPSTREAM, Network


class Lab:
    """What a case's script has in its hands."""

    def __init__(self, case, network, work):
        self.case, self.network, self.work = case, network, work
        self.upstream_book, self.client_book = Book(), Book()
        self.upstreams, self.processes = [], []
        self.regular = None             # the visitor who was there before the capture began

    def upstream(self, plan, address=UPSTREAM, port=8080, place="upstream", wrap=None):
        self.upstreams.append(Upstream(self.network, self.upstream_book, address, port, plan, place, wrap))

    def mute(self, fault, address=UPSTREAM, port=8080):
        self.upstreams.append(Mute(self.network, self.upstream_book, address, port, fault))

    def arrange(self, upstream, cause, how, place="upstream"):
        """A fault that no server makes but the network does. `how` is the rule in iptables' words."""
        if how:
            self.network.run(place, *how.split())
        self.upstream_book.note(event="arranged", upstream=upstream, cause=cause, how=how or "nothing listens there")

    def unowned(self, upstream, neighbour):
        """An upstream that is reached by way of a neighbour that is not there."""
        self.upstream_book.note(event="arranged", upstream=upstream, cause="neighbor-unresolved", neighbour=neighbour,
                                how=f"nobody owns {neighbour}")

    def far_away(self, seconds):
        """The far place, reached through the router over a path that takes so long each way."""
        delay.Path(self.network, "router", "far", seconds)
        self.network.connect_far()

    def resolver(self, answers):
        self.network.use_resolver("gateway", RESOLVER)
        self.upstreams.append(resolver.Resolver(self.network, self.upstream_book, answers))

    def visitor(self, server=f"{GATEWAY}:80", place="client"):
        return Visitor(self.network, self.client_book, server, place)

    def start(self, name, words, port=None, place="gateway"):
        log = open(self.work / name, "wb")
        process = subprocess.Popen(self.network.command(place, *words), cwd=self.work, env=CLEAN_ENVIRONMENT, stdout=log,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        self.processes.append(process)
        if port:
            self._wait_for_port(process, port, name)

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)
        for upstream in self.upstreams:
            upstream.stop()

    def _wait_for_port(self, process, port, name):
        wanted, deadline = f":{port:04X} ", time.time() + 20
        while not _listens(process.pid, wanted):
            if time.time() > deadline or process.poll() is not None:
                raise RuntimeError(f"the gateway did not start: {(self.work / name).read_text(errors='replace')[-2000:]}")
            time.sleep(0.03)


def record(case, out, prefix):
    work = Path(tempfile.mkdtemp(prefix="gwcap-lab-"))
    work.chmod(0o755)
    try:
        with Network(prefix, remote=case.remote, far=case.far, back=case.back) as network:
            lab = Lab(case, network, work)
            try:
                captured = _run(case, lab)
            finally:
                lab.stop()
        _keep(case, lab, *captured, Path(out, case.name))
    finally:
        if os.environ.get("GWCAP_LAB_KEEP"):
            print(f"kept {work}")
        else:
            shutil.rmtree(work)


def _run(case, lab):
    case.arrange(lab)
    gateway = case.gateway
    (lab.work / "gateway.conf").write_text(gateway.configuration(case.route))
    lab.start("console.log", gateway.command(lab.work), port=80)
    if case.settle:
        time.sleep(case.settle)
    capture = Capture(lab.network, lab.work, case.on, case.classic, case.only)
    # Where the kept capture is filtered or starts late, the truth still needs to know which ports the gateway connected from.
    whole = Capture(lab.network, lab.work, name="whole-time") if case.only or case.warm_up else capture
    captures = [whole] if whole is capture else [whole, capture]
    try:
        whole.start()
        if case.warm_up:
            case.warm_up(lab)
        if whole is not capture:
            capture.start()
        case.traffic(lab)
        for each in captures:
            each.stop()
    finally:
        for each in captures:
            each.kill()
    return capture, whole


def _keep(case, lab, capture, whole, folder):
    lab.upstream_book.write(lab.work / "upstream.log")
    lab.client_book.write(lab.work / "client.log")
    case.gateway.tidy(lab.work)
    expected = truth.expected(case, lab.work, whole.path)
    removed = case.remove(list(packets.segments(capture.path))) if case.remove else []
    if removed:
        capture.remove_frames(removed)
    story.write(case, expected, lab.work, capture.path.name, removed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in [capture.path.name, "gateway.conf", "gateway.log", "upstream.log", "client.log", "expected.json", "story.md"]:
        shutil.copyfile(lab.work / name, folder / name)


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
