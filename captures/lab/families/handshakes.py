"""Handshakes with real TLS servers: one side refuses what the other shows or offers, or all goes well and the keys are kept."""

import ssl
import time

from certificates import NAME, OTHER_NAME, Secured
from families import Case, one_by_one
from faults import always, in_order
from gateways import Route
from topology import APPLICATION, UPSTREAM

PORT, MEMBER = 8443, "10.77.0.3:8443"
FIVE = ["nginx", "haproxy", "envoy", "apache", "caddy"]
WITHOUT_VERSIONS = {"caddy"}            # offers what Go offers

# What is wrong with the certificate, the code by the logs of both sides, and what it is.
SHOWN = {
    "expired": ("tls-cert-expired", "The upstream's certificate expired months ago"),
    "future": ("tls-cert-not-yet-valid", "The upstream's certificate is valid in ten years' time"),
    "other-name": ("tls-cert-name-mismatch", f"The gateway asks for {NAME}, and the upstream's certificate is for {OTHER_NAME}"),
    "foreign": ("tls-untrusted-ca", "The upstream's certificate is from an issuer that the gateway was not given"),
    "self-signed": ("tls-untrusted-ca", "The upstream's certificate is signed by itself"),
    "revoked": ("tls-cert-revoked", "The upstream's certificate was revoked, and the gateway has the list"),
}
# Who leaves after the handshake, and who says bad_certificate or less for everything: there the wire shows less than the log.
LEAVES, CLOSED, UNKNOWN = {"nginx"}, "tls-closed-after-handshake", "tls-cert-rejected-unknown"


def _route(gateway, version, **more):
    return Route(upstreams=[MEMBER], tls=True, verifies=True, asks_for=NAME, offers="" if gateway in WITHOUT_VERSIONS else version, **more)


def _with(secured, plan=always("ok")):
    return lambda lab: lab.upstream(plan, port=PORT, wrap=secured.wrap(lab))


def _seen_as(gateway, shown, version):
    """What an observer without keys can know where the log knows more, and what else is right to say."""
    if version == "1.3":
        if gateway in LEAVES or (gateway, shown) == ("apache", "other-name"):
            return CLOSED, []
        if gateway == "caddy" or shown == "other-name":
            return UNKNOWN, []
        # BoringSSL says certificate_unknown in TLS 1.3.
        return (UNKNOWN, []) if gateway == "envoy" else ("", [])
    if shown == "foreign" and gateway in LEAVES:
        return CLOSED, []
    if (gateway, shown) == ("caddy", "foreign"):
        return UNKNOWN, []
    if shown == "revoked" and gateway in LEAVES:
        return CLOSED, []
    return "", []


def _refused_certificates():
    for version, kinds in (("1.2", ["expired", "future", "other-name", "foreign"]), ("1.3", ["expired", "other-name"])):
        for shown in kinds:
            for gateway in FIVE:
                code, about = SHOWN[shown]
                cause, accept = _seen_as(gateway, shown, version)
                yield Case(f"{gateway}-tls{version.replace('.', '')}-{shown}", f"{about}. TLS {version}.",
                           _with(Secured(code, shown, lowest=version, highest=version)), one_by_one("GET"), _route(gateway, version),
                           clear_two_leg=False, cause=cause, accept=accept)
    for gateway in ("nginx", "haproxy"):
        code, about = SHOWN["self-signed"]
        yield Case(f"{gateway}-tls12-self-signed", f"{about}. TLS 1.2.", _with(Secured(code, "self-signed")), one_by_one("GET"),
                   _route(gateway, "1.2"), clear_two_leg=False)
    for gateway in ("nginx", "haproxy", "envoy"):
        code, about = SHOWN["revoked"]
        cause, accept = _seen_as(gateway, "revoked", "1.2")
        yield Case(f"{gateway}-tls12-revoked", f"{about}. TLS 1.2.", _with(Secured(code, "revoked")), one_by_one("GET"),
                   _route(gateway, "1.2", revocation=True), clear_two_leg=False, cause=cause, accept=accept)


