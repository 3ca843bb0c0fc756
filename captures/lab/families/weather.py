"""Real TCP stacks over a bad path: lost, repeated and overtaken packets, on the upstream's leg, the client's, or both.

The path drops nothing by chance: a case names the packets by their kind and number (`delay.Rule`), and what happened to them is in
upstream.log. Retransmissions, acknowledgements of duplicates and challenges are then the kernels' own.
"""

import time

from delay import BACK, FROM_THE_SECOND, OUT, Rule
from families import Case, served_by
from faults import always, in_order
from gateways import Route
from topology import FAR, GATEWAY

SECONDS = 0.004
FAR_UPSTREAM = f"{FAR}:8080"
PATIENT = {"connect_seconds": 2.5}


def _far(plan, *rules):
    """The upstream's leg has the weather."""
    return lambda lab: (lab.far_away(SECONDS, *rules), lab.upstream(plan, address=FAR, place="far"))


def _far_spoilt(plan, cause, how, *rules):
    """The same, and the weather is what fails: the upstream's own doing is not what the gateway meets."""
    return lambda lab: (_far(plan, *rules)(lab), lab.the_path_makes(FAR_UPSTREAM, cause, how))


def _far_refusing(*rules):
    return lambda lab: (lab.far_away(SECONDS, *rules), lab.arrange(FAR_UPSTREAM, "connect-refused", None))


def _street(arrange, *rules):
    """The clients' leg has the weather. "out" goes to the client, "back" comes from it."""
    return lambda lab: (lab.on_the_street(SECONDS, *rules), arrange(lab))


def _asked(*methods, place="client", keep=True, body=b"", pause=0.0, linger=0.0):
    def traffic(lab):
        visitor = lab.visitor(f"{GATEWAY}:80", place)
        for number, method in enumerate(methods):
            visitor.ask(method, f"/item/{number}", body=body if method == "POST" else b"", keep=keep)
            time.sleep(pause)
        visitor.close()
        time.sleep(linger)
    return traffic


def _case(name, about, arrange, traffic, far=True, street=False, **more):
    upstreams = [FAR_UPSTREAM] if far else ["10.77.0.3:8080"]
    route = Route(**{"upstreams": upstreams, **more.pop("route", {})})
    return Case(name, about, arrange, traffic, route, far=far, street=street, **more)


LOSE_SECOND_SYN = Rule("lose", OUT, "syn", (2,))
ACK_OVERTAKEN, DATA_OVERTAKEN = Rule("swap", BACK, "ack", (1,)), Rule("swap", BACK, "data", (1,))
EVERYTHING_TWICE = (Rule("repeat", OUT, "any"), Rule("repeat", BACK, "any"))
ROUGH = (Rule("lose", BACK, "data", (2, 9)), Rule("swap", BACK, "data", (5, 12)), Rule("repeat", BACK, "any", (4, 8)),
         Rule("lose", OUT, "data", (2,)), Rule("repeat", OUT, "any", (3,)), Rule("lose", BACK, "fin", (1,)))

