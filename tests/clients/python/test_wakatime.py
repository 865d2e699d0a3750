"""Heartbeats as WakaTime's own client sends them, its offline queue included.

The package has no time zones with it, so this client never sends `TimeZone`: its days are those of UTC.
"""

import base64
import shutil
import signal

import pytest

from editor import API_ERROR, AUTH_ERROR, BULK, ONE, SUCCESS, Editor, LosesReplies, at, occurred
from harness import Up, request, until


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


def test_the_address_for_one_heartbeat_takes_several(up, editor):
    others = [{"entity": editor.file("2.rs"), "timestamp": at(2)}]
    assert editor.beat(1, "--api-url", up.url + ONE, extra=others) == SUCCESS
    assert editor.queued() == []
    settled(up, stored=2)


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


def test_a_heartbeat_with_a_detail_of_no_use_counts(up, editor):
    odd = {"entity": editor.file("odd.rs"), "timestamp": at(2), "lineno": -5}
    assert editor.beat(1, extra=[odd]) == SUCCESS
    assert editor.queued() == []
    settled(up, stored=2)


def test_a_rejected_heartbeat_does_not_jam_the_queue(up, editor):
    up.stop()
    # Too late for seconds, too early for milliseconds.
    bad = {"entity": editor.file("bad.rs"), "timestamp": 300_000_000_000}
    assert editor.beat(1, extra=[bad, {"entity": editor.file("good.rs"), "timestamp": at(3)}]) == API_ERROR
    assert len(editor.queued()) == 3
    up.start()
    assert editor.wakatime("--sync-offline-activity", "100") == SUCCESS
    assert editor.queued() == []
    assert "time" in editor.log(), "the client's log says why"
    settled(up, stored=2, rejected=1)
    assert editor.beat(4) == SUCCESS
    settled(up, stored=3, rejected=1)
