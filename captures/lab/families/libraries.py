"""Upstreams in TLS by rustls and by Go: other alerts, other tickets and other ends than OpenSSL's for the same reasons."""

from certificates import NAME, Secured
from families import Case, one_by_one
from gateways import Route
from programs import GO, RUSTLS, Go, Rustls

PORT, MEMBER = 8443, "10.77.0.3:8443"
# Both libraries refuse a name without saying that it is the name: rustls by access_denied, Go by internal_error.
UNTOLD = "tls-alert-from-upstream"
WITHOUT_VERSIONS = {"caddy"}       # offers what Go offers


def _route(gateway, version, **more):
    return Route(upstreams=[MEMBER], tls=True, verifies=True, asks_for=NAME, offers="" if gateway in WITHOUT_VERSIONS else version, **more)


def _rustls(gateway, name, about, secured, *methods, answers=("ok",), alpn=(), route=None, version="1.2", **more):
    return Case(f"{gateway}-rustls-{name}", f"{about} The upstream's TLS is rustls.", lambda lab: Rustls(lab, secured, PORT, answers, alpn),
                one_by_one(*(methods or ["GET"])), route or _route(gateway, version), programs=[RUSTLS], clear_two_leg=False, **more)


def _go(gateway, name, about, secured, *methods, version="1.2", **more):
    return Case(f"{gateway}-gotls-{name}", f"{about} The upstream is Caddy, whose TLS is Go's.", lambda lab: Go(lab, secured, PORT),
                one_by_one(*(methods or ["GET"])), _route(gateway, version), programs=[GO], clear_two_leg=False, **more)


def _in(version, cause="", **more):
    return Secured(cause, lowest=version, highest=version, **more)


def _by_rustls():
    for gateway, version in (("nginx", "1.3"), ("haproxy", "1.2"), ("envoy", "1.3"), ("caddy", "1.3")):
        yield _rustls(gateway, "healthy", f"All goes well. TLS {version}.", _in(version), "GET", "GET", version=version, healthy=True)
    for gateway in ("nginx", "haproxy", "envoy", "apache"):
        yield _rustls(gateway, "version-mismatch", "The upstream takes TLS 1.3 alone, the gateway offers TLS 1.2 at most.",
                      _in("1.3", "tls-version-mismatch"))
    for gateway in ("nginx", "haproxy", "envoy"):
        yield _rustls(gateway, "client-cert-required", "The upstream demands a certificate, and the gateway has none. TLS 1.2.",
                      _in("1.2", "tls-client-cert-required", demands=True))
        yield _rustls(gateway, "sni-unrecognized", "The upstream has no certificate for the name that the gateway asks for, and says "
                      "access_denied.", _in("1.2", "tls-sni-unrecognized", certificate="other-name", only_named=True), cause=UNTOLD)
    for gateway in ("nginx", "haproxy", "caddy"):
        yield _rustls(gateway, "tls13-client-cert-required", "The upstream demands a certificate, and the gateway has none. In TLS 1.3 the "
                      "gateway learns of it after its request.", _in("1.3", "tls-client-cert-required", demands=True), version="1.3")
    yield _rustls("nginx", "client-cert-rejected", "The gateway shows a certificate of an issuer that the upstream does not trust. TLS 1.2.",
                  _in("1.2", "tls-client-cert-rejected", demands=True, client="foreign"), route=_route("nginx", "1.2", shows=True))
    for gateway in ("nginx", "envoy"):
        yield _rustls(gateway, "expired", "The upstream's certificate expired months ago. TLS 1.2.",
                      _in("1.2", "tls-cert-expired", certificate="expired"))
    yield _rustls("haproxy", "tls13-expired", "The upstream's certificate expired months ago. TLS 1.3.",
                  _in("1.3", "tls-cert-expired", certificate="expired"), version="1.3")
    for gateway in ("haproxy", "envoy"):
        yield _rustls(gateway, "alpn-mismatch", "The gateway asks for HTTP/1.1 by name, and the upstream speaks HTTP/2 alone.",
                      _in("1.2", "alpn-mismatch"), alpn=["h2"], route=_route(gateway, "1.2", speaks="http/1.1"))
    yield from _after_the_handshake()


def _after_the_handshake():
    yield _rustls("nginx", "tls13-closed", "The upstream reads the second request and drops the connection: a FIN, and no close_notify. TLS 1.3.",
                  _in("1.3"), "GET", "GET", answers=["ok", "close"], version="1.3")
    yield _rustls("envoy", "closed", "The upstream reads the second request and drops the connection: a FIN, and no close_notify. TLS 1.2.",
                  _in("1.2"), "GET", "GET", answers=["ok", "close"])
    yield _rustls("envoy", "close-notify", "The upstream reads the second request, says close_notify and closes: its FIN, or a RST because of what it "
                  "left unread, comes after the answer to the client. TLS 1.2.", _in("1.2"), "GET", "GET", answers=["ok", "close-notify"])
    yield _rustls("haproxy", "tls13-reset", "The upstream reads the second request and resets. TLS 1.3.", _in("1.3"), "GET", "GET",
                  answers=["ok", "reset"], version="1.3")
    yield _rustls("nginx", "tls13-timeout", "The upstream reads the second request and stays silent. TLS 1.3.", _in("1.3"), "GET", "GET",
                  answers=["ok", "hang"], version="1.3")
    yield _rustls("haproxy", "tls13-upstream-503", "The upstream itself answers 503 inside TLS 1.3. Without the keys nobody can see that.",
                  _in("1.3"), "GET", "GET", answers=["ok", "status:503"], version="1.3", cause="encrypted-inconclusive")


def _by_go():
    for gateway, version in (("nginx", "1.3"), ("haproxy", "1.2")):
        yield _go(gateway, "healthy", f"All goes well. TLS {version}.", _in(version), "GET", "GET", version=version, healthy=True)
    for gateway in ("nginx", "haproxy", "envoy"):
        yield _go(gateway, "version-mismatch", "The upstream takes TLS 1.3 alone, the gateway offers TLS 1.2 at most.",
                  _in("1.3", "tls-version-mismatch"))
        yield _go(gateway, "sni-unrecognized", "The upstream has no certificate for the name that the gateway asks for, and says "
                  "internal_error.", _in("1.2", "tls-sni-unrecognized", certificate="other-name", only_named=True), cause=UNTOLD)
    for gateway in ("nginx", "haproxy"):
        yield _go(gateway, "tls13-client-cert-required", "The upstream demands a certificate, and the gateway has none. In TLS 1.3 the "
                  "gateway learns of it after its request.", _in("1.3", "tls-client-cert-required", demands=True), version="1.3")
    yield _go("envoy", "client-cert-required", "The upstream demands a certificate, and the gateway has none. TLS 1.2.",
              _in("1.2", "tls-client-cert-required", demands=True))


CASES = [*_by_rustls(), *_by_go()]
