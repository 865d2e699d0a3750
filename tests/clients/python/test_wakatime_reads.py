"""Clients that read, of three languages: they understand what Devtrail's metrics are, each in its own types."""

import datetime
import json
import os
import pathlib
import subprocess
import sys

import pytest

from editor import Editor
from harness import PATIENCE, Up, program, until

HERE = pathlib.Path(__file__).parent
# The client sends no zone, so the developer's counts: one in which it is about noon, and no midnight comes between.
WEST = datetime.datetime.now(datetime.UTC).hour - 12
ZONE = f"Etc/GMT{WEST:+d}"
CLOCK = datetime.timezone(datetime.timedelta(hours=-WEST))
YESTERDAY = datetime.datetime.now(CLOCK).date() - datetime.timedelta(days=1)
NOON = datetime.datetime.combine(YESTERDAY, datetime.time(12), CLOCK).timestamp()
YESTERDAY = YESTERDAY.isoformat()
# What is sent of today, in seconds.
TODAY = 60


def explained(up, day):
    """The day's time by project, language and editor, from what explains it."""
    status, found = up.get(f"/v1/metrics/daily/{day}/explain")
    assert status == 200, found
    return sum(part["counted_ms"] for part in found["parts"]) / 1000


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """Twelve minutes of yesterday and one of now, sent by WakaTime's own client."""
    with Up() as running:
        printed([program("devtrail"), "developers", "set", "me", "--zone", ZONE, "--data", running.folder])
        until("the zone counts", lambda: running.get("/api/v1/users/current")[1]["data"]["timezone"] == ZONE)
        editor = Editor(running, tmp_path_factory.mktemp("editor"))
        now = int(datetime.datetime.now(CLOCK).timestamp())
        for time in (NOON, NOON + 300, NOON + 720, now - TODAY, now):
            assert editor.wakatime("--entity", editor.file(), "--language", "Rust", "--write", "--time", str(time)) == 0
        bar = "/api/v1/users/current/statusbar/today"
        until("all is computed", lambda: running.get(bar)[1]["data"]["grand_total"]["text"] == "1 min")
        assert explained(running, YESTERDAY) == 720
        yield running


def printed(command, **surroundings):
    done = subprocess.run(
        command, env={**os.environ, **surroundings}, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_client_shows_today(up):
    """`wakatime --today` knows one host, so the test puts another in its place."""
    path = os.pathsep.join([str(HERE / "wakatime")])
    shown = printed([sys.executable, str(HERE / "wakatime" / "today.py"), up.url, up.key], PYTHONPATH=path)
    assert shown.strip() == "1 min"


def test_rust_clients_understand_every_route(up):
    read = json.loads(printed([os.environ["DEVTRAIL_READERS"], up.url, up.key, YESTERDAY]))
    waka, wakapi = read["waka"], read["wakapi"]
    seconds = explained(up, YESTERDAY)
    assert waka["user"]["id"] == "me"
    assert waka["status_bar"]["data"]["grand_total"]["text"] == "1 min"
    (day,) = waka["summaries"]["data"]
    assert (day["grand_total"]["total_seconds"], day["grand_total"]["text"]) == (seconds, "12 mins")
    for rows, name in (("projects", "demo"), ("languages", "rust"), ("editors", "vscode"), ("machines", "desk")):
        assert [(row["name"], row["total_seconds"], row["percent"]) for row in day[rows]] == [(name, seconds, 100.0)]
    assert round(waka["stats"]["total_seconds"]) == round(waka["all_time"]["total_seconds"]) == seconds + TODAY
    assert [(one["project"], one["time"], one["duration"]) for one in waka["durations"]["data"]] == [
        ("demo", NOON, seconds)
    ]
    assert len(waka["heartbeats"]["data"]) == 3
    assert [one["name"] for one in waka["projects"]] == ["demo"]
    assert [one["editor"] for one in waka["user_agents"]["data"]] == ["vscode"]
    assert [one["value"] for one in waka["machine_names"]["data"]] == ["desk"]
    assert (wakapi["summaries"], wakapi["durations"]) == (seconds, seconds)
    assert round(wakapi["all_time"]) == round(wakapi["stats"]) == seconds + TODAY
    assert len(wakapi["heartbeats"]) == 3


def test_the_javascript_client_reads_ranges(up):
    script = HERE.parent / "node" / "wakatime-reads.cjs"
    read = json.loads(printed(["node", str(script), up.url, up.key, YESTERDAY]))
    seconds = explained(up, YESTERDAY)
    assert read == {"summaries": seconds, "stats": seconds, "durations": seconds, "user": "me"}
