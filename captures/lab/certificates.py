"""A certificate for the upstream's TLS side, made by openssl for the one recording and gone with it."""

import ssl

from topology import run


def server(folder):
    """A function that turns a fault server's accepted connection into a TLS one."""
    key, certificate = folder / "upstream.key", folder / "upstream.crt"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", "/CN=shop.example", "-keyout", str(key), "-out", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return lambda connection: context.wrap_socket(connection.socket, server_side=True)
