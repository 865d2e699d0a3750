"""An editor with WakaTime's client in it, and a network between it and Devtrail."""

import contextlib
import json
import os
import pathlib
import socket
import sqlite3
import subprocess
import sys
import threading

from harness import PATIENCE

ONE = "/api/v1/users/current/heartbeats"
BULK = ONE + ".bulk"
PLUGIN = "vscode/1.0 vscode-wakatime/1.0"
# Exit codes of the client (wakatime/constants.py).
SUCCESS, API_ERROR, AUTH_ERROR = 0, 102, 104
# 2026-03-01T08:00:00Z
MORNING = 1772352000


def at(minute):
    return MORNING + 60 * minute + 0.125


def occurred(minute):
    return f"2026-03-01T08:{minute:02}:00.125000Z"


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
