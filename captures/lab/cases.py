"""The table of cases, put together from the families in `families/`."""

from families import client_side, connecting, containers, crowds, cut, framing, handshakes, healthy, load, mismatch, names, nested, nothing_upstream, \
    overload, paths, products, recording, responses, reuse, sealed, sending, beside, tls, truncated, tunnels, vantages, weather

FAMILIES = [connecting, responses, reuse, tls, handshakes, names, nothing_upstream, recording, cut, containers, tunnels, vantages, weather, healthy,
            crowds, products, framing, mismatch, sending, paths, overload, client_side,
            sealed, beside, nested, truncated, load]
ALL = [case for family in FAMILIES for case in family.CASES]


def smoke(chosen):
    """One case of each gateway and family, and each way in which a handshake fails with each gateway: enough to see that everything
    starts and agrees."""
    first = {}
    for family in FAMILIES:
        for case in family.CASES:
            kind = case.name if family is handshakes and not case.keys else ""
            if case in chosen and not case.afresh:
                first.setdefault((family.__name__, case.gateway.PRODUCT, kind), case)
    return list(first.values())
