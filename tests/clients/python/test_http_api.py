"""Pastes docs/http-api.md into a shell, block by block, and compares each reply with the one it shows.

Runs under `harness.py with`, on a Devtrail that has taken no batch yet. Needs bash and curl, as the page does.
"""

import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "http-api.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "\x1e"


def blocks():
    """Each shell block with the reply that the page shows for it, None where it shows none."""
    found = [(kind, text) for kind, text in FENCE.findall(PAGE.read_text()) if kind in ("sh", "json")]
    shells = []
    for place, (kind, text) in enumerate(found):
        if kind == "sh":
            shown = found[place + 1 :][:1]
            shells.append((text, json.loads(shown[0][1]) if shown and shown[0][0] == "json" else None))
    return shells


def differences(shown, got, place=""):
    """Where a reply is not as shown. A shown "…" stands for any value, ["…"] for any list."""
    if shown == "…" or shown == ["…"] and isinstance(got, list):
        return []
    if isinstance(shown, dict) and isinstance(got, dict):
        missing = [f"{place}/{name} is missing" for name in shown if name not in got]
        both = [name for name in shown if name in got]
        return missing + [one for name in both for one in differences(shown[name], got[name], f"{place}/{name}")]
    if isinstance(shown, list) and isinstance(got, list) and len(shown) == len(got):
        pairs = enumerate(zip(shown, got))
        return [one for index, (left, right) in pairs for one in differences(left, right, f"{place}/{index}")]
    return [] if shown == got and type(shown) is type(got) else [f"{place or '/'} is {got!r}, the page shows {shown!r}"]


class HttpApiPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.blocks = blocks()
        address = f"URL={os.environ['DEVTRAIL_URL']}\n"
        parts = [re.sub(r"^URL=.*\n", address, text, flags=re.MULTILINE) for text, _ in cls.blocks]
        script = "set -euo pipefail\n" + "".join(f"{part}\nprintf '{MARK}'\n" for part in parts)
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(os.environ["DEVTRAIL_DATA"], Path(folder, "devtrail-data"))
            run = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120)
        cls.error, cls.outputs = run.stderr, run.stdout.split(MARK)[:-1]

    def test_every_block_runs_as_it_is_written(self):
        self.assertEqual((len(self.outputs), self.error), (len(self.blocks), ""))

    def test_every_reply_is_as_shown(self):
        shown = [(reply, output) for (_, reply), output in zip(self.blocks, self.outputs) if reply is not None]
        self.assertGreaterEqual(len(shown), 8, "the page shows fewer replies than it did: is it still read?")
        for reply, output in shown:
            with self.subTest(output=output):
                self.assertEqual(differences(reply, json.loads(output)), [])

    def test_a_reply_that_is_not_as_shown_is_found(self):
        self.assertEqual(differences({"a": [1, "…"], "b": "…"}, {"a": [1, {}], "b": 2, "c": 3}), [])
        self.assertEqual(len(differences({"a": [1, 2], "b": 1}, {"a": [1, 3]})), 2)
        self.assertEqual(len(differences({"a": 1}, {"a": True})), 1)

