//! Queries of what is stored: batches and metrics, each developer's own.

use harness::{DevtrailUp, event};
use runtime::clock;
use serde_json::{Value, json};
use types::time::rfc3339;

use crate::problem::problem;
use crate::support::{RawClient, body_of, fresh, good, shared, started};

/// The answer of the batch's route, once it is there.
async fn asked(
    up: &DevtrailUp,
    client: &RawClient,
    id: &str,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    harness::until(
        &format!("{id} is reported as expected; {}", up.log()),
        async || {
            let answer = client.get(&format!("/v1/batches/{id}")).await;
            if answer.status == 404 {
                problem(&answer, "batch_unknown");
                return None;
            }
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (200, Some("application/json"))
            );
            Some(answer.json()).filter(|reply| fits(reply))
        },
    )
    .await
}

/// Contract: batches.route, batches.submissions, batches.unknown, errors.batch_unknown
#[tokio::test(flavor = "multi_thread")]
async fn a_stored_batch_is_shown_with_all_its_submissions() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let id = fresh("b");
    problem(
        &client.get(&format!("/v1/batches/{id}")).await,
        "batch_unknown",
    );
    let events = |count: usize| {
        let events: Vec<Value> = (0..count).map(|_| event(&fresh("e"))).collect();
        body_of(&id, &json!(events).to_string())
    };
    let first = client.taken(events(1)).await;
    let second = client.taken(events(2)).await;
    let is_done = |reply: &Value| {
        reply["submissions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["state"] == "completed")
    };
    let reply = asked(&up, &client, &id, |reply| {
        reply["submissions"].as_array().unwrap().len() == 2 && is_done(reply)
    })
    .await;
    let submissions = reply["submissions"].as_array().unwrap();
    for (one, sent) in submissions.iter().zip([&second, &first]) {
        for name in ["stream_sequence", "correlation_id", "batch_id", "counts"] {
            assert_eq!(one[name], sent[name], "{name}");
        }
        assert_eq!(
            (&one["need"], &one["done"]),
            (&json!(["aggregate", "normalize", "alert"]), &one["need"])
        );
        let time = |name: &str| one[name].as_str().unwrap().to_owned();
        assert!(
            time("received_at") <= time("published_at")
                && time("published_at") <= time("persisted_at"),
            "{one}"
        );
    }
    let mut top = reply.clone();
    top.as_object_mut().unwrap().remove("submissions");
    assert_eq!(
        top, submissions[0],
        "the newest one's members stand at the top level as well"
    );
}

/// Contract: batches.states, batches.jobs
#[tokio::test(flavor = "multi_thread")]
async fn states_and_jobs_are_shown_as_the_store_has_them() {
    let up = started().await;
    let client = RawClient::to(&up);
    let id = fresh("b");
    client
        .taken(body_of(&id, &format!("[{}]", event(&fresh("e")))))
        .await;
    asked(&up, &client, &id, |reply| reply["state"] == "completed").await;
    let database = rusqlite::Connection::open(up.path("devtrail.db")).unwrap();
    database
        .busy_timeout(std::time::Duration::from_secs(30))
        .unwrap();
    // Bits: 1 aggregate, 2 normalize, 4 alert. A lease far ahead keeps the sweep from going on with it.
    for (state, done, failed, jobs) in [
        ("persisted", 0, 0, json!([[], []])),
        ("triggered", 3, 0, json!([["aggregate", "normalize"], []])),
        (
            "failed",
            3,
            4,
            json!([["aggregate", "normalize"], ["alert"]]),
        ),
        (
            "completed",
            7,
            0,
            json!([["aggregate", "normalize", "alert"], []]),
        ),
    ] {
        let sql = format!(
            "UPDATE batches SET state = '{state}', done = {done}, failed = {failed}, lease_until = 9000000000000000"
        );
        assert_eq!(database.execute(&sql, []).unwrap(), 1);
        let reply = asked(&up, &client, &id, |_| true).await;
        assert_eq!(
            (&reply["state"], json!([reply["done"], reply["failed"]])),
            (&json!(state), jobs)
        );
    }
}

