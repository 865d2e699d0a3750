//! Formats of time, effective time and local day.

use harness::event;
use runtime::clock;
use serde_json::{Value, json};
use types::time::{Micros, SECOND, rfc3339};

use crate::support::{RawClient, Shared, fresh, good, shared};

const HOUR: Micros = 3600 * SECOND;

fn at(time: &str) -> Value {
    let mut one = event(&fresh("e"));
    one["occurred_at"] = json!(time);
    one
}

/// Times of which each is one.
const GOOD: &[&str] = &[
    "2026-03-01T09:14:58Z",
    "2026-03-01t09:14:58z",
    "2026-03-01T09:14:58+23:59",
    "2026-03-01T09:14:58-23:59",
    "2026-03-01T09:14:58-00:00",
    "2016-12-31T23:59:60Z",
    "2024-02-29T00:00:00Z",
    "2000-01-01T00:00:00Z",
    "2000-01-01T23:58:00+23:58",
];

/// Times that no event can have.
const IMPLAUSIBLE: &[&str] = &[
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "1970-01-01T00:00:00Z",
    "1999-12-31T23:59:59.999999Z",
    "2000-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59",
];

/// What is no RFC 3339 time with an offset.
const NONE: &[&str] = &[
    "2026-03-01T09:14:58",
    "2026-03-01",
    "",
    "Z",
    "never",
    "2026-03-01 09:14:58Z",
    "2026-03-01T09:14:58 Z",
    " 2026-03-01T09:14:58Z",
    "2026-03-01T09:14:58Z ",
    "2026-03-01T09:14Z",
    "2026-03-01T09:14:58.Z",
    "2026-03-01T09:14:58,5Z",
    "2026-03-01T09:14:61Z",
    "2026-03-01T09:60:00Z",
    "2026-03-01T24:00:00Z",
    "2026-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-03-01T09:14:58+24:00",
    "2026-03-01T09:14:58+01:60",
    "2026-03-01T09:14:58+0100",
    "2026-03-01T09:14:58+01",
    "2026-03-01T09:14:58CET",
    "20260301T091458Z",
    "10000-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
    "+2026-03-01T09:14:58Z",
    "\u{ff12}026-03-01T09:14:58Z",
    "2026-03-01T09:14:58\u{2212}01:00",
    "2026-03-01T09:14:58Z\0",
    "1772356498",
];

/// Each with its verdict's code.
fn written() -> Vec<(String, &'static str)> {
    let fractions = (1..=12).map(|digits| format!("2026-03-01T09:14:58.{:0<digits$}Z", 1));
    let long = format!("2026-03-01T09:14:58.{}Z", "1".repeat(10_000));
    let owned = |times: &[&str]| {
        times
            .iter()
            .map(|time| (*time).to_owned())
            .collect::<Vec<String>>()
    };
    let good = owned(GOOD)
        .into_iter()
        .chain(fractions)
        .chain([long])
        .map(|time| (time, ""));
    let implausible = owned(IMPLAUSIBLE)
        .into_iter()
        .map(|time| (time, "time_implausible"));
    good.chain(implausible)
        .chain(owned(NONE).into_iter().map(|time| (time, "time_invalid")))
        .collect()
}

/// Contract: times.format, times.implausible
#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_write_a_time_has_its_verdict() {
    let up = shared().await;
    let raw_client = RawClient::to(&up);
    let cases = written();
    let events: Vec<String> = cases.iter().map(|(time, _)| at(time).to_string()).collect();
    let reply = raw_client.validated(&events).await;
    let mut message = vec![""; cases.len()];
    for exception in reply["exceptions"].as_array().unwrap() {
        message[exception["index"].as_u64().unwrap() as usize] =
            exception["code"].as_str().unwrap();
        assert_eq!(exception["pointer"], "/occurred_at", "{exception}");
    }
    for ((time, code), message) in cases.iter().zip(message) {
        assert_eq!(message, *code, "{time:?}");
    }
    // The same rule holds for the envelope's time; whatever is one is taken.
    for (time, code) in cases.iter().filter(|(time, _)| time.len() < 100) {
        let mut envelope: Value = serde_json::from_str(&good()).unwrap();
        envelope["sent_at"] = json!(time);
        if *code == "time_invalid" {
            assert_eq!(
                raw_client
                    .body_refused(envelope.to_string(), "invalid_envelope")
                    .await["pointer"],
                "/sent_at"
            );
        } else {
            raw_client.taken(envelope.to_string()).await;
        }
    }
    raw_client.still_fine().await;
}

