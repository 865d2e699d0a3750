//! A developer's alerts, asked for or as they come: each in its place, none lost, none of anybody else.

mod bounds;
mod outages;
mod pages;
mod reader;
mod watch;

use async_nats::jetstream::Context;
use harness::{Client, Deployment, Engine, envelope};
use serde_json::{Value, json};
use types::severity::Severity;

use reader::AlertReader;

fn build(id: &str, seconds_ago: i64, outcome: &str) -> Value {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds_ago);
    json!({"id": id, "type": "build.finished", "occurred_at": at.to_string(), "data": {"outcome": outcome}})
}

fn forced_push(id: &str, at: &str) -> Value {
    json!({"id": id, "type": "git.push", "occurred_at": at, "data": {"branch": "topic", "force": true}})
}

/// A page of the alerts by HTTP.
async fn polled(client: &Client, query: &str) -> Value {
    let reply = client.get_with_key(&format!("/v1/alerts{query}")).await;
    assert_eq!(reply.status(), 200, "{query}");
    reply.json().await.unwrap()
}

/// The alerts of a page.
fn alerts(page: &Value) -> &Vec<Value> {
    page["alerts"].as_array().unwrap()
}

/// Publishes an alert to ALERTS past the workers, in their form; gives its sequence.
async fn publish(js: &Context, developer: &str, number: usize, more: &Value) -> u64 {
    let mut alert = json!({
        "alert_id": format!("a{number}"), "revision": 0, "state": "raised", "push": true, "severity": "high",
        "title": format!("Alert {number}"), "why": "It is a test.", "actions": ["Look.", "Go on."],
    });
    for (name, value) in more.as_object().unwrap() {
        alert[name] = value.clone();
    }
    let subject = format!("alerts.{}.{developer}", alert["severity"].as_str().unwrap());
    let sent = js.publish(subject, alert.to_string().into()).await.unwrap();
    sent.await.unwrap().sequence
}

/// Contract: alerts.poll, alerts.next, alerts.stream, alerts.own, alerts.published-at, scopes.alerts-read
async fn an_alert_comes_both_ways_and_so_does_its_retraction(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let bob = deployment.client(client.url(), "bob").await;
    let mut streamed = AlertReader::open(&client, None).await;
    let mut of_bob = AlertReader::open(&bob, None).await;
    let failed: Vec<Value> = (0..5)
        .map(|number| build(&format!("failed{number}"), 50 - 10 * number, "failed"))
        .collect();
    client.send(&envelope("b1", &failed)).await;
    let raised = streamed.next_of("failing-builds").await;
    assert_eq!(
        (
            raised.event.as_str(),
            &raised.alert["state"],
            &raised.alert["revision"]
        ),
        ("raised", &json!("raised"), &json!(0))
    );
    assert_eq!(raised.alert["sequence"], raised.id);
    // Late: it was between two of them.
    client
        .send(&envelope("b2", &[build("late", 25, "succeeded")]))
        .await;
    let retracted = streamed.next_of("failing-builds").await;
    assert_eq!(
        (retracted.event.as_str(), &retracted.alert["revision"]),
        ("retracted", &json!(1))
    );
    assert!(retracted.id > raised.id);
    assert_eq!(retracted.alert["alert_id"], raised.alert["alert_id"]);

    let page = polled(&client, "").await;
    let of_rule: Vec<&Value> = alerts(&page)
        .iter()
        .filter(|alert| alert["rule"] == "failing-builds")
        .collect();
    assert_eq!(
        of_rule,
        [&raised.alert, &retracted.alert],
        "the same, in order"
    );
    let at = of_rule[0]["published_at"].as_str().unwrap();
    let at: jiff::Timestamp = at.parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(at).as_secs() < 60);
    // From there on there is nothing, and nothing of ada's is bob's.
    let next = page["next"].as_u64().unwrap();
    let rest = polled(&client, &format!("?after={next}")).await;
    assert_eq!(rest, json!({"alerts": [], "next": next}));
    assert_eq!(alerts(&polled(&bob, "").await).len(), 0);
    let now = jiff::Timestamp::now().to_string();
    bob.send(&envelope("b1", &[forced_push("p1", &now)])).await;
    let first = of_bob.next().await;
    assert_eq!(first.alert["evidence"]["event_ids"], json!(["p1"]));
}

