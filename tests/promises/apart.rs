//! Collector, worker and nats-server as separate processes, as an administrator runs them.

use harness::{Engine, Site, envelope, event, said};

/// Contract: programs.worker, programs.roles, programs.processes
#[tokio::test(flavor = "multi_thread")]
async fn separate_processes_store_a_batch_and_a_second_writer_is_refused() {
    let mut site = Site::bare(Engine::Sqlite).await;
    let too_early = site.run("devtrail-worker", &["all"]);
    assert!(
        too_early.status.code() == Some(1) && said(&too_early).contains("devtrail streams apply"),
        "{}",
        said(&too_early)
    );
    assert!(site.run("devtrail", &["streams", "apply"]).status.success());
    assert!(site.run("devtrail", &["streams", "diff"]).status.success());
    let url = site.collector("collector").await;
    site.worker("all", "all", None);
    let client = site.client(&url, "ada").await;
    client
        .send(&envelope("b1", &[event("e1"), event("e2")]))
        .await;
    site.completed(1).await;
    assert_eq!(site.verify()["stored"], 2);
    let second = site.run("devtrail-worker", &["all"]);
    assert!(
        second.status.code() == Some(1) && said(&second).contains("Postgres"),
        "{}",
        said(&second)
    );
}

/// Contract: commands.streams
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_a_changed_safety_field_is_refused_until_apply_mends_it() {
    let site = Site::start(Engine::Sqlite).await;
    let js = site.js().await;
    let mut config = js
        .get_stream("EVENTS")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.discard = async_nats::jetstream::stream::DiscardPolicy::Old;
    config.max_bytes = 1 << 30;
    js.update_stream(config).await.unwrap();
    let refused = site.run("devtrail-collector", &["--listen", "127.0.0.1:0"]);
    assert!(
        refused.status.code() == Some(1) && said(&refused).contains("discard"),
        "{}",
        said(&refused)
    );
    assert_eq!(
        site.run("devtrail", &["streams", "diff"]).status.code(),
        Some(1)
    );
    assert!(site.run("devtrail", &["streams", "apply"]).status.success());
    // The safety field is mended, the administrator's size is kept.
    let config = js
        .get_stream("EVENTS")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    assert_eq!(
        config.discard,
        async_nats::jetstream::stream::DiscardPolicy::New
    );
    assert_eq!(config.max_bytes, 1 << 30);
    assert!(site.run("devtrail", &["streams", "diff"]).status.success());
}
