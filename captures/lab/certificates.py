"""Certificates for the TLS sides of the upstream and of the gateway, made by openssl for the one recording and gone with it."""

import ssl

from topology import run


def server(folder):
    """A function that turns a fault server's accepted connection into a TLS one."""
    key, certificate = _made(folder, "upstream")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
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
