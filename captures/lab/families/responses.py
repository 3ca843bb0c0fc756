"""The connection was made, the request was sent, and the answer did not come or was wrong. One target for all, no ids."""

from families import Case, FIRST_FOUR, one_by_one, served_by
from faults import in_order
from gateways import Route
from topology import BACK

TWO_NETWORKS = Route(upstreams=[f"{BACK}:8080"])

# fault of the server -> (the case's last name, what the story says)
ENDS = {
    "close": ("closed-before-response", "The upstream reads the request and closes the connection by FIN without a byte of an answer."),
    "reset": ("reset-before-response", "The upstream reads the request and resets the connection without a byte of an answer."),
    "hang": ("response-timeout", "The upstream reads the request and stays silent until the gateway gives up."),
    "close-mid-head": ("closed-mid-head", "The upstream sends half a head and closes by FIN."),
    "reset-mid-head": ("reset-mid-head", "The upstream sends half a head and resets."),
    "stall-mid-head": ("head-timeout", "The upstream sends half a head and then nothing until the gateway gives up."),
    "close-mid-body": ("truncated-body", "Of 5000 bytes announced the upstream sends 1800 and closes by FIN: 200 with a short body."),
    "reset-mid-body": ("reset-mid-response", "Of 5000 bytes announced the upstream sends 1800 and resets: 200 with a short body."),
    "garbage": ("malformed-status-line", "The upstream answers with a line that is no HTTP."),
    "space-in-name": ("bad-header", "The upstream's head has a field name with a space in it."),
    "huge-head": ("header-too-large", "The upstream's head is larger than the gateway's buffer: a cookie of many kilobytes."),
    "status:503": ("upstream-503", "The upstream itself answers 503; the gateway relays it."),
    "status:502": ("upstream-502", "The upstream itself answers 502; the gateway relays it."),
}
# Apache takes a reply without a status line for HTTP/0.9 and relays it as the body of a 200: nothing fails.
NOT_ON = {("apache", "garbage")}
# The methods around the fault differ so that neither place nor method gives it away.
AROUND = {
    "nginx": (["GET", "GET", "GET"], ["ok:300", None, "ok"]),
    "haproxy": (["POST"], [None]),
    "envoy": (["GET", "POST", "GET", "GET"], ["ok", "chunked:9000", None, "ok"]),
    "apache": (["GET"], [None]),
}


def _cases():
    for gateway in FIRST_FOUR:
        methods, steps = AROUND[gateway]
        for number, (fault, (name, about)) in enumerate(ENDS.items()):
            if (gateway, fault) in NOT_ON:
                continue
            fault = "giant-head" if (gateway, fault) == ("envoy", "huge-head") else fault
            plan = in_order(*[step or fault for step in steps])
            yield Case(f"{gateway}-{name}", about, served_by(plan), one_by_one(*methods, keep=number % 3 != 0, body=b"quantity=2"),
                       Route(reuse=gateway == "envoy"), on="eth0" if number % 4 == 1 else "any", classic=number % 5 == 2)


