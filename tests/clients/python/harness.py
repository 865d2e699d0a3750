"""A real `devtrail up` on a temporary folder, and what the tests ask of it.

    harness.py with COMMAND...   runs COMMAND beside one, with DEVTRAIL_URL, DEVTRAIL_KEY and DEVTRAIL_DATA set, and
                                 looks whether all that it was acknowledged is stored
    harness.py stored ID         prints the stored event of that id (folder: DEVTRAIL_DATA)

scripts/test-clients.sh sets DEVTRAIL_BIN, the folder of the programs, and DEVTRAIL_NATS_SERVER.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

# A start or a condition that takes longer has failed: the machines are slow, not that slow.
PATIENCE = 60
# A whole client that takes longer hangs.
LONGEST = 900

# Loopback: never through a proxy.
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def until(what, condition):
    """Waits until the condition gives something, and returns that."""
    deadline = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain until {what}"
        time.sleep(0.05)


def request(url, body=None, headers=None):
    """One request: its status and its body, from JSON where it is JSON. Errors are answers, too."""
    if body is not None:  # urllib would call it a form
        headers = {"Content-Type": "application/json", **(headers or {})}
    try:
        with HTTP.open(urllib.request.Request(url, body, headers or {}), timeout=PATIENCE) as reply:
            status, text = reply.status, reply.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    return status, json.loads(text) if text[:1] in (b"{", b"[") else text


def rows(folder, query, values=()):
    """Rows of the database of the `devtrail up` on a folder."""
    with contextlib.closing(sqlite3.connect(f"file:{folder}/devtrail.db?mode=ro", uri=True)) as database:
        return database.execute(query, values).fetchall()


def stored(folder, event_id):
    """The stored event of developer `me`, as JSON, or None."""
    found = rows(folder, "SELECT body FROM events WHERE developer = 'me' AND event_id = ?", [event_id])
    return json.loads(found[0][0]) if found else None


class Up:
    """One `devtrail up`. It keeps its port over a restart, as editors keep its address."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="devtrail-clients-")
        self.listen = "127.0.0.1:0"
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process is None:
            self.start()  # one that was killed left its nats-server, which only the next `up` stops
        assert self.stop() == 0, self.log()
        shutil.rmtree(self.folder)

    def start(self):
        path = pathlib.Path(self.folder, "addresses.json")
        path.unlink(missing_ok=True)
        command = [program("devtrail"), "up", "--data", self.folder, "--listen", self.listen, "--nats-port", "0"]
        with open(f"{self.folder}/up.log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(f"devtrail up is ready\n{self.log()}", self.ready)

    def ready(self):
        assert self.process.poll() is None, f"devtrail up has ended:\n{self.log()}"
        path = pathlib.Path(self.folder, "addresses.json")
        if not path.exists():
            return False
        self.url = json.loads(path.read_text(encoding="utf-8"))["collector"]
        self.listen = self.url.removeprefix("http://")
        self.key = pathlib.Path(self.folder, "api-key").read_text(encoding="utf-8").strip()
        try:
            return request(f"{self.url}/health/ready")[0] == 200
        except OSError:
            return False

    def stop(self, how=signal.SIGTERM):
        process, self.process = self.process, None
        process.send_signal(how)
        return process.wait(timeout=PATIENCE)

    def log(self):
        path = pathlib.Path(self.folder, "up.log")
        return "\n".join(path.read_text(encoding="utf-8").splitlines()[-20:]) if path.exists() else ""

    def devtrail(self, *arguments):
        """What a command of `devtrail` prints with `--json`; it must succeed."""
        command = [program("devtrail"), *arguments, "--json", "--data", self.folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def verified(self, **counts):
        """Each acknowledged event is in exactly one place, and there are so many of each."""
        report = self.devtrail("verify")
        assert report["findings"] == [], report
        assert {name: report[name] for name in counts} == counts, report

    def get(self, path):
        return request(self.url + path, headers={"Authorization": f"Bearer {self.key}"})

    def completed(self, batch_id):
        """The batch as GET /v1/batches/{id} shows it, once its jobs are done."""

        def asked():
            status, batch = self.get(f"/v1/batches/{batch_id}")
            assert status == 200 or batch["retryable"], batch  # not stored yet, or no worker answers yet
            return batch if status == 200 and batch["state"] == "completed" else None

        return until(f"batch {batch_id} is completed", asked)

    def stored(self, event_id):
        """The stored event; it must come to be there."""
        return until(f"{event_id} is stored", lambda: stored(self.folder, event_id))

    def events(self):
        """Every stored event, in the order of their times."""
        found = rows(self.folder, "SELECT body FROM events ORDER BY effective_at, event_id")
        return [json.loads(body) for (body,) in found]


def program(name):
    return os.path.join(os.environ["DEVTRAIL_BIN"], name)


def main(what, *arguments):
    if what == "stored":
        print(json.dumps(stored(os.environ["DEVTRAIL_DATA"], *arguments)))
        return 0
    with Up() as up:
        settings = {"DEVTRAIL_URL": up.url, "DEVTRAIL_KEY": up.key, "DEVTRAIL_DATA": up.folder}
        done = subprocess.run(arguments, env={**os.environ, **settings}, timeout=LONGEST, check=False)
        up.verified()  # whatever was sent
        return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
