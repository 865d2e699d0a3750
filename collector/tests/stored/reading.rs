//! `GET /v1/batches/{batch_id}` and `GET /v1/metrics/daily`: the own, or why not.

use serde_json::{Value, json};
use types::api_key::Scope;
use types::query::{BATCH, METRICS};

use super::Bench;

fn submission(seq: u64, state: &str) -> Value {
    json!({"batch_id": "b/1", "correlation_id": "c1", "stream_sequence": seq, "state": state,
        "counts": {"received": 1, "accepted": 1, "duplicate": 0, "rejected": 0, "quarantined": 0},
        "need": ["aggregate"], "done": [], "failed": [],
        "received_at": "2026-03-01T08:15:03Z", "published_at": "2026-03-01T08:15:03Z",
        "persisted_at": "2026-03-01T08:15:04Z"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_shown_to_its_developer_newest_first() {
    let bench = Bench::start().await;
    let mut asked = bench
        .answer(BATCH, |question| match &question["submissions"] {
            one if one["developer"] == "ada" && one["batch_id"] == "b/1" => {
                json!({"ok": [submission(1, "completed"), submission(5, "persisted")]})
            }
            one if one["batch_id"] == "bad" => json!({"unavailable": "secret-host is down"}),
            _ => json!({"ok": []}),
        })
        .await;
    let reply = bench.get("/v1/batches/b%2F1").await;
    assert_eq!(
        (reply.status, &reply.body["state"]),
        (200, &json!("persisted")),
        "{}",
        reply.body
    );
    assert_eq!(
        (
            &reply.body["stream_sequence"],
            &reply.body["submissions"][1]["state"]
        ),
        (&json!(5), &json!("completed"))
    );
    assert_eq!(reply.body["submissions"].as_array().unwrap().len(), 2);
    assert_eq!(
        asked.recv().await.unwrap().1["submissions"]["developer"],
        "ada"
    );
    let bob = bench.make_key("bob", &Scope::ALL).await;
    let mut others = bench.get_with("/v1/batches/b%2F1", &bob).await;
    while others.status == 401 {
        others = bench.get_with("/v1/batches/b%2F1", &bob).await;
    }
    assert_eq!(others.problem(), (404, "batch_unknown", true));
    assert_eq!(
        asked.recv().await.unwrap().1["submissions"]["developer"],
        "bob"
    );
    let unavailable = bench.get("/v1/batches/bad").await;
    assert_eq!(unavailable.problem(), (503, "store_unavailable", true));
    assert!(
        !unavailable.body.to_string().contains("secret-host"),
        "{}",
        unavailable.body
    );
    for path in [
        "/v1/batches/%FF",
        "/v1/batches/a%20b",
        &format!("/v1/batches/{}", "x".repeat(129)),
    ] {
        let bad = bench.get(path).await;
        assert_eq!(bad.problem(), (400, "invalid_parameter", false));
        assert_eq!(bad.body["parameter"], "batch_id");
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_workers_what_is_stored_is_unavailable() {
    let bench = Bench::start().await;
    for path in ["/v1/batches/b1", "/v1/metrics/daily"] {
        let reply = bench.get(path).await;
        assert_eq!(reply.problem(), (503, "store_unavailable", true));
        assert!(
            reply.body["detail"].as_str().unwrap().contains("no worker"),
            "{}",
            reply.body
        );
    }
    assert_eq!(
        bench.get_with("/v1/batches/b1", "wrong").await.problem(),
        (401, "unauthenticated", false)
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn own_days_are_shown_and_a_bad_day_is_named() {
    let bench = Bench::start().await;
    let mut asked = bench
        .answer(
            METRICS,
            |question| json!({"ok": [{"day": question["from"], "edits": 3}]}),
        )
        .await;
    let reply = bench
        .get("/v1/metrics/daily?from=2026-03-01&to=2026-03-02")
        .await;
    let days = json!({"from": "2026-03-01", "to": "2026-03-02", "days": [{"day": "2026-03-01", "edits": 3}]});
    assert_eq!((reply.status, &reply.body), (200, &days));
    assert_eq!(
        asked.recv().await.unwrap().1,
        json!({"developer": "ada", "from": "2026-03-01", "to": "2026-03-02", "period": "day"})
    );
    let filtered = "/v1/metrics/daily?from=2026-03-01&to=2026-03-02&project=My%20App&editor=vim";
    assert_eq!(bench.get(filtered).await.status, 200);
    assert_eq!(
        asked.recv().await.unwrap().1,
        json!({"developer": "ada", "from": "2026-03-01", "to": "2026-03-02", "period": "day",
            "project": "My App", "editor": "vim"})
    );
    let default = bench.get("/v1/metrics/daily").await;
    assert_eq!(default.status, 200, "{}", default.body);
    let bad = bench.get("/v1/metrics/daily?to=tomorrow").await;
    assert_eq!(bad.problem(), (400, "invalid_parameter", false));
    assert_eq!(bad.body["parameter"], "to");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_only_what_its_scopes_say() {
    let mut bench = Bench::start().await;
    for (scope, missing) in [
        (Scope::MetricsRead, "events:write"),
        (Scope::EventsWrite, "metrics:read"),
    ] {
        bench.key = bench.make_key("ada", &[scope]).await;
        while bench.get("/v1/batches/b1").await.status == 401 {
            tokio::task::yield_now().await;
        }
        let mut replies = vec![
            bench.get("/v1/batches/b1").await,
            bench.get("/v1/metrics/daily").await,
        ];
        replies.push(bench.send("b1", None).await);
        let (refused, allowed): (Vec<_>, Vec<_>) =
            replies.into_iter().partition(|reply| reply.status == 403);
        for reply in &refused {
            assert_eq!(reply.problem(), (403, "scope_missing", false));
            assert!(
                reply.body["detail"].as_str().unwrap().contains(missing),
                "{}",
                reply.body
            );
        }
        let statuses: Vec<u16> = allowed.iter().map(|reply| reply.status).collect();
        let expected = if scope == Scope::MetricsRead {
            vec![503]
        } else {
            vec![503, 202]
        };
        assert_eq!((refused.len(), statuses), (3 - expected.len(), expected));
    }
    bench.end().await;
}