def _refused_by_the_upstream():
    for gateway in FIVE:
        yield Case(f"{gateway}-tls12-client-cert-required", "The upstream demands a certificate, and the gateway has none. TLS 1.2.",
                   _with(Secured("tls-client-cert-required", demands=True)), one_by_one("GET"), _route(gateway, "1.2"), clear_two_leg=False)
        yield Case(f"{gateway}-tls-sni-unrecognized", "The upstream serves another name than the one that the gateway asks for.",
                   _with(Secured("tls-sni-unrecognized", only_named=True)), one_by_one("GET"), _route(gateway, "1.2"), clear_two_leg=False)
    for gateway in ("nginx", "haproxy", "apache", "caddy"):
        yield Case(f"{gateway}-tls13-client-cert-required", "The upstream demands a certificate, and the gateway has none. In TLS 1.3 the "
                   "gateway learns of it after its request.",
                   _with(Secured("tls-client-cert-required", demands=True, lowest="1.3", highest="1.3")), one_by_one("GET"),
                   _route(gateway, "1.3"), clear_two_leg=False)
    for gateway in ("nginx", "haproxy", "envoy", "apache"):
        yield Case(f"{gateway}-tls-version-mismatch", "The upstream takes TLS 1.3 alone, the gateway offers TLS 1.2 at most.",
                   _with(Secured("tls-version-mismatch", lowest="1.3", highest="1.3")), one_by_one("GET"), _route(gateway, "1.2"),
                   clear_two_leg=False)
        yield Case(f"{gateway}-tls12-client-cert-rejected", "The gateway shows a certificate of an issuer that the upstream does not trust.",
                   _with(Secured("tls-client-cert-rejected", demands=True, client="foreign")), one_by_one("GET"),
                   _route(gateway, "1.2", shows=True), clear_two_leg=False)
    for gateway in ("nginx", "haproxy"):
        yield Case(f"{gateway}-tls-sni-missing", "The upstream refuses who asks for no name, and the gateway sends none.",
                   _with(Secured("tls-sni-missing", only_named=True)), one_by_one("GET"), Route(upstreams=[MEMBER], tls=True),
                   clear_two_leg=False)
    yield Case("caddy-tls-version-mismatch", "The upstream refuses every version.", lambda lab: lab.mute("tls-alert-70", port=PORT),
               one_by_one("GET"), Route(upstreams=[MEMBER], tls=True), clear_two_leg=False)
    for gateway in ("nginx", "haproxy", "envoy"):
        yield Case(f"{gateway}-tls-no-shared-cipher", "The upstream refuses the suites with insufficient_security.",
                   lambda lab: lab.mute("tls-alert-71", port=PORT), one_by_one("GET"), Route(upstreams=[MEMBER], tls=True),
                   clear_two_leg=False)
        yield Case(f"{gateway}-tls-decrypt-error", "The upstream cannot verify what the gateway sent.",
                   lambda lab: lab.mute("tls-alert-51", port=PORT), one_by_one("GET"), Route(upstreams=[MEMBER], tls=True),
                   clear_two_leg=False)
    for gateway in ("haproxy", "envoy"):
        yield Case(f"{gateway}-alpn-mismatch", "The gateway asks for HTTP/2, which the upstream refuses with no_application_protocol.",
                   lambda lab: lab.mute("tls-alert-120", port=PORT), one_by_one("GET"), Route(upstreams=[MEMBER], tls=True, speaks="h2"),
                   clear_two_leg=False)


# What the upstream does with the second request, where each gateway answers with an error that nobody can tell without the keys.
SPOILT = {"nginx": "space-in-name", "haproxy": "space-in-name", "caddy": "status:503"}


def _keyed(gateway, name, about, highest, served="", **route):
    """Two requests in TLS to the upstream, each on a connection of its own unless it is reused; the upstream's keys are kept."""
    return Case(f"{gateway}-keys-{name}", f"{about} The upstream's keys lie in `keys.log`.",
                _with(Secured(lowest=highest, highest=highest, suites=served), in_order("ok", SPOILT[gateway])),
                one_by_one("GET", "GET", pause=0.2), _route(gateway, highest, **route), keys=True, clear_two_leg=False,
                cause="encrypted-inconclusive")


