"""The table of captures/README.md, made from what lies in the folders."""

import json

HEAD = """# Recorded cases

Real gateways that really failed, recorded on the gateway's machine, and in some cases on its host, the client's and the upstream's too. Every
folder holds the capture or captures, the logs of the gateway, of the upstream and of the client, a short story, and `expected.json`: the truth as the gateway's log and the fault server's book tell it. How they
are made, and how to make them again, is in [lab/README.md](lab/README.md). This table is written by `captures/lab/record --index`.

| case | gateway | on | findings | also |
|---|---|---|---|---|
"""


def write(folder):
    rows = [_row(path.parent) for path in sorted(folder.glob("*/expected.json"))]
    (folder / "README.md").write_text(HEAD + "\n".join(rows) + "\n")


def _row(case):
    expected = json.loads((case / "expected.json").read_text())
    counts, also = {}, []
    for finding in expected["findings"]:
        counts[finding["cause"]] = counts.get(finding["cause"], 0) + 1
    found = ", ".join(code + (f" × {count}" if count > 1 else "") for code, count in counts.items())
    for flag in ("crowd", "healthy"):
        also += [flag] if expected["recorded"][flag] else []
    also += [] if expected["clear_two_leg"] else ["not decidable in full"]
    also += [f"{len(expected['upstream_events'])} upstream events"] if expected["upstream_events"] else []
    also += [f"{expected[key]} {key.replace('_', ' ')}" for key in ("application_errors", "client_aborts") if expected[key]]
    return f"| [{case.name}]({case.name}/story.md) | {expected['gateway']['product']} | {expected['recorded']['on']} | " \
           f"{found or '–'} | {', '.join(also)} |"
