"""What a taking part process saw, as JSON lines in time order. One book for the upstream side, one for the clients."""

import json
import threading
import time


class Book:
    def __init__(self):
        self.lines, self._lock = [], threading.Lock()

    def note(self, **facts):
        facts.setdefault("time", time.time())
        with self._lock:
            self.lines.append(facts)
        return facts

    def write(self, path):
        ordered = sorted(self.lines, key=lambda line: line["time"])
        path.write_text("".join(json.dumps({"time": round(line["time"], 6), **_rest(line)}) + "\n" for line in ordered))


def _rest(line):
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in line.items() if key != "time"}


def endpoint(address):
    """`ip:port` as reports write it: IPv6 in brackets."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