def _kept_keys():
    yield _keyed("nginx", "tls12-aead", "TLS 1.2 with AES-GCM.", "1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", reuse=True)
    yield _keyed("haproxy", "tls12-chacha", "TLS 1.2 with ChaCha20.", "1.2", "ECDHE-ECDSA-CHACHA20-POLY1305", reuse=True)
    yield _keyed("nginx", "tls12-cbc-etm", "TLS 1.2 with AES-CBC, encrypt-then-MAC.", "1.2", "ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0", reuse=True)
    yield _keyed("caddy", "tls12-cbc", "TLS 1.2 with AES-CBC, MAC-then-encrypt.", "1.2", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0", reuse=True)
    yield _keyed("haproxy", "tls12-resumed", "TLS 1.2; the second connection resumes the session of the first.", "1.2")
    yield _keyed("haproxy", "tls13-aes", "TLS 1.3 with AES-GCM.", "1.3", reuse=True)
    yield _keyed("haproxy", "tls13-chacha", "TLS 1.3 with ChaCha20.", "1.3", suites="TLS_CHACHA20_POLY1305_SHA256", reuse=True)
    yield _keyed("nginx", "tls13-resumed", "TLS 1.3; the second connection resumes the session of the first.", "1.3")
    for gateway in ("nginx", "haproxy", "envoy"):
        yield Case(f"{gateway}-keys-client-leg", "The upstream reads the second request and closes by FIN. Clients come in TLS, and their keys "
                   "lie in `keys.log`.", lambda lab: lab.upstream(in_order("ok", "close", "ok")), one_by_one("GET", "GET", "GET", pause=0.3),
                   Route(sealed=True), keys=True, clear_two_leg=False)


def _another_asks_before(secured):
    """Another client of the upstream, on the gateway's machine and with an address of its own, comes through first: it offers more."""
    def traffic(lab):
        other = lab.network.socket("gateway")
        other.bind((APPLICATION, 0))
        other.connect((UPSTREAM, PORT))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.wrap_socket(other, server_hostname=NAME).close()
        time.sleep(0.3)
        one_by_one("GET")(lab)
    return _with(secured), traffic


def _beside_another():
    for gateway in ("nginx", "haproxy"):
        arrange, traffic = _another_asks_before(Secured("tls-no-shared-cipher", suites="ECDHE-ECDSA-AES256-GCM-SHA384"))
        yield Case(f"{gateway}-tls12-suites-differ", "The upstream takes one suite, which another client offers and the gateway does not.",
                   arrange, traffic, _route(gateway, "1.2", suites="ECDHE-ECDSA-CHACHA20-POLY1305"), clear_two_leg=False)
        arrange, traffic = _another_asks_before(Secured("tls-version-mismatch", lowest="1.3", highest="1.3"))
        yield Case(f"{gateway}-tls12-too-old", "The upstream takes TLS 1.3 alone, which another client offers and the gateway does not.",
                   arrange, traffic, _route(gateway, "1.2"), clear_two_leg=False)
    yield Case("nginx-tls12-healthy-soon", "All goes well; the upstream's certificate ends in five days.", _with(Secured("", "soon")),
               one_by_one("GET"), _route("nginx", "1.2"), healthy=True, clear_two_leg=False)


def _checked():
    """Health checks complete a handshake and leave, again and again, beside the requests of clients."""
    for gateway in ("haproxy", "envoy"):
        yield Case(f"{gateway}-tls12-healthy-checks", "Health checks complete the handshake and leave; all requests are served.",
                   _with(Secured()), one_by_one(*["GET"] * 8, pause=0.2), _route(gateway, "1.2", health_checks=True), settle=0.7,
                   healthy=True, clear_two_leg=False)
        yield Case(f"{gateway}-tls12-checks-reset", "Health checks complete the handshake and leave; one request is reset.",
                   _with(Secured(), in_order("ok", "ok", "reset", "ok")), one_by_one(*["GET"] * 4, pause=0.3),
                   _route(gateway, "1.2", health_checks=True), settle=0.7, clear_two_leg=False)


CASES = [
    *_refused_certificates(),
    *_checked(),
    *_beside_another(),
    *_refused_by_the_upstream(),
    *_kept_keys(),
]