/// The row of the store's that an event of this id became.
async fn stored(up: &Shared, id: &str) -> (Micros, String, String) {
    let sql = format!("SELECT effective_at, local_day, body FROM events WHERE event_id = '{id}'");
    up.until("the event is stored", || {
        let row = up.database().query_row(&sql, [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?))
        });
        row.ok()
            .map(|(at, day, body)| (at, day, String::from_utf8(body).unwrap()))
    })
    .await
}

/// Sends one event in an envelope; gives its verdict's code and its id.
async fn sent(
    raw_client: &RawClient,
    sent_at: &str,
    occurred_at: &str,
    client: Value,
) -> (String, String) {
    let one = at(occurred_at);
    let mut envelope: Value = serde_json::from_str(&good()).unwrap();
    (envelope["sent_at"], envelope["client"], envelope["events"]) =
        (json!(sent_at), client, json!([one]));
    let reply = raw_client.taken(envelope.to_string()).await;
    let code = reply["exceptions"][0]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (code, one["id"].as_str().unwrap().to_owned())
}

/// Contract: times.sent-at, times.fast-clock, times.original, times.offline
#[tokio::test(flavor = "multi_thread")]
async fn only_a_fast_clocks_times_are_moved_back() {
    let up = shared().await;
    let raw_client = RawClient::to(&up);
    let now = clock::now();
    for (ahead, moved) in [
        (2 * HOUR, true),
        (30 * SECOND, false),
        (-1000 * HOUR, false),
    ] {
        let occurred = now + ahead - HOUR;
        let sent_at = rfc3339(now + ahead);
        let (code, id) = sent(&raw_client, &sent_at, &rfc3339(occurred), json!({})).await;
        assert_eq!(code, "");
        let (effective, _, body) = stored(&up, &id).await;
        let difference = occurred - effective;
        // Received after `now`: the difference is at most what it was then.
        let expected = if moved { ahead - HOUR..=ahead } else { 0..=0 };
        assert!(
            expected.contains(&difference),
            "{ahead}: moved by {difference}"
        );
        assert!(body.contains(&rfc3339(occurred)), "{body}");
    }
    // Two days ahead, but so is the clock: plausible.
    let ahead = now + 48 * HOUR;
    assert_eq!(
        sent(&raw_client, &rfc3339(ahead), &rfc3339(ahead), json!({}))
            .await
            .0,
        ""
    );
    for (occurred, code) in [(now + 23 * HOUR, ""), (now + 25 * HOUR, "time_implausible")] {
        assert_eq!(
            sent(&raw_client, &rfc3339(now), &rfc3339(occurred), json!({}))
                .await
                .0,
            code
        );
    }
}

/// Contract: times.local-day
#[tokio::test(flavor = "multi_thread")]
async fn the_local_day_is_the_clients_zones_or_the_offsets() {
    let up = shared().await;
    let raw_client = RawClient::to(&up);
    for (client, occurred_at, day) in [
        (
            json!({"time_zone": "Europe/Berlin"}),
            "2026-03-01T23:30:00Z",
            "2026-03-02",
        ),
        (
            json!({"time_zone": "America/New_York"}),
            "2026-03-01T03:00:00+01:00",
            "2026-02-28",
        ),
        // Summer and winter time.
        (
            json!({"time_zone": "Europe/Berlin"}),
            "2026-07-01T22:30:00Z",
            "2026-07-02",
        ),
        (
            json!({"time_zone": "Europe/Berlin"}),
            "2026-01-01T22:30:00Z",
            "2026-01-01",
        ),
        (
            json!({"time_zone": "Mars/Olympus"}),
            "2026-03-01T23:30:00Z",
            "2026-03-01",
        ),
        (
            json!({"time_zone": "Mars/Olympus"}),
            "2026-03-02T00:30:00+02:00",
            "2026-03-02",
        ),
        (
            json!({"time_zone": 7}),
            "2026-03-02T00:30:00+23:59",
            "2026-03-02",
        ),
        (json!({}), "2026-03-01T23:59:59-23:59", "2026-03-01"),
        (json!("none"), "2026-03-01T00:00:00+14:00", "2026-03-01"),
        (json!(null), "2026-03-01T00:00:00Z", "2026-03-01"),
    ] {
        let (code, id) = sent(
            &raw_client,
            "2026-03-02T00:00:00Z",
            occurred_at,
            client.clone(),
        )
        .await;
        assert_eq!(code, "", "{client} {occurred_at}");
        assert_eq!(stored(&up, &id).await.1, day, "{client} {occurred_at}");
    }
}
