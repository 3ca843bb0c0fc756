"""The upstream's name does not lead to an address, at the time of the request."""

from families import Case, one_by_one
from faults import in_order
from gateways import Route

NAME = "shop.internal.example"
ANSWERS = {
    "nxdomain": "The resolver says that the upstream's name does not exist.",
    "nodata": "The resolver knows the name but no address of it.",
    "servfail": "The resolver fails.",
    "refused": "The resolver refuses to answer the gateway.",
}


def _answering(answer):
    def arrange(lab):
        lab.resolver({NAME: answer})
        lab.upstream(in_order())
    return arrange


def _cases():
    for number, (answer, about) in enumerate(ANSWERS.items()):
        yield Case(f"nginx-dns-{answer}", about, _answering(answer), one_by_one("GET", "GET"), Route(name=NAME),
                   on="eth0" if number % 2 else "any")
        yield Case(f"apache-dns-{answer}", about + " Apache asks through the C library and answers 500.", _answering(answer),
                   one_by_one("GET"), Route(name=NAME))
        yield Case(f"haproxy-dns-{answer}", about + " HAProxy resolves at request time and a rule answers 503.", _answering(answer),
                   one_by_one("GET"), Route(name=NAME))
        yield Case(f"envoy-dns-{answer}", about + " Envoy's dynamic forward proxy answers 503.", _answering(answer),
                   one_by_one("GET"), Route(name=NAME))


CASES = [
    *_cases(),
    Case("nginx-dns-timeout", "The resolver never answers.", _answering("silence"), one_by_one("GET"), Route(name=NAME)),
    Case("apache-dns-timeout", "The resolver never answers the C library that Apache asks through.", _answering("silence"),
         one_by_one("GET"), Route(name=NAME)),
    Case("haproxy-dns-timeout", "The resolver never answers HAProxy.", _answering("silence"), one_by_one("GET"), Route(name=NAME)),
    Case("envoy-dns-timeout", "The resolver never answers Envoy.", _answering("silence"), one_by_one("GET"), Route(name=NAME)),
]