/// Contract: alerts.push
async fn what_is_no_news_is_polled_and_not_streamed(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let mut streamed = AlertReader::open(&client, None).await;
    let old = forced_push("old", "2026-03-03T11:00:00+01:00");
    client.send(&envelope("b1", &[old])).await;
    deployment.completed(1).await;
    let now = jiff::Timestamp::now().to_string();
    client
        .send(&envelope("b2", &[forced_push("new", &now)]))
        .await;
    let first = streamed.next_of("force-push").await;
    assert_eq!(first.alert["evidence"]["event_ids"], json!(["new"]));
    let page = polled(&client, "").await;
    let pushes: Vec<(&Value, &Value)> = alerts(&page)
        .iter()
        .filter(|alert| alert["rule"] == "force-push")
        .map(|alert| (&alert["evidence"]["event_ids"][0], &alert["push"]))
        .collect();
    assert_eq!(
        pushes,
        [
            (&json!("old"), &json!(false)),
            (&json!("new"), &json!(true))
        ]
    );
    // Also of what is caught up on.
    let mut again = AlertReader::open(&client, Some(0)).await;
    assert_eq!(again.next_of("force-push").await, first);
}

/// Contract: alerts.order, alerts.limit
async fn fifty_alerts_at_once_come_the_most_severe_first(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let mut events = Vec::new();
    for day in 1..=25 {
        for number in 0..5 {
            let mut failed = build(&format!("f{day}-{number}"), 0, "failed");
            failed["occurred_at"] = json!(format!("2026-03-{day:02}T09:0{number}:00+01:00"));
            events.push(failed);
        }
        let at = format!("2026-03-{day:02}T11:00:00+01:00");
        events.push(forced_push(&format!("p{day}"), &at));
    }
    client.send(&envelope("b1", &events)).await;
    deployment.completed(1).await;
    let found = deployment
        .database
        .count("SELECT count(*) FROM alerts")
        .await;
    assert!(found >= 50, "{found}");
    let all = harness::until("all alerts are published", async || {
        let page = polled(&client, "?limit=1000").await;
        (alerts(&page).len() as i64 == found).then_some(page)
    })
    .await;
    let ranks: Vec<_> = alerts(&all)
        .iter()
        .map(|alert| Severity::rank(alert["severity"].as_str().unwrap()))
        .collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
    let sequences: Vec<u64> = alerts(&all)
        .iter()
        .map(|alert| alert["sequence"].as_u64().unwrap())
        .collect();
    assert!(sequences.is_sorted_by(|one, next| one < next));
    // Page by page it is the same.
    let (mut paged, mut after) = (Vec::new(), 0);
    loop {
        let page = polled(&client, &format!("?after={after}&limit=7")).await;
        assert!(alerts(&page).len() <= 7);
        if alerts(&page).is_empty() {
            break;
        }
        paged.extend(alerts(&page).clone());
        after = page["next"].as_u64().unwrap();
    }
    assert_eq!(&paged, alerts(&all));
    assert_eq!(after, *sequences.last().unwrap());
}

/// Contract: alerts.refused, alerts.last-event-id
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_place_in_the_stream_is_refused() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    for (query, parameter) in [
        ("?after=x", "after"),
        ("?after=-1", "after"),
        ("?after=", "after"),
        ("?after=9007199254740992", "after"),
        ("?after=1&after=2", "after"),
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=1.5", "limit"),
    ] {
        let refused = client.get_with_key(&format!("/v1/alerts{query}")).await;
        assert_eq!(refused.status(), 400, "{query}");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(
            (&problem["code"], &problem["parameter"]),
            (&json!("invalid_parameter"), &json!(parameter)),
            "{query}"
        );
    }
    for last_id in ["", "x", "-1", "1.0"] {
        let refused = AlertReader::request(&client, Some(last_id)).await;
        assert_eq!(refused.status(), 400, "{last_id}");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["parameter"], "Last-Event-ID", "{last_id}");
    }
}

/// Contract: alerts.next
#[tokio::test(flavor = "multi_thread")]
async fn a_page_passes_what_is_no_alert_and_the_alerts_of_others() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let js = deployment.js().await;
    let mut streamed = AlertReader::open(&client, None).await;
    let first = publish(&js, "ada", 1, &json!({})).await;
    for number in 0..20 {
        publish(&js, &format!("other{number}"), number, &json!({})).await;
    }
    let sent = js.publish("alerts.high.ada", "no alert".into()).await;
    let foreign = sent.unwrap().await.unwrap().sequence;
    assert_eq!(streamed.next().await.id, first);
    let page = polled(&client, &format!("?after={first}")).await;
    assert_eq!(page, json!({"alerts": [], "next": foreign}));
    let second = publish(&js, "ada", 2, &json!({"severity": "info"})).await;
    assert_eq!(streamed.next().await.id, second);
    let page = polled(&client, &format!("?after={foreign}")).await;
    assert_eq!(alerts(&page)[0]["sequence"], second);
}

harness::on_both_stores!(
    an_alert_comes_both_ways_and_so_does_its_retraction,
    what_is_no_news_is_polled_and_not_streamed,
    fifty_alerts_at_once_come_the_most_severe_first,
);
