"""The gateway cuts an answer short that its upstream gave in full, or was still giving: a client that reads too slowly for it, a file that it
may not write, a timer of its own, or its end.
"""

import os
import threading
import time

from families import Case, one_by_one, served_by
from faults import in_order
from gateways import Route

# More than what the ends and the gateway have room for.
LARGE = "ok:14000"


def _slow_reader(lab):
    visitor = lab.visitor()
    visitor.ask(keep=False)
    visitor.ask_slowly(1.5)
    visitor.close()


def _no_place_to_put_it(lab):
    """Whoever started nginx owns the folder in which its worker keeps what a slow client has not taken yet."""
    folder = lab.work / "temp"
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, 0, 0)
        path.chmod(0o700)
    visitor = lab.visitor()
    visitor.ask(keep=False)
    visitor.ask_slowly(0.4)
    visitor.close()


def _dies(program, how):
    def traffic(lab):
        visitor = lab.visitor()
        visitor.ask()
        last = threading.Thread(target=visitor.ask)
        last.start()
        time.sleep(0.45)
        lab.kill(program, how)
        last.join()
        visitor.close()
    return traffic


CASES = [
    Case("nginx-cut-slow-reader", "The client does not read; after half a second (send_timeout) nginx has enough and closes in the middle of "
         "an answer that its upstream gave in full.", served_by(in_order("ok", LARGE)), _slow_reader, Route(variant="hurries-clients")),
    Case("nginx-cut-temp-file", "The client reads slowly, and nginx may not write its temporary file: it closes in the middle of an answer.",
         served_by(in_order("ok", LARGE)), _no_place_to_put_it, Route(variant="small-buffers")),
    Case("nginx-cut-worker-killed", "nginx's worker is killed while it passes on an answer that still comes (proxy_buffering off).",
         served_by(in_order("ok", "drip")), _dies("worker process", "nginx's worker got SIGKILL"), Route(variant="unbuffered")),
    Case("nginx-cut-worker-killed-silent", "nginx's worker is killed while it holds back the first part of an answer: the client gets nothing.",
         served_by(in_order("ok", "drip")), _dies("worker process", "nginx's worker got SIGKILL"), on="eth0"),
    Case("haproxy-cut-killed", "HAProxy is killed while it passes on an answer that still comes.", served_by(in_order("ok", "drip-chunks")),
         _dies("haproxy", "HAProxy got SIGKILL"), on="eth0"),
    Case("envoy-cut-route-timeout", "The answer comes in drops; the route's timeout counts from the request to the answer's end, and cuts it off.",
         served_by(in_order("ok", "drip")), one_by_one("GET", "GET", keep=False), Route(response_seconds=0.8)),
    Case("envoy-cut-stream-duration", "The answer comes in drops; the longest life of a stream (max_stream_duration) is over before the answer is.",
         served_by(in_order("ok", "drip-chunks")), one_by_one("GET", "GET"), Route(variant="short-lives"), on="eth0"),
    Case("apache-cut-killed", "Apache's child is killed while it passes on an answer that still comes.", served_by(in_order("ok", "drip")),
         _dies("apache2", "Apache's processes got SIGKILL")),
]
