"""CloudEvents as the Python SDK of the CloudEvents project makes them."""

import datetime
import json
import uuid

import pytest
from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from harness import request

ZONE = datetime.timezone(datetime.timedelta(hours=1))


def event(kind="file.saved", data=None, **attributes):
    """An event at a plausible time, with an extension of the sender's own."""
    known = {
        "id": f"python-{uuid.uuid4()}",
        "type": kind,
        "source": "/editors/python test",
        "time": datetime.datetime(2026, 3, 1, 9, 14, 58, 1000, ZONE),
        "datacontenttype": "application/json",
        "team": "größe 100%",
    }
    return CloudEvent({**known, **attributes}, data or {"path": "src/main.rs", "project": "demo"})


def batch(events):
    """The SDK has no batch of its own; the specification makes it of structured events."""
    body = b"[" + b",".join(JSONFormat().write(one) for one in events) + b"]"
    return http.HTTPMessage({"content-type": "application/cloudevents-batch+json"}, body)


def as_stored(sent):
    """The mapping of docs/contract.md: two names change, nothing else."""
    mapped = json.loads(JSONFormat().write(sent))
    mapped["occurred_at"] = mapped.pop("time")
    if "schemaversion" in mapped:
        mapped["schema_version"] = mapped.pop("schemaversion")
    return mapped


def send(up, message, **headers):
    """Sends a message of the SDK's; it must be acknowledged."""
    headers = {**message.headers, "Authorization": f"Bearer {up.key}", **headers}
    status, reply = request(f"{up.url}/v1/events", message.body, headers)
    assert status in (200, 202), reply
    return reply


MODES = {
    "structured": http.to_structured_event,
    "binary": http.to_binary_event,
    "batch": lambda sent: batch([sent]),
}


@pytest.mark.parametrize("mode", MODES)
def test_what_was_sent_is_stored(up, mode):
    sent = event("test.finished", {"outcome": "passed", "passed": 12, "flaky": 1}, schemaversion="1.1")
    reply = send(up, MODES[mode](sent))
    assert reply["counts"] == {"received": 1, "accepted": 1, "duplicate": 0, "rejected": 0, "quarantined": 0}
    assert up.completed(reply["batch_id"])["counts"] == reply["counts"]
    assert up.stored(sent.get_id()) == as_stored(sent)
    steps = [step["step"] for step in up.devtrail("trace", sent.get_id())[0]["steps"]]
    assert {"received", "persisted", "completed"} <= set(steps)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_again_is_the_same_batch(up, mode):
    message = MODES[mode](event())
    first, second = send(up, message), send(up, message)
    assert not first["duplicate_batch"]
    assert second == {**first, "duplicate_batch": True, "correlation_id": second["correlation_id"]}
    assert len(up.completed(first["batch_id"])["submissions"]) == 1


def test_an_event_that_comes_in_every_mode_is_stored_once(up):
    sent = event()
    replies = [send(up, to_message(sent), Prefer="wait=30") for to_message in MODES.values()]
    assert [reply["durability"] for reply in replies] == ["stored"] * 3
    assert up.stored(sent.get_id()) == as_stored(sent)
    assert len([one for one in up.events() if one["id"] == sent.get_id()]) == 1


def test_a_bad_event_does_not_hold_up_its_neighbours(up):
    first, last = event(), event("git.push", {"branch": "main"})
    bad = event("file.edited", {"path": "src/main.rs", "lines_added": -1})
    unknown = event("coffee.drunk", {"cups": 1})
    reply = send(up, batch([first, bad, unknown, last]), **{"Devtrail-Batch-Id": "python-mixed"})
    assert reply["batch_id"] == "python-mixed"
    assert reply["counts"] == {"received": 4, "accepted": 2, "duplicate": 0, "rejected": 1, "quarantined": 1}
    found = [(one["index"], one["id"], one["code"]) for one in reply["exceptions"]]
    assert found == [(1, bad.get_id(), "schema_invalid"), (2, unknown.get_id(), "type_unknown")]
    assert reply["exceptions"][0]["pointer"] == "/data/lines_added"
    assert up.completed("python-mixed")["counts"] == reply["counts"]
    assert [up.stored(one.get_id()) for one in (first, last)] == [as_stored(first), as_stored(last)]


def test_an_event_without_time_is_rejected_by_the_name_it_was_sent_with(up):
    message = http.to_structured_event(event())
    body = json.loads(message.body)
    del body["time"]
    reply = send(up, http.HTTPMessage(message.headers, json.dumps(body).encode()))
    (refused,) = reply["exceptions"]
    assert (refused["id"], refused["code"], refused["pointer"]) == (body["id"], "time_invalid", "/time")


def test_a_wrong_key_is_told_so(up):
    message = http.to_structured_event(event())
    headers = {**message.headers, "Authorization": f"Bearer {uuid.uuid4()}"}
    status, problem = request(f"{up.url}/v1/events", message.body, headers)
    assert (status, problem["code"], problem["retryable"]) == (401, "unauthenticated", False)


def test_nothing_is_lost_or_there_twice(up):
    sent = event("test.finished", {"outcome": "failed", "failed": 2})
    up.completed(send(up, batch([sent, event()]))["batch_id"])
    report = up.devtrail("verify")
    assert report["findings"] == []
    assert report["stored"] == len(up.events())
    day = next(day for day in up.devtrail("metrics", "show", "me") if day["day"] == "2026-03-01")
    assert day["test_runs"]["failed"] == 1
    assert day["saves"] == len([one for one in up.events() if one["type"] == "file.saved"])
