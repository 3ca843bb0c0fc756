"""story.md and expected.json of one case, for people and for tests."""

import json


def write(case, expected, work, capture, removed):
    (work / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    (work / "story.md").write_text("\n".join(_lines(case, expected, capture, removed)) + "\n")


def _lines(case, expected, capture, removed):
    gateway, findings = expected["gateway"], expected["findings"]
    yield f"# {case.name}\n"
    yield f"{case.about}\n"
    yield f"- gateway: {gateway['product']} {gateway['version']} on {', '.join(gateway['addresses'])}, configured by `gateway.conf`"
    yield f"- recorded on `{case.on}` of the gateway's machine into `{capture}`" + (f" with the filter `{case.only}`" if case.only else "")
    if removed:
        yield f"- taken out afterwards, by their numbers in the whole capture: frames {', '.join(map(str, removed))}"
    yield f"- clear on both legs and decidable from the packets: {'yes' if expected['clear_two_leg'] else 'no'}"
    yield f"- findings: {_counted(findings)}"
    if expected["upstream_events"]:
        yield f"- attempts that failed without harm: {_counted(expected['upstream_events'])}"
    if expected["client_aborts"] or expected["application_errors"]:
        yield f"- clients that left: {expected['client_aborts']}, errors of an application: {expected['application_errors']}"
    if findings:
        yield f"\nThe first one, {_told(findings[0])}. The gateway's own words:\n\n```\n{findings[0]['truth']}\n```"
    yield f"\nRecord it again: `captures/lab/record {case.name}`"


def _counted(causes):
    counts = {}
    for cause in causes:
        counts[cause["cause"]] = counts.get(cause["cause"], 0) + 1
    return ", ".join(f"{count} × `{code}`" for code, count in counts.items()) or "none"


def _told(finding):
    what = {"status": f"status {finding['status']}", "silent-close": "the connection closed without a byte",
            "raw": "raw bytes instead of HTTP", "truncated-relay": f"status {finding['status']} with a body cut short"}[finding["failure"]]
    connection = finding["connection"]
    over = f" over {connection['client']} → {connection['server']}" if connection else ""
    return f"{finding['client']} got {what}{over}"
