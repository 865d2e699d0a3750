//! The size of a message, and the defaults that the contract names.

use harness::{Deployment, Engine, event};
use serde_json::{Value, json};

use crate::support::{RawClient, body_of, fresh, good};

/// An EVENTS message may be as large as `max_payload` less 64 KiB, to the byte.
///
/// Contract: errors.batch_too_large, limits.message
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_one_byte_beyond_the_message_limit_is_refused() {
    let small = |config: &str| config.replace("max_payload: 8MB", "max_payload: 128KB");
    let mut deployment = Deployment::configured(Engine::Sqlite, small).await;
    let url = deployment.collector("collector").await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    let limit = 64 * 1024;
    let id = fresh("b");
    let ask = async |padding: usize| {
        let mut one = event("e1");
        one["data"]["pad"] = json!("x".repeat(padding));
        // The id has a length of its own in the message.
        client
            .ask(client.post(
                &[("x-correlation-id", "c1")],
                body_of(&id, &format!("[{one}]")),
            ))
            .await
    };
    let first = crate::problem::problem(&ask(limit).await, "batch_too_large");
    assert_eq!(first["limit"], json!(limit));
    let fits = limit - (first["actual"].as_u64().unwrap() as usize - limit);
    let beyond = crate::problem::problem(&ask(fits + 1).await, "batch_too_large");
    assert_eq!(beyond["actual"], json!(limit + 1));
    assert_eq!(ask(fits).await.status, 202);
    assert_eq!(ask(fits - 1).await.status, 202);
    client.still_fine().await;
    deployment.worker("all", "all", None);
    deployment.completed(3).await;
    assert_eq!(deployment.verify()["messages"], 3);
    let given = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats/server.conf");
    assert!(
        std::fs::read_to_string(given)
            .unwrap()
            .contains("max_payload: 8MB")
    );
}

/// Contract: limits.events, limits.body, limits.ratio, limits.header-timeout, limits.body-timeout
/// Contract: limits.publish-timeout, commands.settings
#[tokio::test(flavor = "multi_thread")]
async fn limits_have_defaults_and_are_set_by_flag_env_or_file() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let printed = deployment.run("devtrail-collector", &["--print-config"]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    for line in [
        "max-events = 1000",
        "max-body = 4194304",
        "max-ratio = 100",
        "header-timeout = \"10s\"",
        "body-timeout = \"30s\"",
        "publish-timeout = \"10s\"",
    ] {
        assert!(printed.contains(line), "{line} is not in\n{printed}");
    }
    std::fs::write(
        deployment.path("set.toml"),
        "max-events = 1\nmax-body = 1000\nmax-ratio = 3\n",
    )
    .unwrap();
    let mut command = deployment.command(
        "devtrail-collector",
        &[
            "--config",
            "set.toml",
            "--max-events",
            "3",
            "--print-config",
        ],
    );
    let printed = command
        .env("DEVTRAIL_MAX_EVENTS", "2")
        .env("DEVTRAIL_MAX_BODY", "2000")
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    for line in ["max-events = 3", "max-body = 2000", "max-ratio = 3"] {
        assert!(printed.contains(line), "{line} is not in\n{printed}");
    }
    let url = deployment
        .collector_with(
            "small",
            &[
                "--max-events",
                "2",
                "--max-body",
                "2000",
                "--max-ratio",
                "3",
            ],
        )
        .await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    let three: Vec<Value> = (0..3).map(|_| event(&fresh("e"))).collect();
    let body = client
        .body_refused(body_of("b1", &json!(three).to_string()), "too_many_events")
        .await;
    assert_eq!((&body["limit"], &body["actual"]), (&json!(2), &json!(3)));
    let body = client
        .body_refused("x".repeat(2001), "body_too_large")
        .await;
    assert_eq!(
        (&body["limit"], &body["actual"]),
        (&json!(2000), &json!(2001))
    );
    assert_eq!(client.ask(client.post(&[], good())).await.status, 202);
}
