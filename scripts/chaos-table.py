"""Writes the figures of `make chaos` into a page: chaos-table.py FOLDER PAGE RUNS.

It replaces what is between the page's two marks. It writes nothing and exits 1 if the folder does not have exactly
RUNS runs, or if one of them has findings."""

import collections
import json
import pathlib
import sys

folder, page, wanted = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
runs = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
if len(runs) != wanted:
    sys.exit(f"chaos-table.py: {folder} has {len(runs)} runs, {wanted} were made; {page} is left as it is.")
wrong = [f"{run['run']}-{run['store']}-{run['seed']}" for run in runs if run["findings"]]
if wrong:
    sys.exit(f"chaos-table.py: there are findings in {', '.join(wrong)}; {page} is left as it is.")

groups = collections.defaultdict(list)
for run in runs:
    groups[run["run"], run["store"]].append(run)

head = ["run", "store", "runs", "seconds each", "faults", "requests", "retries"]
head += ["acknowledged events", "lost", "doubled", "longest outage a client saw"]
lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
for (name, store), members in sorted(groups.items()):
    total = lambda field: f"{sum(run[field] for run in members):,}"
    faults = sum(sum(run["faults"].values()) for run in members)
    longest = max(run["longest_outage_ms"] for run in members) / 1000
    seconds = max(run["seconds"] for run in members) or "–"
    cells = [name, store, len(members), seconds, f"{faults:,}", total("requests"), total("retries")]
    cells += [total("acknowledged_events"), total("lost"), total("doubled"), f"{longest:.1f} s"]
    lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")

kinds = collections.Counter()
for run in runs:
    kinds.update(run["faults"])
lines += ["", "| fault | times |", "|---|---|"]
lines += [f"| {kind} | {count} |" for kind, count in sorted(kinds.items())]

begin, end = "<!-- figures -->", "<!-- end of figures -->"
before, rest = page.read_text().split(begin)
page.write_text(before + begin + "\n\n" + "\n".join(lines) + "\n\n" + end + rest.split(end)[1])
