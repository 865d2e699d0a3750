"""Heartbeats as WakaTime's own client sends them, its offline queue included.

The package has no time zones with it, so this client never sends `TimeZone`: its days are those of UTC.
"""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading

import pytest

from harness import PATIENCE, Up, request, until

BULK = "/api/v1/users/current/heartbeats.bulk"
PLUGIN = "vscode/1.0 vscode-wakatime/1.0"
# Exit codes of the client (wakatime/constants.py).
SUCCESS, API_ERROR, AUTH_ERROR = 0, 102, 104
# 2026-03-01T08:00:00Z
MORNING = 1772352000


class Editor:
    """An editor with the client: a home of its own, which holds the queue, and a project to work on."""

    def __init__(self, up, folder):
        self.up, self.home = up, folder / "home"
        self.project = folder / "demo"
        self.home.mkdir()
        self.project.mkdir()
        (self.home / ".wakatime.cfg").write_text("[settings]\n", encoding="utf-8")

    def file(self, name="main.rs"):
        path = self.project / name
        path.write_text("fn main() {}\n", encoding="utf-8")
        return str(path)

    def wakatime(self, *arguments, extra=None, key=None, url=None):
        """Runs the client as an editor's plugin does; gives its exit code."""
        here = pathlib.Path(__file__).parent
        command = [
            os.path.join(os.path.dirname(sys.executable), "wakatime"),
            "--key", key or self.up.key,
            "--api-url", (url or self.up.url) + BULK,
            "--plugin", PLUGIN,
            "--project", "demo",
            "--hostname", "desk",
            "--timeout", str(PATIENCE),
            *arguments,
        ]  # fmt: skip
        surroundings = {
            **os.environ,
            "HOME": str(self.home),
            "WAKATIME_HOME": str(self.home),
            "PYTHONPATH": str(here / "wakatime"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if extra is not None:
            command.append("--extra-heartbeats")
        done = subprocess.run(
            command, env=surroundings, input=json.dumps(extra) + "\n", text=True,
            capture_output=True, timeout=2 * PATIENCE, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done.returncode

    def beat(self, minute, *arguments, **how):
        """One heartbeat, so many minutes after the morning's start."""
        return self.wakatime("--entity", self.file(), "--write", "--time", str(at(minute)), *arguments, **how)

    def queued(self):
        """The times of the heartbeats that wait in the offline queue."""
        path = self.home / ".wakatime.db"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(path)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'heartbeat_2'").fetchone():
                return []
            rows = database.execute("SELECT DISTINCT heartbeat FROM heartbeat_2").fetchall()
        return sorted(json.loads(text)["time"] for (text,) in rows)

    def log(self):
        path = self.home / ".wakatime.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""


def at(minute):
    return MORNING + 60 * minute + 0.125


def occurred(minute):
    return f"2026-03-01T08:{minute:02}:00.125000Z"


def settled(up, **counts):
    """What the store has in the end; every acknowledged event is there, in one place."""
    until(f"{counts['stored']} are stored", lambda: len(up.events()) >= counts["stored"])
    up.verified(**{"duplicates": 0, "rejected": 0, "quarantined": 0, **counts})
    return up.events()


def batches(up):
    """How many there are."""
    return sum(up.devtrail("status")["store"]["batches"].values())


def day_with(up, events):
    """The metrics of the day, when so many events are in them."""

    def found():
        days = [one for one in up.devtrail("metrics", "show", "me") if one["day"] == "2026-03-01"]
        return days[0] if days and days[0]["events"] == events else None

    return until(f"{events} events are in the metrics", found)


@pytest.fixture
def up():
    with Up() as running:
        yield running


@pytest.fixture
def editor(up, tmp_path):
    return Editor(up, tmp_path)


class LosesReplies:
    """A network that carries requests and loses the replies: it closes as soon as one arrives."""

    def __init__(self, up):
        self.target = up.listen.rsplit(":", 1)

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.lost = 0
        threading.Thread(target=self.carry, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.listener.getsockname()[1]

    def carry(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # the test is over
            with client, socket.create_connection((self.target[0], int(self.target[1]))) as server:
                threading.Thread(target=self.upstream, args=(client, server), daemon=True).start()
                if server.recv(1):
                    self.lost += 1
                client.shutdown(socket.SHUT_RDWR)  # closing alone would wait for the other thread

    @staticmethod
    def upstream(client, server):
        with contextlib.suppress(OSError):  # either side may have closed
            while data := client.recv(65536):
                server.sendall(data)


def test_a_heartbeat_is_stored(up, editor):
    assert editor.beat(1, "--lineno", "7", "--cursorpos", "12", "--category", "debugging") == SUCCESS
    assert editor.queued() == []
    (event,) = settled(up, stored=1)
    assert (event["type"], event["occurred_at"]) == ("heartbeat", occurred(1))
    assert event["id"].startswith("wakatime-")
    data = event["data"]
    expected = {
        "entity": editor.file(), "entity_type": "file", "category": "debugging", "is_write": True,
        "lines": 1, "line": 7, "cursor": 12, "project": "demo", "language": "Rust",
    }  # fmt: skip
    assert {name: data[name] for name in expected} == expected
    trace = up.devtrail("trace", event["id"])[0]
    assert trace["batch_id"].startswith("wakatime-")
    assert up.completed(trace["batch_id"])["counts"]["accepted"] == 1


def test_several_come_at_once(up, editor):
    others = [{"entity": editor.file(f"{n}.rs"), "timestamp": at(n), "is_write": False} for n in range(2, 40)]
    assert editor.beat(1, extra=others) == SUCCESS
    assert editor.queued() == []
    settled(up, stored=39)
    assert batches(up) == 2, "the client sends 25 in a request"
    day_with(up, 39)


def test_active_time_comes_of_heartbeats(up, editor):
    for minute in (0, 5, 12):
        assert editor.beat(minute) == SUCCESS
    day = day_with(up, 3)
    assert day["active_minutes"] == 12
    assert day["active_seconds"] == 12 * 60


def test_an_outage_is_queued_and_delivered_by_the_next_heartbeat(up, editor):
    assert editor.beat(1) == SUCCESS
    assert up.stop() == 0
    for minute in (2, 3, 4):
        assert editor.beat(minute) == API_ERROR
    assert editor.queued() == [at(2), at(3), at(4)]
    up.start()
    assert editor.beat(5) == SUCCESS
    assert editor.queued() == []
    found = [event["occurred_at"] for event in settled(up, stored=5)]
    assert found == [occurred(minute) for minute in (1, 2, 3, 4, 5)]


def test_the_queue_can_be_synced_alone(up, editor):
    up.stop(signal.SIGKILL)
    for minute in (1, 2, 3):
        assert editor.beat(minute) == API_ERROR
    up.start()
    assert editor.wakatime("--sync-offline-activity", "2") == SUCCESS
    assert len(editor.queued()) == 1
    assert editor.wakatime("--sync-offline-activity", "100") == SUCCESS
    assert editor.queued() == []
    settled(up, stored=3)


def test_a_queue_that_is_sent_twice_is_stored_once(up, editor):
    up.stop()
    for minute in (1, 2, 3):
        assert editor.beat(minute) == API_ERROR
    up.start()
    queue, copy = editor.home / ".wakatime.db", editor.home / "copy.db"
    shutil.copy(queue, copy)
    for _ in range(3):
        assert editor.wakatime("--sync-offline-activity", "100") == SUCCESS
        assert editor.queued() == []
        settled(up, stored=3)
        shutil.copy(copy, queue)
    # In another batch, too.
    assert editor.beat(4) == SUCCESS
    settled(up, stored=4)


def test_a_lost_reply_stores_nothing_twice(up, editor):
    with LosesReplies(up) as network:
        assert editor.beat(1, url=network.url) == API_ERROR
        assert network.lost == 1
    assert editor.queued() == [at(1)], "the client does not know that it arrived"
    settled(up, stored=1)
    assert editor.beat(2) == SUCCESS
    assert editor.queued() == []
    settled(up, stored=2)


def test_a_wrong_key_keeps_the_queue(up, editor):
    wrong = "00000000-0000-4000-8000-000000000000"
    assert editor.beat(1, key=wrong) == AUTH_ERROR
    assert editor.queued() == [at(1)]
    basic = base64.b64encode(wrong.encode()).decode()
    status, problem = request(up.url + BULK, b"[]", {"Authorization": f"Basic {basic}"})
    assert (status, problem["code"]) == (401, "unauthenticated")
    assert editor.beat(2) == SUCCESS
    assert editor.queued() == []
    settled(up, stored=2)


def test_a_rejected_heartbeat_does_not_jam_the_queue(up, editor):
    up.stop()
    bad = {"entity": editor.file("bad.rs"), "timestamp": at(2), "lineno": -5}
    assert editor.beat(1, extra=[bad, {"entity": editor.file("good.rs"), "timestamp": at(3)}]) == API_ERROR
    assert len(editor.queued()) == 3
    up.start()
    assert editor.wakatime("--sync-offline-activity", "100") == SUCCESS
    assert editor.queued() == []
    assert "less than 0" in editor.log(), "the client's log says why"
    settled(up, stored=2, rejected=1)
    assert editor.beat(4) == SUCCESS
    settled(up, stored=3, rejected=1)