EXTRA = [
    Case("nginx-bad-status-code", "The status line says `abc` where the code belongs; nginx passes the line on as it came.",
         served_by(in_order("bad-code")), one_by_one("GET")),
    Case("envoy-bad-header-nul", "A field value holds a NUL byte.", served_by(in_order("nul-in-value")), one_by_one("GET")),
    Case("haproxy-upstream-504", "The upstream is itself a gateway of some kind and answers 504; HAProxy relays it.",
         served_by(in_order("ok", "status:504")), one_by_one("GET", "GET")),
    Case("nginx-closed-after-delay", "The upstream works on the request for 300 ms, then its process dies: a FIN, no answer.",
         served_by(in_order("ok", "close-late")), one_by_one("GET", "POST", body=b"x" * 4000)),
    Case("nginx-ipv6-reset", "Both legs over IPv6; the upstream resets.",
         served_by(in_order("ok", "reset"), address="fd77::3"),
         lambda lab: [visitor.ask() for visitor in [lab.visitor("[fd77::1]:80")] for _ in range(2)],
         Route(upstreams=["[fd77::3]:8080"]), ipv6=True),
    Case("haproxy-ipv6-closed", "Both legs over IPv6; the upstream closes without an answer.",
         served_by(in_order("ok", "close"), address="fd77::3"),
         lambda lab: [visitor.ask(keep=False) for visitor in [lab.visitor("[fd77::1]:80")] for _ in range(2)],
         Route(upstreams=["[fd77::3]:8080"]), ipv6=True),
    Case("envoy-ipv6-response-timeout", "Both legs over IPv6; the upstream stays silent.",
         served_by(in_order("hang"), address="fd77::3"), lambda lab: lab.visitor("[fd77::1]:80").ask(),
         Route(upstreams=["[fd77::3]:8080"]), ipv6=True),
    Case("nginx-fastcgi-refused", "The upstream leg is FastCGI and nothing listens there.",
         lambda lab: lab.arrange("10.77.0.3:9000", "connect-refused", None), one_by_one("GET"),
         Route(upstreams=["10.77.0.3:9000"], variant="fastcgi")),
    Case("nginx-fastcgi-closed", "The upstream leg is FastCGI; the application server takes the records and closes by FIN without one.",
         lambda lab: lab.mute("close", port=9000), one_by_one("GET", "GET"), Route(upstreams=["10.77.0.3:9000"], variant="fastcgi")),
    Case("nginx-fastcgi-reset", "The upstream leg is FastCGI; the application server takes the records and resets.",
         lambda lab: lab.mute("reset", port=9000), one_by_one("GET"), Route(upstreams=["10.77.0.3:9000"], variant="fastcgi")),
    Case("nginx-retry-both-fail", "Two upstreams: the first refuses the connection, the second resets the request. The last one counts.",
         lambda lab: (lab.arrange("10.77.0.3:8080", "connect-refused", None), lab.upstream(in_order("reset"), address="10.77.0.4")),
         one_by_one("GET"), Route(upstreams=["10.77.0.3:8080", "10.77.0.4:8080"], retry=True)),
    Case("haproxy-retry-both-fail", "Two upstreams: the first refuses, HAProxy sends the request to the second, which closes.",
         lambda lab: (lab.arrange("10.77.0.3:8080", "connect-refused", None), lab.upstream(in_order("close"), address="10.77.0.4")),
         one_by_one("GET"), Route(upstreams=["10.77.0.3:8080", "10.77.0.4:8080"], retry=True)),
    Case("haproxy-later-reset-silent", "The second request of a client connection travels on a new upstream connection, which is reset. "
         "HAProxy closes the client's connection without a byte.", served_by(in_order("ok", "reset")), one_by_one("GET", "GET")),
    Case("haproxy-later-close-silent", "The third request of a client connection is read by the upstream, which closes. HAProxy closes the "
         "client's connection without a byte.", served_by(in_order("ok", "ok", "close")), one_by_one("GET", "POST", "GET"),
         Route(reuse=True)),
    Case("apache-later-close-silent", "The second request of a client connection is read by the upstream, which closes. Apache closes the "
         "client's connection without a byte.", served_by(in_order("ok", "close")), one_by_one("GET", "GET"), Route(reuse=True)),
    Case("apache-later-reset-silent", "The second request of a client connection is read by the upstream, which resets. Apache closes the "
         "client's connection without a byte.", served_by(in_order("ok", "reset")), one_by_one("GET", "POST"), Route(reuse=True)),
    Case("apache-later-timeout", "The second request of a client connection is not answered by the upstream.",
         served_by(in_order("ok", "hang")), one_by_one("GET", "GET"), Route(reuse=True)),
    Case("nginx-remote-reset", "The upstream is on another network, behind a router, and resets.",
         served_by(in_order("ok", "reset"), address="10.78.0.3", place="remote"), one_by_one("GET", "GET"),
         Route(upstreams=["10.78.0.3:8080"]), remote=True),
    Case("envoy-far-closed", "The upstream is 30 ms away and closes without an answer.",
         lambda lab: (lab.far_away(0.03), lab.upstream(in_order("ok", "close"), address="10.79.0.3", place="far")),
         one_by_one("GET", "GET"), Route(upstreams=["10.79.0.3:8080"]), far=True),
    Case("nginx-loopback-reset", "The application runs on the gateway's own machine and is reached over the loopback interface; it resets.",
         served_by(in_order("ok", "reset"), address="127.0.0.1", place="gateway"), one_by_one("GET", "GET"),
         Route(upstreams=["127.0.0.1:8080"])),
    Case("haproxy-loopback-refused", "The application should run on the gateway's own machine, but nothing listens there.",
         lambda lab: lab.arrange("127.0.0.1:8080", "connect-refused", None), one_by_one("GET"), Route(upstreams=["127.0.0.1:8080"])),
    Case("nginx-own-error-page", "The upstream resets; nginx answers 503 with a page of the owner, without its version.",
         served_by(in_order("ok", "reset")), one_by_one("GET", "GET"), Route(variant="own-error-page")),
    Case("haproxy-own-error-page", "The upstream closes; HAProxy answers with a page of the owner.",
         served_by(in_order("close")), one_by_one("GET"), Route(variant="own-error-page")),
    Case("nginx-two-networks-reset", "Clients and upstream are on two networks, the gateway is on both; the upstream resets.",
         served_by(in_order("ok", "reset"), address=BACK, place="back"), one_by_one("GET", "GET"), TWO_NETWORKS, back=True),
    Case("envoy-two-networks-timeout", "Clients and upstream are on two networks, the gateway is on both; the upstream is silent.",
         served_by(in_order("ok", "hang"), address=BACK, place="back"), one_by_one("GET", "POST"), TWO_NETWORKS, back=True),
    Case("haproxy-two-networks-refused", "Clients and upstream are on two networks, the gateway is on both; nothing listens.",
         lambda lab: lab.arrange(f"{BACK}:8080", "connect-refused", None), one_by_one("GET"), TWO_NETWORKS, back=True),
    Case("haproxy-rewrite-fails", "The upstream answers 200 with a large cookie; with the headers that HAProxy adds the head no longer fits its "
         "buffer, and the client gets 500.", served_by(in_order("ok", "large-head:14900")), one_by_one("GET", "GET"),
         Route(variant="long-header")),
    Case("haproxy-answer-denied", "The upstream answers 200 in full; a rule of HAProxy denies the answer and sends 502 instead.",
         served_by(in_order("ok", "chunked:3000")), one_by_one("GET", "GET"), Route(variant="deny-all-answers")),
]

CASES = [*_cases(), *EXTRA]
