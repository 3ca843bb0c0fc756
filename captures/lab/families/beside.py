"""What a gateway asks beside its clients' requests: whether they may pass, a copy for somebody else, whether a server is well."""

import time

from families import Case, one_by_one
from faults import always, in_order
from gateways import Route

BESIDE = "10.77.0.4:8081"


def _beside_refuses(lab):
    lab.upstream(always("ok"))
    lab.arrange(BESIDE, "connect-refused", None)


def _beside(*steps):
    def arrange(lab):
        lab.upstream(always("ok"))
        lab.upstream(in_order(*steps), address="10.77.0.4", port=8081)
    return arrange


def _checked(lab):
    time.sleep(0.7)
    one_by_one(*["GET"] * 12, pause=0.15)(lab)


CHECKED = Route(upstreams=["10.77.0.3:8080", BESIDE], health_checks=True, variant="asks-for-health")

CASES = [
    Case("nginx-auth-refused", "nginx asks another server whether the request may pass (auth_request); nobody listens there, and nginx answers 500.",
         _beside_refuses, one_by_one("GET", "POST", body=b"quantity=2"), Route(variant="asks-first")),
    Case("nginx-auth-closed", "The server that is to say whether a request may pass answers twice, and closes the third time: 500 from nginx.",
         _beside("ok", "ok", "close"), one_by_one("GET", "GET", "GET", target="/cart/7"), Route(variant="asks-first")),
    Case("nginx-healthy-mirror-refused", "nginx sends a copy of each request to a server where nobody listens; the requests themselves succeed.",
         _beside_refuses, one_by_one(*["GET"] * 4, pause=0.05), Route(variant="mirrors"), healthy=True),
    Case("envoy-authz-refused", "Envoy asks another server whether the request may pass (ext_authz); nobody listens there, and Envoy answers 503 "
         "without a word (status_on_error).", _beside_refuses, one_by_one("GET", "POST", body=b"quantity=2"), Route(variant="asks-first")),
    Case("envoy-authz-closed", "The server that is to say whether a request may pass answers twice, and closes the third time: 503 from Envoy.",
         _beside("ok", "ok", "close"), one_by_one("GET", "GET", "GET", target="/cart/7"), Route(variant="asks-first")),
    Case("envoy-authz-timeout", "The server that is to say whether a request may pass answers once, and then not in time: 503 from Envoy.",
         _beside("ok", "hang"), one_by_one("GET", "GET", target="/cart/7"), Route(variant="asks-first"), on="eth0"),
    Case("haproxy-healthy-checks-fail", "Of two servers one answers 503 to every health check; the clients are served by the other.",
         _beside(*["status:503"] * 40), _checked, CHECKED, healthy=True),
]
