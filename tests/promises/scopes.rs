//! Each route that needs a key needs one of its scopes.

use harness::{Client, DevtrailUp, envelope, event};
use serde_json::{Value, json};

/// Contract: scopes.names, scopes.default, scopes.create, scopes.list, scopes.events-write
/// Contract: scopes.metrics-read, scopes.alerts-read, errors.scope_missing, commands.keys-create
#[tokio::test(flavor = "multi_thread")]
async fn each_route_needs_its_scope_and_names_it() {
    let up = DevtrailUp::start().await;
    let batch = envelope("b1", &[event("e1")]);
    for scope in ["events:write", "metrics:read", "alerts:read"] {
        let made = up.devtrail(&["keys", "create", "ada", "--scope", scope]);
        let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let client = Client::new(&up.address("collector"), &key);
        while client.get_with_key("/v1/batches/b1").await.status() == 401 {
            tokio::task::yield_now().await;
        }
        let replies = [
            ("events:write", client.post(&batch).await.unwrap()),
            ("events:write", client.get_with_key("/v1/batches/b1").await),
            (
                "metrics:read",
                client.get_with_key("/v1/metrics/daily").await,
            ),
            (
                "metrics:read",
                client.get_with_key("/v1/reports/week/2026-W10").await,
            ),
            ("metrics:read", client.get_with_key("/v1/export").await),
            ("alerts:read", client.get_with_key("/v1/alerts").await),
            (
                "alerts:read",
                client.get_with_key("/v1/alerts/stream").await,
            ),
            (
                "metrics:read",
                client
                    .get_with_key("/api/v1/users/current/summaries?range=Today")
                    .await,
            ),
        ];
        for (needed, reply) in replies {
            let status = reply.status().as_u16();
            let url = reply.url().path().to_owned();
            if needed == scope {
                assert!(
                    status != 401 && status != 403,
                    "{url} with {scope}: {status}"
                );
                continue;
            }
            let body: Value = reply.json().await.unwrap();
            assert_eq!(
                (status, &body["code"]),
                (403, &json!("scope_missing")),
                "{url} with {scope}"
            );
            assert!(body["detail"].as_str().unwrap().contains(needed), "{body}");
        }
    }
    let made = up.devtrail(&[
        "keys",
        "create",
        "bob",
        "--scope",
        "metrics:read",
        "--scope",
        "alerts:read",
        "--rate",
        "7/s",
    ]);
    assert!(made.status.success());
    let list = String::from_utf8(up.devtrail(&["keys", "list"]).stdout).unwrap();
    let line = |name: &str| {
        list.lines()
            .find(|line| line.contains(name))
            .unwrap()
            .to_owned()
    };
    assert!(
        line("bob").contains(" metrics:read alerts:read ") && line("bob").contains(" 7/s "),
        "{list}"
    );
    assert!(
        line("me ").contains("events:write metrics:read alerts:read  default"),
        "{list}"
    );
    let bad = up.devtrail(&["keys", "create", "bob", "--scope", "everything"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&bad.stderr).contains("events:write, metrics:read, alerts:read")
    );
}
