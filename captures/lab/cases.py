"""The table of cases, put together from the families in `families/`."""

from families import client_side, connecting, containers, crowds, cut, framing, handshakes, healthy, libraries, load, mismatch, names, nested, \
    nothing_upstream, overload, paths, products, recording, responses, reuse, sealed, sending, beside, tls, truncated, tunnels, vantages, weather

FAMILIES = [connecting, responses, reuse, tls, handshakes, libraries, names, nothing_upstream, recording, cut, containers, tunnels, vantages,
            weather, healthy, crowds, products, framing, mismatch, sending, paths, overload, client_side,
            sealed, beside, nested, truncated, load]
ALL = [case for family in FAMILIES for case in family.CASES]


def smoke(chosen):
    """One case of each gateway and family, each way in which a handshake fails with each gateway, and each thing that another library does
    with one: enough to see that everything starts and agrees."""
    first = {}
    for family in FAMILIES:
        for case in family.CASES:
            if case in chosen and not case.afresh:
                first.setdefault(_kind(family, case), case)
    return list(first.values())


def _kind(family, case):
    if family is libraries:
        return family.__name__, case.name.partition("-")[2]
    return family.__name__, case.gateway.PRODUCT, case.name if family is handshakes and not case.keys else ""
