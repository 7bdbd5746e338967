#!/usr/bin/env python3
"""For scripts/autobahn: what the fuzzing client is to do, and what came of it.

autobahn.py spec quick|all AGENT ADDRESS FOLDER: the client's specification.
autobahn.py quick|all VERSION INDEX...: judges the results; after `all`, writes docs/autobahn.md.
"""

import json
import sys
from collections import Counter

# Cases that do not end with OK, and why. A case that is not here and does not is a failure.
REASONS = {
    "NON-STRICT": {
        "6.4.3": "text is looked at when its frame is whole, not while it comes",
        "6.4.4": "as 6.4.3, in smaller pieces",
    },
    "INFORMATIONAL": {
        "7.1.6": "a message, a goodbye and a ping at once: what is still said before the goodbye is free",
        "7.13.1": "a close code that is none, 5000: what is answered is free",
        "7.13.2": "as 7.13.1, with 65535",
    },
}

GROUPS = {
    "1": "Framing",
    "2": "Pings and pongs",
    "3": "Reserved bits",
    "4": "Opcodes",
    "5": "Fragmentation",
    "6": "UTF-8",
    "7": "Closing",
    "9": "Limits and performance",
    "10": "Fragments made by the client",
    "12": "Compression, sizes and kinds of content",
    "13": "Compression, parameters",
}

# What is left out by `quick`: large messages, and thousands of them.
LONG = ["9.*", "12.*", "13.*"]
SHORT_OF_THOSE = ["9.1.1", "9.2.1", "12.1.1", "12.1.2", "12.2.1", "13.1.1", "13.3.1", "13.5.1", "13.7.1"]


def spec(cases, agent, address, folder):
    without = ["12.*", "13.*"] if agent == "plain" else []
    chosen = ["*"]
    if cases == "quick":
        chosen = [f"{group}.*" for group in GROUPS if f"{group}.*" not in LONG] + SHORT_OF_THOSE
    return {
        "outdir": folder,
        "servers": [{"agent": agent, "url": f"ws://{address}"}],
        "cases": chosen,
        "exclude-cases": without,
        "exclude-agent-cases": {},
    }


def reason(case, behavior):
    return REASONS.get(behavior, {}).get(case)


def order(case):
    return [int(part) for part in case.split(".")]


def group(case):
    return case.split(".")[0]


def judge(index):
    """Cases by group and result, and those that did not end as they may."""
    counts, noted, failed = {}, [], []
    for case in sorted(index, key=order):
        behavior, closing = index[case]["behavior"], index[case]["behaviorClose"]
        counts.setdefault(group(case), Counter())[behavior] += 1
        why = reason(case, behavior)
        if behavior != "OK":
            (noted if why else failed).append((case, behavior, why or closing))
        elif closing not in ("OK", "INFORMATIONAL"):
            failed.append((case, behavior, f"closing: {closing}"))
    return counts, noted, failed


def table(counts):
    results = ["OK", "NON-STRICT", "INFORMATIONAL"]
    rows = [[f"{number}. {GROUPS[number]}"] + [str(counts[number][result]) for result in results]
            for number in sorted(counts, key=int)]
    sums = [str(sum(count[result] for count in counts.values())) for result in results]
    lines = ["| cases | OK | non-strict | informational |", "|---|---|---|---|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows + [["all"] + sums]]


def document(version, results):
    lines = [
        "# Autobahn",
        "",
        "What the fuzzing client of the [Autobahn test suite](https://github.com/crossbario/autobahn-testsuite)",
        f"(version {version}) finds: it talks to `kit/websocket/examples/echo.rs`, which reads and writes",
        "WebSockets by the same code as rooms do, and says back what it is told. `make autobahn` runs all of it",
        "and writes this page; `make test` runs what takes less than a minute.",
    ]
    for title, (counts, noted, _) in results:
        lines += ["", f"## {title}", ""] + table(counts)
        if noted:
            lines += ["", "| case | result | why |", "|---|---|---|"]
            lines += [f"| {case} | {behavior.lower()} | {why} |" for case, behavior, why in noted]
    return "\n".join(lines) + "\n"


def main(cases, version, *indices):
    results = []
    for path in indices:
        with open(path) as file:
            (agent, index), = json.load(file).items()
        title = "Without compression" if agent == "plain" else "With permessage-deflate"
        results.append((title, judge(index)))
    for title, (counts, noted, failed) in results:
        number = sum(sum(count.values()) for count in counts.values())
        print(f"{title}: {number} cases, {len(noted)} of them not strictly OK, {len(failed)} failed")
        for case in failed:
            print("  FAILED:", *case)
    if cases == "all":
        with open("docs/autobahn.md", "w") as file:
            file.write(document(version, results))
    return any(failed for _, (_, _, failed) in results)


if sys.argv[1] == "spec":
    print(json.dumps(spec(*sys.argv[2:])))
else:
    sys.exit(main(*sys.argv[1:]))