CASES = [
    _case("nginx-weather-lost-syn", "The SYN of the second upstream connection is lost; the next one, a second later, connects; then the "
          "upstream closes.", _far(in_order("ok", "close"), LOSE_SECOND_SYN), _asked("GET", "GET"), route=PATIENT),
    _case("haproxy-weather-reset-overtakes", "The upstream acknowledges the request and then resets; the reset overtakes the acknowledgement.",
          _far(in_order("reset-late"), ACK_OVERTAKEN), _asked("GET", "GET", keep=False)),
    _case("envoy-weather-fin-overtakes", "The upstream sends half a head and closes; its FIN overtakes the half head.",
          _far(in_order("close-mid-head"), DATA_OVERTAKEN), _asked("GET", "GET")),
    _case("nginx-weather-reset-overtakes-data", "The upstream sends half a head and resets; the reset overtakes the half head, the gateway "
          "challenges it, and a later reset counts.", _far(in_order("reset-mid-head"), DATA_OVERTAKEN), _asked("GET", "GET"), on="eth0"),
    _case("apache-weather-request-lost", "The path loses every segment of the second request, first sent and sent again, until the gateway "
          "gives up.", _far_spoilt(always("ok"), "response-timeout", "every segment of the second request is lost",
                                   Rule("lose", OUT, "data", FROM_THE_SECOND)), _asked("GET", "GET", keep=False), accept=["loss-stall"]),
    _case("envoy-weather-request-lost-in-pool", "The second request goes out on a pooled connection and is lost each time it is sent, until the "
          "gateway gives up.", _far_spoilt(always("ok"), "response-timeout", "every segment of the second request is lost",
                                           Rule("lose", OUT, "data", FROM_THE_SECOND)), _asked("GET", "POST", body=b"quantity=2"),
          route={"reuse": True}, accept=["loss-stall"]),
    _case("haproxy-weather-answer-lost", "The upstream acknowledges the request and answers at once; the path loses the answer each time it is "
          "sent. For the gateway, and for its machine's recording, the upstream was silent.",
          _far_spoilt(always("ok"), "response-timeout", "every segment of the second answer is lost",
                      Rule("lose", BACK, "data", FROM_THE_SECOND)), _asked("GET", "GET", keep=False)),
    _case("envoy-weather-reset-lost", "The upstream resets after 120 ms, and the path loses the reset: the gateway waits until its own timer. "
          "For the gateway, and for its machine's recording, the upstream was silent.",
          _far_spoilt(in_order("reset-late"), "response-timeout", "the reset is lost", Rule("lose", BACK, "rst", (1,))),
          _asked("GET", "GET")),
    _case("haproxy-weather-repeated", "Every packet of the upstream's leg arrives twice; the upstream closes without an answer.",
          _far(in_order("ok", "close"), *EVERYTHING_TWICE), _asked("GET", "GET", keep=False)),
    _case("nginx-weather-lost-fin", "The upstream closes without an answer; its FIN is lost and sent again, and so is the gateway's.",
          _far(in_order("close"), Rule("lose", BACK, "fin", (1,)), Rule("lose", OUT, "fin", (1,))),
          _asked("POST", "GET", body=b"quantity=2", linger=0.5), classic=True),
    _case("envoy-weather-client-leg", "The clients' leg loses the second request and the gateway's error once each; nothing listens upstream.",
          _street(lambda lab: lab.arrange("10.77.0.3:8080", "connect-refused", None), Rule("lose", BACK, "data", (2,)),
                  Rule("lose", OUT, "data", (2,)), Rule("repeat", BACK, "ack", (2,))),
          _asked("GET", "GET", place="street"), far=False, street=True),
    _case("nginx-weather-both-legs-reset", "Both legs lose, repeat and swap packets; the upstream resets the third request.",
          _street(_far(in_order("ok:3000", "ok", "reset-late"), Rule("lose", OUT, "data", (2,)), Rule("repeat", BACK, "any", (2, 3)),
                       Rule("swap", BACK, "data", (2,))), Rule("lose", BACK, "data", (2,)), Rule("repeat", OUT, "data", (1, 2))),
          _asked("GET", "POST", "GET", body=b"quantity=2", place="street"), street=True),
    _case("apache-weather-refusal-lost", "Nothing listens upstream; the reset that says so is lost, the SYN is sent again and refused.",
          _far_refusing(Rule("lose", BACK, "rst", (1,))), _asked("GET"), route=PATIENT),
    _case("nginx-weather-late-answer", "The upstream answers, twice on the wire, when the gateway has given up.",
          _far(in_order("ok", "answer-too-late"), Rule("repeat", BACK, "data")), _asked("GET", "GET", linger=0.9)),
    _case("haproxy-weather-stale", "The upstream's host forgot the pooled connection; the request on it arrives twice and is reset twice.",
          _far(in_order("ok", "ok+vanish"), Rule("repeat", OUT, "data", (4,)), Rule("lose", OUT, "data", (2,))),
          _asked("GET", "GET", "GET", keep=False, pause=0.1), route={"reuse": True}),
    _case("apache-weather-healthy", "The upstream's leg loses, repeats and swaps packets of large answers; every client is served.",
          _far(in_order("ok:9000", "chunked:12000", "ok"), *ROUGH), _asked("GET", "GET", "POST", body=b"q" * 4000),
          healthy=True),
    _case("haproxy-weather-both-legs-healthy", "Both legs lose, repeat and swap packets; every client is served.",
          _street(_far(in_order("ok:7000", "ok", "chunked:5000"), *ROUGH), *ROUGH), _asked("GET", "POST", "GET", body=b"q" * 3000, place="street"),
          street=True, route={"reuse": True}, healthy=True, on="eth0"),
]
