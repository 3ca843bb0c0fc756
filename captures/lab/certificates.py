"""Certificates for the TLS sides of the upstream and of the gateway, made by openssl for the one recording and gone with it."""

import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from topology import run

# The name that clients ask for; gateways that verify ask the upstream for it too.
NAME, OTHER_NAME = "shop.example", "www.other.example"
VERSIONS = {"1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# First and last day of a certificate, where it is not valid from today for a month.
TODAY = datetime.now(timezone.utc)
DAYS = {"soon": tuple((TODAY + timedelta(days)).strftime("%Y%m%d%H%M%SZ") for days in (-85, 5)), "expired": ("20260101000000Z", "20260301000000Z"),
        "future": ("20360101000000Z", "20370101000000Z")}

CONFIGURATION = """\
[ca]
default_ca = it
[it]
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
certificate = {folder}/{name}.crt
private_key = {folder}/{name}.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


def server(folder, keys=None):
    """A function that turns a fault server's accepted connection into a TLS one."""
    key, certificate = _made(folder, "upstream")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if keys:
        context.keylog_filename = str(keys)
    return lambda connection: context.wrap_socket(connection.socket, server_side=True)


def front(folder):
    """Key and certificate for the gateway's own listener, apart and in one file."""
    key, certificate = _made(folder, "front")
    (folder / "front.pem").write_text(key.read_text() + certificate.read_text())


def _made(folder, name):
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", "/CN=shop.example", "-keyout", str(key), "-out", str(certificate))
    return key, certificate


class Authority:
    """An issuer of certificates."""

    def __init__(self, folder, name, title):
        self.folder, self.name = folder / f"{name}.authority", name
        self.folder.mkdir()
        for file, text in [("index.txt", ""), ("serial", "01\n"), ("conf", CONFIGURATION.format(folder=self.folder, name=name))]:
            (self.folder / file).write_text(text)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
            "-subj", f"/CN={title}", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign,cRLSign",
            "-keyout", str(self.folder / f"{name}.key"), "-out", str(self.certificate))

    @property
    def certificate(self):
        return self.folder / f"{self.name}.crt"

    def issue(self, place, subject, alternative="", days=None, rsa=False):
        """A key and a certificate for it, at `place` with the ends .key and .crt."""
        key, request, certificate = (place.with_suffix(end) for end in (".key", ".csr", ".crt"))
        kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        run("openssl", "req", "-new", "-newkey", *kind, "-nodes", "-subj", f"/CN={subject}",
            *(["-addext", f"subjectAltName={alternative}"] if alternative else []), "-keyout", str(key), "-out", str(request))
        dates = ["-startdate", days[0], "-enddate", days[1]] if days else []
        run("openssl", "ca", "-batch", "-notext", "-config", str(self.folder / "conf"), *dates, "-in", str(request), "-out", str(certificate))
        return key, certificate

    def revoke(self, certificate):
        run("openssl", "ca", "-config", str(self.folder / "conf"), "-revoke", str(certificate))

    def write_list(self, place):
        run("openssl", "ca", "-config", str(self.folder / "conf"), "-gencrl", "-out", str(place))


@dataclass
class Secured:
    """The TLS side of an upstream, and what comes of each handshake with it: `cause` is the code by the upstream's own account, empty
    where the handshake goes well. The gateway trusts the issuer of all that is not foreign or signed by itself."""

    cause: str = ""
    certificate: str = "good"           # good, soon, expired, future, other-name, foreign, self-signed, revoked
    lowest: str = "1.2"
    highest: str = "1.2"
    demands: bool = False               # a certificate of the client
    client: str = ""                    # what the gateway has for that: nothing, good or foreign
    only_named: bool = False            # refuses who asks for another name than its own, or for none
    suites: str = ""
    rsa: bool = False
    tickets: bool = True

    def wrap(self, lab):
        """The function that does it for one lab. The gateway finds ca.crt, crl.pem and gateway.* in its folder."""
        context = self._context(lab)

        def wrapped(connection):
            if self.cause:
                connection.note("handshake", step=self.cause)
            return context.wrap_socket(connection.socket, server_side=True)
        return wrapped

    def issue(self, lab):
        """Makes what either side wants: upstream.key and upstream.crt, ca.crt and crl.pem, and gateway.* where the gateway shows one."""
        trusted = Authority(lab.work, "trusted", "Shop Root")
        foreign = Authority(lab.work, "foreign", "Somebody Else Root")
        issued = self._issued(lab.work, trusted, foreign)
        (lab.work / "ca.crt").write_text(trusted.certificate.read_text())
        trusted.write_list(lab.work / "crl.pem")
        if self.client:
            issuer = foreign if self.client == "foreign" else trusted
            # With an alternative name it is of version 3, the only one that rustls reads.
            key, certificate = issuer.issue(lab.work / "gateway", "gateway.shop.example", "DNS:gateway.shop.example")
            (lab.work / "gateway.pem").write_text(key.read_text() + certificate.read_text())
        return issued

    def _context(self, lab):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = VERSIONS[self.lowest], VERSIONS[self.highest]
        key, certificate = self.issue(lab)
        context.load_cert_chain(certificate, key)
        if self.demands:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(str(lab.work / "ca.crt"))
        if self.suites:
            context.set_ciphers(self.suites)
        if self.only_named:
            context.sni_callback = lambda socket, name, _: None if name == OTHER_NAME else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        if lab.keys:
            context.keylog_filename = str(lab.keys)
        return context

    def _issued(self, folder, trusted, foreign):
        if self.certificate == "self-signed":
            return _made(folder, "upstream")
        issuer = foreign if self.certificate == "foreign" else trusted
        name = OTHER_NAME if self.certificate == "other-name" else NAME
        key, certificate = issuer.issue(folder / "upstream", name, f"DNS:{name}", DAYS.get(self.certificate), self.rsa)
        if self.certificate == "revoked":
            issuer.revoke(certificate)
        return key, certificate
