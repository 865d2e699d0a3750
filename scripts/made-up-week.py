#!/usr/bin/env python3
"""Prints a week of a developer who does not exist, one event a line: `devtrail send` takes it.

It has what the recorded weeks of tests/data lack: builds, runs of tests, an AI's suggestions, several projects.
The same week comes out each time.
"""

import datetime
import json
import random

DEVELOPER = "made-up"
MONDAY = datetime.datetime(2026, 3, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
# Of each day, Monday first: when work begins and for how many minutes, and in which project.
DAYS = [
    [(8 * 60 + 50, 140, "made-up-shop"), (12 * 60 + 40, 200, "made-up-shop")],
    [(9 * 60 + 15, 165, "made-up-shop"), (13 * 60, 95, "made-up-docs"), (15 * 60 + 10, 130, "made-up-shop")],
    [(10 * 60 + 5, 70, "made-up-tools"), (13 * 60 + 30, 150, "made-up-shop")],
    [(8 * 60 + 30, 190, "made-up-shop"), (13 * 60 + 15, 160, "made-up-tools"), (21 * 60 + 50, 155, "made-up-shop")],
    [(9 * 60 + 40, 120, "made-up-docs"), (13 * 60 + 20, 75, "made-up-shop")],
    [(15 * 60 + 30, 55, "made-up-garden")],
    [],
]
FILES = {
    "made-up-shop": [("src/cart.rs", "rust"), ("src/price.rs", "rust"), ("web/cart.ts", "typescript"),
                     ("migrations/0007.sql", "sql")],
    "made-up-docs": [("guide.md", "markdown"), ("index.md", "markdown")],
    "made-up-tools": [("release.py", "python"), ("deploy.sh", "shell")],
    "made-up-garden": [("src/main.rs", "rust")],
}


def main():
    chance = random.Random(7)
    events = []

    def add(kind, at, data):
        event = {"id": f"made-up-{len(events):05}", "type": kind, "schema_version": "1.0",
                 "occurred_at": at.isoformat(timespec="milliseconds"), "data": data}
        events.append({"developer": DEVELOPER, "event": event})

    for number, day in enumerate(DAYS):
        for begin, length, project in day:
            at = MONDAY + datetime.timedelta(days=number, minutes=begin)
            end = at + datetime.timedelta(minutes=length)
            while at < end:
                work(chance, add, at, project)
                # Now and then there is a pause that is longer than 15 minutes.
                minutes = chance.choice([17, 24]) if chance.random() < 0.012 else chance.uniform(0.3, 3.2)
                at += datetime.timedelta(minutes=minutes)
    for line in events:
        print(json.dumps(line))


def work(chance, add, at, project):
    """One thing that is done at this moment."""
    path, language = chance.choice(FILES[project])
    place = {"project": project, "language": language, "editor": "vscode"}
    added = chance.choice([1, 1, 2, 3, 5, 8])
    kind = chance.random()
    if kind < 0.62:
        add("file.edited", at, {"path": path, "lines_added": added, "lines_removed": chance.choice([0, 0, 1, 2]),
                                "chars_added": added * 31, "chars_removed": chance.randrange(20), **place})
    elif kind < 0.72:
        add("file.saved", at, {"path": path, **place})
    elif kind < 0.82:
        outcome = chance.choices(["accepted", "edited", "rejected", "shown"], [5, 2, 3, 4])[0]
        lines = chance.choice([1, 3, 4, 9])
        add("ai.suggestion", at, {"outcome": outcome, "lines": lines, "chars": lines * 34, **place})
        if outcome in ("accepted", "edited"):
            # Editors report what was taken over as an edit as well.
            after = at + datetime.timedelta(milliseconds=400)
            add("file.edited", after, {"path": path, "lines_added": lines, "chars_added": lines * 34, **place})
    elif kind < 0.90:
        outcome = chance.choices(["succeeded", "failed", "cancelled"], [8, 2, 1])[0]
        add("build.finished", at, {"outcome": outcome, "tool": "cargo", "duration_ms": chance.randrange(4000, 41000),
                                   **place})
    elif kind < 0.96:
        failed = chance.choice([0, 0, 0, 1, 3])
        add("test.finished", at, {"outcome": "failed" if failed else "passed", "passed": 148 - failed,
                                  "failed": failed, "skipped": 2, "duration_ms": chance.randrange(9000, 64000),
                                  **place})
    elif kind < 0.985:
        add("git.commit", at, {"commit": f"{chance.getrandbits(160):040x}", "paths": [path], "files_changed": 1,
                               "lines_added": added * 4, "lines_removed": added, "project": project})
    else:
        add("terminal.command", at, {"command": "git status", "exit_code": 0, "duration_ms": 40, "project": project})


main()
