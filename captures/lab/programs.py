"""Upstreams that speak TLS by another library than Python's OpenSSL: programs of their own in the upstream's namespace.

In: what the TLS side is set up for, and what each request gets. Out: the files that the program wants, its process, and what it said itself,
in the upstream's book.
Rule: the cause is what the program was set up for, and its own words for what became of the handshake must bear that out.
"""

import json
import os
import re
from pathlib import Path

from certificates import OTHER_NAME
from recordbook import endpoint
from topology import UPSTREAM

RUSTLS, GO = "rustls", "caddy"
REPOSITORY = Path(__file__).resolve().parents[2]
# What the programs say where the cause is what they were set up for. A gateway that refuses a certificate may leave by an alert or without.
LEFT = ["AlertReceived", "received fatal alert", "eof", "EOF", "close_notify", "Connection reset", "peer-closed", "peer-ended"]
SAID = {
    RUSTLS: {
        "tls-version-mismatch": ["Tls12NotOfferedOrEnabled", "SupportedVersionsExtensionRequired", "Tls13NotOffered"],
        "tls-client-cert-required": ["peer sent no certificates"],
        "tls-client-cert-rejected": ["UnknownIssuer"],
        "tls-sni-unrecognized": ["no server certificate chain resolved"],
        "alpn-mismatch": ["doesn't support any known protocol"],
        "tls-cert-expired": LEFT,
        "tls-cert-name-mismatch": LEFT,
    },
    GO: {
        "tls-version-mismatch": ["client offered only unsupported versions"],
        "tls-client-cert-required": ["client didn't provide a certificate"],
        "tls-sni-unrecognized": ["no certificate available for", "no server TLS configuration available"],
    },
}
# The log of Caddy's HTTP server about a connection that came to no request.
GO_REFUSED = re.compile(r"http: TLS handshake error from (?P<peer>\S+): (?P<error>.*)")
CADDYFILE = """\
{{
    admin off
    auto_https off
    log {{
        output file program.log
        format json
        level DEBUG
    }}
    servers {{
        protocols h1
    }}
}}
https://{name}:{port} {{
    tls ../upstream.crt ../upstream.key {{
        protocols tls{lowest} tls{highest}
        {demands}
    }}
    log
    respond "The quick brown fox jumps over the lazy dog."
}}
"""
DEMANDS = """\
client_auth {
            mode require_and_verify
            trusted_ca_cert_file ../ca.crt
        }"""


def rustls_binary():
    """An example of gwcap's own package, where cargo puts it; `install` builds it."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target", "debug/examples/tls_upstream")


class _Program:
    """One such upstream. `secured` says what its TLS side shows and demands, and what comes of each handshake."""

    def __init__(self, lab, secured, port, folder):
        self.lab, self.secured, self.port = lab, secured, port
        self.folder = lab.work / folder
        self.folder.mkdir()
        self.secured.issue(lab)
        lab.start("program.out", self.command(), port=port, place="upstream", folder=self.folder)
        lab.programs.append(self)

    def _check(self, said):
        """Where a handshake was to fail, each that was begun must have failed in the words for it, and where none was, none."""
        wanted = SAID[self.LIBRARY][self.secured.cause] if self.secured.cause else None
        failed = [line for line in said if line["event"] == "handshake-failed"]
        if wanted is None:
            if failed or not said:
                raise RuntimeError(f"all was to go well, and the upstream says: {failed[0]['error'] if failed else 'nothing'}")
            return
        ends = [line.get("error") or line.get("how") or line["event"] for line in said if line["event"] in (
            "handshake-failed", "peer-closed", "peer-ended")]
        if not ends or not all(any(word in end for word in wanted) for end in ends):
            raise RuntimeError(f"{self.secured.cause}, and the upstream says: {ends}")


class Rustls(_Program):
    LIBRARY = RUSTLS

    def __init__(self, lab, secured, port, answers=("ok",), alpn=()):
        self.answers, self.alpn = answers, alpn
        super().__init__(lab, secured, port, "rustls")

    def command(self):
        secured = self.secured
        versions = sorted({secured.lowest, secured.highest})
        return [str(rustls_binary()), "--listen", f"{UPSTREAM}:{self.port}", "--certificate", "../upstream.crt", "--key", "../upstream.key",
                "--versions", ",".join(versions), "--answers", ",".join(self.answers),
                *(["--client-ca", "../ca.crt"] if secured.demands else []), *(["--alpn", ",".join(self.alpn)] if self.alpn else []),
                *(["--only-named", OTHER_NAME] if secured.only_named else [])]

    def tell(self, book):
        said = [json.loads(line) for line in (self.folder / "program.out").read_text().splitlines()]
        self._check(said)
        for line in said:
            book.note(**line)
            if line["event"] == "accept" and self.secured.cause:
                book.note(**line | {"event": "handshake", "step": self.secured.cause})


class Go(_Program):
    """Caddy as a server: Go's crypto/tls. It writes of requests and of failed handshakes when they are over."""

    LIBRARY = GO

    def __init__(self, lab, secured, port):
        if secured.cause:
            lab.upstream_book.note(event="arranged", upstream=f"{UPSTREAM}:{port}", cause=secured.cause,
                                   how="the TLS side of the upstream is set up so")
        super().__init__(lab, secured, port, "go")

    def command(self):
        secured = self.secured
        name = OTHER_NAME if secured.only_named else ""
        (self.folder / "Caddyfile").write_text(CADDYFILE.format(name=name, port=self.port, lowest=secured.lowest, highest=secured.highest,
                                                                demands=DEMANDS if secured.demands else ""))
        return ["env", f"HOME={self.folder}", "caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"]

    def tell(self, book):
        said = list(self._said())
        self._check(said)
        for line in said:
            book.note(**line)

    def _said(self):
        local = f"{UPSTREAM}:{self.port}"
        for line in map(json.loads, (self.folder / "program.log").read_text().splitlines()):
            refused = GO_REFUSED.match(line["msg"])
            if refused:
                yield {"time": line["ts"], "event": "handshake-failed", "local": local, "peer": refused["peer"], "error": refused["error"]}
            elif line["msg"] == "handled request":
                request = line["request"]
                yield {"time": line["ts"], "event": "served", "local": local, "peer": endpoint((request["remote_ip"], request["remote_port"])),
                       "status": line["status"]}
