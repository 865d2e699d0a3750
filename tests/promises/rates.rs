//! How many events a second a key may send, and what its replies say of that.

use std::time::Duration;

use harness::{Client, Deployment, DevtrailUp, Engine, envelope, event};
use reqwest::Response;
use serde_json::{Value, json};

/// A batch of this many events, with ids of its own.
fn batch(id: &str, events: usize) -> Value {
    let events: Vec<Value> = (0..events)
        .map(|number| event(&format!("{id}-{number}")))
        .collect();
    envelope(id, &events)
}

/// A client with a fresh key, once the collector knows it.
async fn keyed(up: &DevtrailUp, developer: &str, arguments: &[&str]) -> Client {
    let made = up.devtrail(&[&["keys", "create", developer], arguments].concat());
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let client = Client::new(
        &up.address("collector"),
        String::from_utf8(made.stdout).unwrap().trim(),
    );
    while client.get_with_key("/v1/batches/none").await.status() == 401 {
        tokio::task::yield_now().await;
    }
    client
}

/// Changes a key's record, as an administrator's program may.
async fn change(up: &DevtrailUp, client: &Client, member: &str, value: Value) {
    let nats = async_nats::connect(up.address("nats")).await.unwrap();
    let bucket = async_nats::jetstream::new(nats)
        .get_key_value("api_keys")
        .await
        .unwrap();
    let entry = types::api_key::key_entry(&types::api_key::digest(client.key()));
    let mut record: Value =
        serde_json::from_slice(&bucket.get(&entry).await.unwrap().unwrap()).unwrap();
    record[member] = value;
    bucket.put(&entry, record.to_string().into()).await.unwrap();
}

fn header(response: &Response, name: &str) -> Option<String> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap().to_owned())
}

/// The policy, and the parameters `r` and `t` of where the key stands.
fn standing(response: &Response) -> (String, u64, u64) {
    let standing = header(response, "ratelimit").unwrap();
    let (left, reset) = standing
        .strip_prefix("\"events\";r=")
        .unwrap()
        .split_once(";t=")
        .unwrap();
    (
        header(response, "ratelimit-policy").unwrap(),
        left.parse().unwrap(),
        reset.parse().unwrap(),
    )
}

/// Sends until the key is refused; gives the refusal and the batch.
async fn refused(client: &Client, events: usize) -> (Response, Value) {
    for number in 0..20 {
        let batch = batch(&format!("more-{number}"), events);
        let response = client.post(&batch).await.unwrap();
        if response.status() != 202 {
            return (response, batch);
        }
    }
    panic!("the key is never refused")
}

/// Contract: errors.rate_limited, limits.rate, rate.default, rate.settings, rate.burst
/// Contract: rate.counted, rate.refused, rate.limited, rate.passes, rate.headers, rate.policy
/// Contract: rate.remaining
#[tokio::test(flavor = "multi_thread")]
async fn a_key_above_its_rate_is_429_and_passes_after_retry_after() {
    let up = DevtrailUp::start_with(&["--max-events", "10"]).await;
    let slow = keyed(&up, "ada", &["--rate", "1/s"]).await;
    // All that it may send at once is left after a refusal.
    let mut bad = batch("bad", 10);
    bad["sent_at"] = json!("yesterday");
    assert_eq!(slow.post(&bad).await.unwrap().status(), 400);
    let first = slow.post(&batch("first", 10)).await.unwrap();
    assert_eq!(first.status(), 202);
    assert_eq!(standing(&first), ("\"events\";q=10;w=10".to_owned(), 0, 10));
    let (refusal, batch) = refused(&slow, 3).await;
    assert_eq!(refusal.status(), 429);
    let after: u64 = header(&refusal, "retry-after").unwrap().parse().unwrap();
    let (policy, left, reset) = standing(&refusal);
    assert_eq!((policy.as_str(), reset), ("\"events\";q=10;w=10", after));
    assert!(left < 3 && (1..=3).contains(&after), "{left} {after}");
    assert_eq!(
        header(&refusal, "content-type").as_deref(),
        Some("application/problem+json")
    );
    let problem: Value = refusal.json().await.unwrap();
    assert_eq!(
        (&problem["code"], &problem["retryable"]),
        (&json!("rate_limited"), &json!(true))
    );
    assert_eq!(
        problem["retry_after_ms"]
            .as_u64()
            .unwrap()
            .div_ceil(1000)
            .max(1),
        after,
        "{problem}"
    );
    // Another key is none the worse.
    let other = up.client().post(&batch).await.unwrap();
    assert_eq!(
        (other.status().as_u16(), standing(&other).0.as_str()),
        (202, "\"events\";q=100000;w=2")
    );
    // However often it is refused meanwhile, the pause is over when it was reported to be.
    for _ in 0..3 {
        slow.post(&batch).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(after)).await; // sleep: what Retry-After asks for
    assert_eq!(slow.post(&batch).await.unwrap().status(), 202);
}

