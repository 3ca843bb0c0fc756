"""Recording one capture in one place of the network and making sure that it is whole.

In: the network, a folder, and a `Point`: where, on which interface, with what left out. Out: a pcapng file (dumpcap) or a pcap file
(tcpdump).
Rule: the packet socket runs before the first request is sent, and a capture that lost a frame is an error, not a case.
"""

import re
import signal
import subprocess
import time
from dataclasses import dataclass

import packets
from topology import CLEAN_ENVIRONMENT, run

# Room for the burst of a crowd while the machine is busy elsewhere.
BUFFER_MEGABYTES = "16"
# Both read the kernel's ring in blocks, tcpdump after at most a second; what lies in an unfinished block at the end would be lost.
FLUSH_SECONDS = {".pcapng": 0.5, ".pcap": 1.3}


@dataclass(frozen=True)
class Point:
    """One place where a case is recorded, and what such a recording leaves out."""

    name: str = "capture"
    place: str = "gateway"
    on: str = "any"             # the interface
    classic: bool = False       # tcpdump and pcap instead of dumpcap and pcapng
    only: str = ""              # a capture filter
    snap: int = 0               # bytes that are kept of a frame; 0 keeps all
    way: str = ""               # "in" or "out": only what the machine receives or sends
    ahead: float = 0            # seconds by which the machine's clock is ahead
    drift: float = 0            # millionths by which it is fast

    def __post_init__(self):
        if self.classic and (self.ahead or self.drift):
            raise ValueError("only the stamps of a pcapng file are set to another clock")

    @property
    def file(self):
        return self.name + (".pcap" if self.classic else ".pcapng")

    @property
    def is_whole(self):
        return not (self.only or self.snap or self.way)


class Capture:
    def __init__(self, network, folder, point):
        self.network, self.folder, self.point, self.process = network, folder, point, None
        self.began = self.ended = None
        self.path = folder / point.file
        self.words = _tcpdump(point) if point.classic else _dumpcap(point)

    def start(self):
        self.errors = open(self.path.with_suffix(".said"), "wb")
        self.process = subprocess.Popen(self.network.command(self.point.place, *self.words), cwd=self.folder, env=CLEAN_ENVIRONMENT,
                                        stdout=self.errors, stderr=self.errors)
        deadline = time.time() + 10
        while not self._is_running():
            if time.time() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"the capture did not start: {self.path.with_suffix('.said').read_text()}")
            time.sleep(0.02)
        self.began = time.time()

    def stop(self):
        if self.ended:
            return
        time.sleep(FLUSH_SECONDS[self.path.suffix])
        self.ended = time.time()
        self.kill()
        lost = packets.dropped(self.path) + _lost_by_tcpdump(self.path.with_suffix(".said").read_text(), self.point.way)
        if lost:
            raise RuntimeError(f"the capture lost {lost} frames")
        if self.path.suffix == ".pcapng":
            data = packets.without_machine(self.path.read_bytes())
            self.path.write_bytes(packets.with_clock(data, self.point.ahead, self.point.drift))

    def remove_frames(self, numbers):
        """Makes a gap, for cases about what an observer can say with a part of the capture missing."""
        whole = self.path.rename(self.path.with_name("whole" + self.path.suffix))
        kind = "pcapng" if self.path.suffix == ".pcapng" else "pcap"
        run("editcap", "-F", kind, str(whole), str(self.path), *map(str, numbers))

    def kill(self):
        if not self.process:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(10)
        self.errors.close()

    def _is_running(self):
        """Both say so once the filter is set and the file is open; a frame before that would be lost without being counted."""
        said = self.path.with_suffix(".said").read_text()
        return "File: " in said or "listening on" in said


def _dumpcap(point):
    link = ["-y", "LINUX_SLL2"] if point.on == "any" else []
    return ["dumpcap", "-i", point.on, *link, "-B", BUFFER_MEGABYTES, "-s", str(point.snap), "-w", point.file,
            *(["-f", point.only] if point.only else [])]


def _tcpdump(point):
    link = ["-y", "LINUX_SLL2"] if point.on == "any" else []
    way = ["-Q", point.way] if point.way else []
    return ["tcpdump", "-i", point.on, *link, *way, "-n", "-s", str(point.snap), "-U", "-Z", "root", "-w", point.file,
            *([point.only] if point.only else [])]


def _lost_by_tcpdump(log, way):
    """tcpdump counts what the kernel dropped, and what it received but had not written when it was stopped: there also what went the
    other way, where it keeps one."""
    count = {what: int(number) for number, what in re.findall(r"^(\d+) packets (captured|received|dropped)", log, re.M)}
    if way:
        return count.get("dropped", 0)
    return count.get("dropped", 0) + count.get("received", 0) - count.get("captured", 0)
