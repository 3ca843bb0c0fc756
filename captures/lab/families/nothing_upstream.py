"""The gateway does not even try: it takes all its upstreams for dead. An earlier failure, or failing health checks, are in the capture."""

import time

from families import Case, one_by_one
from faults import in_order
from gateways import Route

BROKEN = "10.77.0.3:8081"


def _refusing(lab):
    lab.arrange(BROKEN, "connect-refused", None)
    lab.arrange("10.77.0.4:8081", "connect-refused", None)


def _wait_for_the_checks(lab):
    time.sleep(0.7)
    one_by_one("GET", "GET", "GET")(lab)


def _wait_long_for_the_checks(lab):
    time.sleep(2.5)
    one_by_one("GET", "GET")(lab)


def _asks_for(*targets):
    def traffic(lab):
        for target in targets:
            visitor = lab.visitor()
            visitor.ask(target=target)
            visitor.close()
    return traffic


CHECKED = Route(upstreams=[BROKEN], health_checks=True)

CASES = [
    Case("nginx-no-live-upstreams", "Both upstreams refuse; after one failure each nginx rests them for 10 s: the next requests find none.",
         _refusing, one_by_one("GET", "GET", "GET", "GET"),
         Route(upstreams=[BROKEN, "10.77.0.4:8081"], variant="max-fails")),
    Case("nginx-rule-drops", "A rule makes nginx close without an answer (`return 444`), between requests that its upstream serves.",
         lambda lab: lab.upstream(in_order("ok")), _asks_for("/", "/admin", "/", "/admin"), Route(variant="drops")),
    Case("haproxy-no-server", "The health checks fail, HAProxy has marked its only server down: 503 and <NOSRV> in the log.",
         _refusing, _wait_for_the_checks, CHECKED),
    Case("envoy-no-healthy-upstream", "The health checks fail: 503 with the flag UH.", _refusing, _wait_for_the_checks, CHECKED),
    Case("apache-all-members-in-error", "The only member refused once and rests for 60 s: later requests find none.",
         _refusing, one_by_one("GET", "GET", "GET"), Route(upstreams=[BROKEN], variant="rest-after-failure")),
    Case("apache-health-checks-fail", "The balancer's health checks fail; the request finds no member.",
         _refusing, _wait_long_for_the_checks, CHECKED),
]
