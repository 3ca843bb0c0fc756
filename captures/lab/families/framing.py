"""The head or the body of the answer breaks the rules of HTTP/1.1, or stops. What one gateway refuses another passes on."""

from families import Case, one_by_one, served_by
from faults import in_order
from gateways import Route

# The case's last name -> (fault, which gateways make an error of it, further right codes, what the story says)
KINDS = {
    "conflicting-framing": ("length-and-chunked", "envoy varnish", [],
                            "The head has Content-Length and Transfer-Encoding: chunked."),
    "two-content-lengths": ("two-lengths", "haproxy envoy caddy squid ats", [], "The head has two fields Content-Length, with 3 and with 5."),
    "invalid-content-length": ("length-not-a-number", "haproxy envoy apache caddy varnish squid ats", [], "Content-Length is `abc`."),
    "unknown-transfer-coding": ("unknown-coding", "haproxy envoy caddy varnish squid", [], "Transfer-Encoding is `wat`."),
    "unexpected-upgrade": ("switch-unasked", "haproxy apache varnish squid", [],
                           "The upstream answers 101 Switching Protocols, which nobody asked for."),
    "interim-then-closed": ("interim-then-close", "haproxy envoy apache caddy varnish squid lighttpd ats", ["closed-before-response"],
                            "The upstream answers 100 Continue, which nobody asked for, and closes by FIN."),
    "interim-flood": ("interim-flood", "apache caddy", [], "The upstream sends 300 times 103 Early Hints: more than the gateway takes."),
    "http09-response": ("html", "nginx haproxy envoy caddy varnish lighttpd ats", ["malformed-status-line"],
                        "The upstream answers with HTML and no head, as servers of HTTP/0.9 did."),
    "too-many-headers": ("many-fields", "haproxy envoy varnish", [], "The head has 300 short fields."),
    "bad-first-chunk": ("bad-first-chunk", "nginx haproxy envoy apache varnish squid ats", [],
                        "The size of the first chunk is `zzz`, and it comes with the head."),
    "bad-later-chunk": ("bad-later-chunk", "nginx haproxy envoy apache varnish squid ats", [],
                        "The first chunk is well, the size of the second is `zzz`."),
    "truncated-chunked": ("cut-chunks", "nginx haproxy envoy apache varnish squid ats", ["truncated-body"],
                          "After the first chunk the upstream closes by FIN, without the last chunk."),
    "stall-mid-response": ("stall-mid-body", "nginx haproxy envoy apache caddy varnish squid ats", [],
                           "Of 5000 bytes announced the upstream sends 1800 and then nothing until the gateway gives up."),
    "bad-content-coding": ("not-gzip", "nginx varnish", [],
                           "The body says that it is gzip and is not; the gateway unpacks it for a client that does not understand gzip."),
}
VARIANTS = {"bad-content-coding": "gunzip"}
BEFORE = {"nginx": ["GET"], "haproxy": [], "envoy": ["GET", "POST"], "apache": [], "caddy": ["POST"], "varnish": [], "squid": ["GET"],
          "lighttpd": [], "ats": ["GET"]}
AFTER = {"nginx": [], "haproxy": ["GET"], "envoy": [], "apache": ["GET", "GET"], "caddy": ["GET"], "varnish": ["POST"], "squid": [],
         "lighttpd": ["GET"], "ats": []}


def _cases():
    for number, (name, (fault, gateways, accept, about)) in enumerate(KINDS.items()):
        for place, gateway in enumerate(gateways.split()):
            before, after = BEFORE[gateway], AFTER[gateway]
            plan = in_order(*["ok"] * len(before), fault)
            # Haste: nginx leaves the connection of a client open that got bytes without a head.
            traffic = one_by_one(*before, "GET", *after, body=b"quantity=2", keep=gateway not in ("haproxy", "apache"),
                                 patience=1.5 if name == "http09-response" else 6)
            yield Case(f"{gateway}-{name}", about, served_by(plan), traffic, Route(variant=VARIANTS.get(name, "")), accept=accept,
                       on="eth0" if (number + place) % 3 == 1 else "any", classic=(number + place) % 8 == 3)


CASES = [
    *_cases(),
    *[Case(f"{gateway}-healthy-longer-body", "The body is longer than Content-Length says: the gateway drops what is too much, and the client "
           "is served.", served_by(in_order("ok", "longer-body")), one_by_one("GET", "GET", "GET"), healthy=True)
      for gateway in ("nginx", "haproxy", "envoy")],
]
