"""Recording one capture in the gateway's namespace and making sure that it is whole.

In: the network, a folder, on which interface, an optional filter. Out: capture.pcapng (dumpcap) or capture.pcap (tcpdump).
Rule: the packet socket runs before the first request is sent, and a capture that lost a frame is an error, not a case.
"""

import re
import signal
import subprocess
import time

import packets
from topology import CLEAN_ENVIRONMENT, run

# Both read the kernel's ring in blocks, tcpdump after at most a second; what lies in an unfinished block at the end would be lost.
FLUSH_SECONDS = {".pcapng": 0.5, ".pcap": 1.3}


class Capture:
    def __init__(self, network, folder, on="any", classic=False, only="", name="capture"):
        self.network, self.folder, self.on, self.process = network, folder, on, None
        self.path = folder / (name + (".pcap" if classic else ".pcapng"))
        self.words = _tcpdump(on, self.path.name, only) if classic else _dumpcap(on, self.path.name, only)

    def start(self):
        self.errors = open(self.path.with_suffix(".said"), "wb")
        self.process = subprocess.Popen(self.network.command("gateway", *self.words), cwd=self.folder, env=CLEAN_ENVIRONMENT,
                                        stdout=self.errors, stderr=self.errors)
        deadline = time.time() + 10
        while not self._is_running():
            if time.time() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"the capture did not start: {(self.folder / 'capture.log').read_text()}")
            time.sleep(0.02)

    def stop(self):
        time.sleep(FLUSH_SECONDS[self.path.suffix])
        self.kill()
        lost = packets.dropped(self.path) + _lost_by_tcpdump(self.path.with_suffix(".said").read_text())
        if lost:
            raise RuntimeError(f"the capture lost {lost} frames")
        if self.path.suffix == ".pcapng":
            self.path.write_bytes(packets.without_machine(self.path.read_bytes()))

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


def _dumpcap(on, name, only):
    link = ["-y", "LINUX_SLL2"] if on == "any" else []
    return ["dumpcap", "-i", on, *link, "-s", "0", "-w", name, *(["-f", only] if only else [])]


def _tcpdump(on, name, only):
    link = ["-y", "LINUX_SLL2"] if on == "any" else []
    return ["tcpdump", "-i", on, *link, "-n", "-s", "0", "-U", "-Z", "root", "-w", name, *([only] if only else [])]


def _lost_by_tcpdump(log):
    """tcpdump counts what the kernel dropped, and what it received but had not written when it was stopped."""
    count = {what: int(number) for number, what in re.findall(r"^(\d+) packets (captured|received|dropped)", log, re.M)}
    return count.get("dropped", 0) + count.get("received", 0) - count.get("captured", 0)