/// Contract: rate.settings, rate.none, rate.changed, nats.keys-live
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_of_0_is_no_limit_and_a_changed_one_is_live() {
    let up = DevtrailUp::start_with(&["--rate", "0", "--max-events", "5"]).await;
    let free = up.client().post(&batch("b1", 5)).await.unwrap();
    assert_eq!(
        (free.status().as_u16(), header(&free, "ratelimit")),
        (202, None)
    );
    assert_eq!(header(&free, "ratelimit-policy"), None);
    let own = keyed(&up, "ada", &["--rate", "1"]).await;
    assert_eq!(refused(&own, 5).await.0.status(), 429);
    change(&up, &own, "rate", json!(0)).await;
    while own.post(&batch("b2", 5)).await.unwrap().status() == 429 {
        tokio::task::yield_now().await;
    }
    for number in 0..5 {
        let reply = own.post(&batch(&format!("c{number}"), 5)).await.unwrap();
        assert_eq!(
            (reply.status().as_u16(), header(&reply, "ratelimit")),
            (202, None)
        );
    }
}

/// Contract: rate.nats-loss
#[tokio::test(flavor = "multi_thread")]
async fn losing_nats_or_changing_another_key_gives_no_fresh_burst() {
    let up = DevtrailUp::start().await;
    let slow = keyed(&up, "ada", &["--rate", "1"]).await;
    assert_eq!(slow.post(&batch("b1", 1000)).await.unwrap().status(), 202);
    up.kill_nats();
    while slow.get("/health/ready").await.status() == 200 {
        tokio::task::yield_now().await;
    }
    while slow.get("/health/ready").await.status() != 200 {
        tokio::task::yield_now().await;
    }
    // A key made afterwards is known: the bucket is followed again.
    keyed(&up, "bob", &[]).await;
    assert_eq!(slow.post(&batch("b2", 900)).await.unwrap().status(), 429);
    change(&up, &slow, "scopes", json!(["events:write"])).await;
    while slow.get_with_key("/v1/metrics/daily").await.status() != 403 {
        tokio::task::yield_now().await;
    }
    assert_eq!(slow.post(&batch("b2", 900)).await.unwrap().status(), 429);
}

/// Contract: rate.send
#[tokio::test(flavor = "multi_thread")]
async fn send_keeps_to_a_rate_and_sends_everything() {
    let up = DevtrailUp::start_with(&["--max-events", "10"]).await;
    let key = keyed(&up, "ada", &["--rate", "20/s"])
        .await
        .key()
        .to_owned();
    let events: Vec<String> = (0..80)
        .map(|number| event(&format!("e{number}")).to_string())
        .collect();
    std::fs::write(up.path("events"), events.join("\n")).unwrap();
    std::fs::write(up.path("ada.key"), key).unwrap();
    let file = up.path("events");
    let key_file = up.path("ada.key");
    let sent = up.devtrail(&[
        "send",
        file.to_str().unwrap(),
        "--key-file",
        key_file.to_str().unwrap(),
        "--batch-size",
        "10",
        // Shorter than the key's pauses: they are no failures.
        "--give-up-after",
        "500ms",
        "--json",
    ]);
    assert!(
        sent.status.success(),
        "{}",
        String::from_utf8_lossy(&sent.stderr)
    );
    let summary: Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!(summary["accepted"], 80, "{summary}");
    assert!(summary["retries"].as_u64() > Some(0), "{summary}");
}

/// Contract: rate.each-collector, rate.collectors
#[tokio::test(flavor = "multi_thread")]
async fn each_collector_counts_for_itself_and_from_zero() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let made = deployment.run("devtrail", &["keys", "create", "ada", "--rate", "1/s"]);
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    for (name, id) in [("one", "b1"), ("two", "b2"), ("three", "b3")] {
        let client = Client::new(&deployment.collector(name).await, &key);
        assert_eq!(
            client.post(&batch(id, 1000)).await.unwrap().status(),
            202,
            "{name}"
        );
        assert_eq!(
            client
                .post(&batch(&format!("{id}-more"), 900))
                .await
                .unwrap()
                .status(),
            429,
            "{name}"
        );
    }
    deployment.kill("one");
    let client = Client::new(&deployment.collector("one").await, &key);
    assert_eq!(client.post(&batch("b4", 1000)).await.unwrap().status(), 202);
}
