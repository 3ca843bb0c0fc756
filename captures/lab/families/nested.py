"""A gateway behind the gateway: an error of the inner one passes through the outer one. Both are real, and both logs are kept.

Either the inner one has a machine of its own, and both machines record; or it runs beside the outer one and is reached over loopback, as
sidecars are.
"""

from capture import Point
from families import Case, Inner, one_by_one
from faults import in_order
from gateways import Route
from topology import REMOTE, ROUTER

BROKEN, BEHIND = f"{REMOTE}:8081", f"{REMOTE}:8080"
BOTH = [Point("capture.gateway"), Point("capture.inner-gateway", place="upstream")]
TO_INNER, SIDECAR = "10.77.0.3:80", "127.0.0.1:8080"


def _remote(lab):
    """The inner gateway's upstream is in another network."""
    lab.network.run("upstream", "ip", "route", "add", "10.78.0.0/16", "via", ROUTER)


def _behind(*steps):
    def arrange(lab):
        _remote(lab)
        lab.upstream(in_order(*steps), address=REMOTE, place="remote")
    return arrange


def _nobody_behind(lab):
    _remote(lab)
    lab.arrange(BROKEN, "connect-refused", None, place="remote")


def _beside(*steps):
    return lambda lab: lab.upstream(in_order(*steps))


def _chain(name, about, arrange, methods, product, behind, outer=None, **more):
    """The outer gateway waits longer than the inner one, as it should."""
    return Case(name, about, arrange, one_by_one(*methods, keep=False), outer or Route(upstreams=[TO_INNER], response_seconds=3.2),
                remote=True, points=BOTH, inner=Inner(product, behind), **more)


def _sidecar(name, about, arrange, methods, product, behind, **more):
    behind.port = 8080
    return Case(name, about, arrange, one_by_one(*methods, keep=False), Route(upstreams=[SIDECAR], response_seconds=3.2),
                inner=Inner(product, behind, "gateway", SIDECAR), **more)


CASES = [
    _chain("nginx-nested-nginx-refused", "Behind nginx stands another nginx, whose upstream refuses; both machines recorded.", _nobody_behind,
           ["GET", "POST"], "nginx", Route(upstreams=[BROKEN])),
    _chain("nginx-nested-haproxy-reset", "Behind nginx stands HAProxy, whose upstream resets the third request; both machines recorded.",
           _behind("ok", "ok", "reset"), ["GET", "GET", "GET"], "haproxy", Route(upstreams=[BEHIND])),
    _chain("haproxy-nested-nginx-timeout", "Behind HAProxy stands nginx, whose upstream is silent: nginx answers 504 after 1.2 s, and HAProxy, "
           "which would wait for 3.2 s, passes it on; both machines recorded.", _behind("ok", "hang"), ["GET", "GET"], "nginx",
           Route(upstreams=[BEHIND])),
    _chain("envoy-nested-nginx-closed", "Behind Envoy stands nginx, whose upstream closes; both machines recorded.", _behind("ok", "close"),
           ["GET", "GET"], "nginx", Route(upstreams=[BEHIND])),
    _sidecar("nginx-sidecar-haproxy-refused", "Behind nginx, on the same machine and reached over loopback, stands HAProxy, whose upstream "
             "refuses.", lambda lab: lab.arrange("10.77.0.3:8081", "connect-refused", None), ["GET", "GET"], "haproxy",
             Route(upstreams=["10.77.0.3:8081"])),
    _sidecar("haproxy-sidecar-envoy-reset", "Behind HAProxy, on the same machine and reached over loopback, stands Envoy, whose upstream resets.",
             _beside("ok", "reset"), ["GET", "GET"], "envoy", Route(upstreams=["10.77.0.3:8080"])),
    _sidecar("apache-sidecar-nginx-bad-header", "Behind Apache, on the same machine and reached over loopback, stands nginx, whose upstream's "
             "head it does not take.", _beside("ok", "nul-in-value"), ["GET", "GET"], "nginx", Route(upstreams=["10.77.0.3:8080"])),
]