/// Contract: batches.submissions
#[tokio::test(flavor = "multi_thread")]
async fn of_more_than_1000_submissions_the_newest_are_shown() {
    let up = started().await;
    let client = RawClient::to(&up);
    let id = fresh("b");
    let mut wire = client.wire().await;
    for _ in 0..1001 {
        wire.send(client.post(&[], body_of(&id, &format!("[{}]", event(&fresh("e"))))))
            .await;
        assert_eq!(wire.answer().await.status, 202);
    }
    up.until("all are stored", || {
        (up.count("SELECT count(*) FROM batches") == 1001).then_some(())
    })
    .await;
    let reply = asked(&up, &client, &id, |_| true).await;
    let message: Vec<u64> = reply["submissions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["stream_sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(message, (2..=1001).rev().collect::<Vec<u64>>());
}

/// Contract: metrics.route, metrics.defaults, metrics.empty-days
#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_shown_for_the_requested_days() {
    let up = started().await;
    let client = RawClient::to(&up);
    let on = |time: String| {
        let mut one = event(&fresh("e"));
        one["occurred_at"] = json!(time);
        one.to_string()
    };
    let day = 24 * 3600 * 1_000_000;
    let now = clock::now();
    let date = |ago: i64| rfc3339(now - ago * day)[..10].to_owned();
    let events: Vec<String> = [40, 20, 10, 9]
        .map(|ago| on(rfc3339(now - ago * day)))
        .into();
    let reply = client.validated(&events).await;
    let id = reply["batch_id"].as_str().unwrap();
    asked(&up, &client, id, |reply| reply["state"] == "completed").await;
    let days = async |query: &str| {
        let answer = client.get(&format!("/v1/metrics/daily{query}")).await;
        assert_eq!(answer.status, 200);
        let reply = answer.json();
        let days = reply["days"].as_array().unwrap().iter();
        let days: Vec<String> = days
            .map(|day| day["day"].as_str().unwrap().to_owned())
            .collect();
        (
            reply["from"].as_str().unwrap().to_owned(),
            reply["to"].as_str().unwrap().to_owned(),
            days,
        )
    };
    let first = date(20);
    let last = date(10);
    let message = days(&format!("?from={first}&to={last}")).await;
    assert_eq!(
        message,
        (first.clone(), last.clone(), vec![first.clone(), last])
    );
    let (from, to, message) = days("").await;
    assert_eq!(message, [date(20), date(10), date(9)]);
    // Midnight may have passed meanwhile.
    let later = clock::now();
    let tomorrow = [now, later].map(|now| rfc3339(now + day)[..10].to_owned());
    let earliest = [now, later].map(|now| rfc3339(now - 28 * day)[..10].to_owned());
    assert!(
        tomorrow.contains(&to) && earliest.contains(&from),
        "{from} {to}"
    );
    let (from, ..) = days(&format!("?to={first}")).await;
    assert_eq!(from, date(49));
}

/// Contract: stored.own-data
#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_anothers_data() {
    let up = shared().await;
    let mine = RawClient::to(&up);
    let made = up.devtrail(&["keys", "create", "eve"]);
    let eve = RawClient {
        url: mine.url.clone(),
        key: String::from_utf8(made.stdout).unwrap().trim().to_owned(),
    };
    let known = async || (eve.get("/v1/metrics/daily").await.status != 401).then_some(());
    harness::until("eve's key is known", known).await;
    let reply = mine.taken(good()).await;
    let id = reply["batch_id"].as_str().unwrap();
    asked(&up, &mine, id, |reply| reply["state"] == "completed").await;
    problem(
        &eve.get(&format!("/v1/batches/{id}")).await,
        "batch_unknown",
    );
    let days = "/v1/metrics/daily?from=2026-02-01&to=2026-03-31";
    assert_eq!(eve.get(days).await.json()["days"], json!([]));
    assert_ne!(mine.get(days).await.json()["days"], json!([]));
    for path in [days, &format!("/v1/batches/{id}")] {
        let answer = mine
            .ask(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
            .await;
        problem(&answer, "unauthenticated");
    }
}
