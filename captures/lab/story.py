"""story.md and expected.json of one case, for people and for tests."""

import json

MACHINES = {"gateway": "the gateway's machine", "client": "the client's machine", "upstream": "the upstream's machine",
            "host": "the host of the containers", "far": "the upstream's machine, far away"}


def write(case, expected, work, removed):
    (work / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    (work / "story.md").write_text("\n".join(_lines(case, expected, removed)) + "\n")


def _lines(case, expected, removed):
    gateway, findings = expected["gateway"], expected["findings"]
    told = findings or expected.get("unseen") or expected.get("later")
    yield f"# {case.name}\n"
    yield f"{case.about}\n"
    yield f"- gateway: {gateway['product']} {gateway['version']} on {', '.join(gateway['addresses'])}, configured by `gateway.conf`"
    if case.inner:
        inner = expected["inner_gateway"]
        yield f"- behind it: {inner['product']} {inner['version']} on {inner['address']}, configured by `inner-gateway.conf`"
    for point in case.recorded_at:
        yield f"- recorded on `{point.on}` of {MACHINES.get(point.place, point.place)} into `{point.file}`{_limits(point)}"
    if removed:
        yield f"- taken out afterwards, by their numbers in the whole capture: frames {', '.join(map(str, removed))}"
    yield f"- clear on both legs and decidable from the packets: {'yes' if expected['clear_two_leg'] else 'no'}"
    yield f"- findings: {_counted(findings)}"
    if expected.get("unseen"):
        yield f"- failures that the log tells of and the capture shows only in part: {_counted(expected['unseen'])}"
    if expected.get("later"):
        yield f"- failures after the capture's end: {_counted(expected['later'])}"
    if expected["upstream_events"]:
        yield f"- attempts that failed without harm: {_counted(expected['upstream_events'])}"
    if expected["client_aborts"] or expected["application_errors"]:
        yield f"- clients that left: {expected['client_aborts']}, errors of an application: {expected['application_errors']}"
    if told:
        yield f"\nThe first one, {_told(told[0])}. The gateway's own words:\n\n```\n{told[0]['truth']}\n```"
    yield f"\nRecord it again: `captures/lab/record {case.name}`"


def _limits(point):
    limits = [f"with the filter `{point.only}`" if point.only else "", f"{point.snap} bytes of each frame" if point.snap else "",
              f"only frames that go {point.way}" if point.way else "",
              f"by a clock that is {point.ahead:+g} s off" if point.ahead else "", f"and {point.drift:+g} ppm fast" if point.drift else ""]
    return "".join(f", {limit}" for limit in limits if limit).replace(", with", " with", 1)


def _counted(causes):
    counts = {}
    for cause in causes:
        counts[cause["cause"]] = counts.get(cause["cause"], 0) + 1
    return ", ".join(f"{count} × `{code}`" for code, count in counts.items()) or "none"


def _told(finding):
    what = {"status": f"status {finding['status']}", "suspected": f"status {finding.get('log_status')} inside TLS", "silent-close": "the connection closed without a byte",
            "raw": "raw bytes instead of HTTP", "truncated-relay": f"status {finding['status']} with a body cut short"}[finding["failure"]]
    connection = finding["connection"]
    over = f" over {connection['client']} → {connection['server']}" if connection else ""
    return f"{finding['client']} got {what}{over}"
