"""Whether this machine can record: root, the tools, the gateways."""

import os
import shutil

import programs
from gateways import envoy
from topology import CLEAN_ENVIRONMENT

TOOLS = ["ip", "iptables", "dumpcap", "tcpdump", "editcap", "openssl"]


def missing(chosen):
    """What stands in the way, as sentences; empty when nothing does."""
    lines = []
    if os.geteuid():
        lines.append("Recording needs root: it makes network namespaces. Run it with sudo.")
    wanted = [*TOOLS, *sorted({case.gateway.PROGRAM for case in chosen if case.gateway.PROGRAM != "envoy"})]
    # Varnish compiles its configuration, and its log is read by a program of its own.
    wanted += sorted({case.inner.gateway.PROGRAM for case in chosen if case.inner and case.inner.gateway.PROGRAM != "envoy"} - set(wanted))
    wanted += ["varnishlog", "gcc"] if "varnishd" in wanted else []
    libraries = {library for case in chosen for library in case.programs}
    wanted += [programs.GO] if programs.GO in libraries - set(wanted) else []
    absent = [program for program in wanted if not shutil.which(program, path=CLEAN_ENVIRONMENT["PATH"])]
    if absent:
        lines.append(f"Not found: {', '.join(absent)}. captures/lab/install brings them.")
    if any("envoy" in (case.gateway.PROGRAM, case.inner and case.inner.gateway.PROGRAM) for case in chosen):
        if not envoy.binary().exists():
            lines.append("Envoy is not there yet. captures/lab/install brings it.")
    if programs.RUSTLS in libraries and not programs.rustls_binary().exists():
        lines.append("The upstream with rustls is not built. captures/lab/install builds it, or `cargo build --example tls_upstream`.")
    return lines
