//! Alerts of the breakers before the store and before the stream.

use futures_util::future::join_all;
use harness::{Deployment, Engine, envelope, event, until, wait_until_stopped};
use nix::sys::signal::Signal;
use types::admin_alert::{AlertKind, AlertState};

use super::{shorten_life, until_alert, workers};

/// Long enough that whoever was stopped meanwhile still sees it open.
const OPEN: [&str; 2] = ["--breaker-open-for", "15s"];

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_raises_an_alert_that_is_resolved() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    shorten_life(&deployment).await;
    let arguments = [OPEN.as_slice(), &["--publish-timeout", "60s"]].concat();
    let url = deployment.collector_with("collector", &arguments).await;
    let client = deployment.client(&url, "ada").await;
    workers(
        &mut deployment,
        Engine::Sqlite,
        None,
        &["--breaker-open-for", "1s"],
    );

    client.send(&envelope("before", &[event("before")])).await;
    deployment.completed(1).await;
    let holder = deployment.database.hold_locked().await;
    client.send(&envelope("waits", &[event("waits")])).await;
    let raised = until_alert(
        &deployment,
        AlertKind::BreakerOpen,
        "store",
        AlertState::Raised,
    )
    .await;
    assert!(
        raised
            .title
            .starts_with("The circuit breaker store is open in "),
        "{}",
        raised.title
    );
    holder.release().await;
    deployment.completed(2).await;
    let resolved = until_alert(
        &deployment,
        AlertKind::BreakerOpen,
        "store",
        AlertState::Resolved,
    )
    .await;
    assert_eq!(resolved.subject, "store");

    deployment.signal("nats", Signal::SIGSTOP);
    wait_until_stopped(deployment.pid("nats")).await;
    let refused = ["b1", "b2", "b3", "b4", "b5"].map(async |id| {
        let reply = client.post(&envelope(id, &[event(id)])).await.unwrap();
        assert_eq!(reply.status().as_u16(), 503);
    });
    join_all(refused).await;
    deployment.signal("nats", Signal::SIGCONT);
    until_alert(
        &deployment,
        AlertKind::BreakerOpen,
        "stream",
        AlertState::Raised,
    )
    .await;
    until("the stream is tried again", async || {
        let reply = client.post(&envelope("b1", &[event("b1")])).await.ok()?;
        (reply.status().as_u16() == 202).then_some(())
    })
    .await;
    until_alert(
        &deployment,
        AlertKind::BreakerOpen,
        "stream",
        AlertState::Resolved,
    )
    .await;
}
