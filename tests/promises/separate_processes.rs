//! Collector, worker and nats-server as separate processes, as an administrator runs them.

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use harness::{Deployment, Engine, envelope, event, stderr_of};

/// Contract: programs.worker, programs.roles, programs.processes
#[tokio::test(flavor = "multi_thread")]
async fn separate_processes_store_and_a_second_writer_is_refused() {
    let mut deployment = Deployment::bare(Engine::Sqlite).await;
    let too_early = deployment.run("devtrail-worker", &["all"]);
    assert!(
        too_early.status.code() == Some(1)
            && stderr_of(&too_early).contains("devtrail streams apply"),
        "{}",
        stderr_of(&too_early)
    );
    assert!(
        deployment
            .run("devtrail", &["streams", "apply"])
            .status
            .success()
    );
    assert!(
        deployment
            .run("devtrail", &["streams", "diff"])
            .status
            .success()
    );
    let url = deployment.collector("collector").await;
    deployment.worker("all", "all", None);
    let client = deployment.client(&url, "ada").await;
    client
        .send(&envelope("b1", &[event("e1"), event("e2")]))
        .await;
    deployment.completed(1).await;
    assert_eq!(deployment.verify()["stored"], 2);
    let second = deployment.run("devtrail-worker", &["all"]);
    assert!(
        second.status.code() == Some(1) && stderr_of(&second).contains("Postgres"),
        "{}",
        stderr_of(&second)
    );
}

/// Contract: commands.streams
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_safety_field_is_refused_until_apply_fixes_it() {
    let deployment = Deployment::start(Engine::Sqlite).await;
    let js = deployment.js().await;
    let spoil = |config: &mut Config| {
        config.discard = DiscardPolicy::Old;
        config.max_bytes = 1 << 30;
    };
    deployment.streams().await.edit("EVENTS", spoil).await;
    let refused = deployment.run("devtrail-collector", &["--listen", "127.0.0.1:0"]);
    assert!(
        refused.status.code() == Some(1) && stderr_of(&refused).contains("discard"),
        "{}",
        stderr_of(&refused)
    );
    assert_eq!(
        deployment
            .run("devtrail", &["streams", "diff"])
            .status
            .code(),
        Some(1)
    );
    assert!(
        deployment
            .run("devtrail", &["streams", "apply"])
            .status
            .success()
    );
    // The safety field is fixed, the administrator's size is kept.
    let config = js
        .get_stream("EVENTS")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    assert_eq!(config.discard, DiscardPolicy::New);
    assert_eq!(config.max_bytes, 1 << 30);
    assert!(
        deployment
            .run("devtrail", &["streams", "diff"])
            .status
            .success()
    );
}
