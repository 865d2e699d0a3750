//! Who dies: a role, which is told; and the watcher, which changes nothing of what is told.

use common::admin_alert::{Kind, State};
use harness::{Engine, until};

use super::{QUICK, empty_dead, send_garbage, site, told, until_told, workers};

/// On SQLite the collector, on Postgres a worker: killed, it cannot say good-bye.
async fn a_role_that_is_gone_is_told_until_it_is_back(engine: Engine) {
    let (mut site, _) = site(engine).await;
    workers(&mut site, engine, None, &["--alert-silent", "2s"]);
    let gone = if engine == Engine::Sqlite { "collector" } else { "aggregate" };
    until("it is there", async || {
        let alive = common::bus::roster::alive(&site.js().await).await.ok()?;
        alive.iter().any(|entry| entry.role == gone).then_some(())
    })
    .await;
    // A look has seen it: the watcher has said nothing of it since.
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(300));
    looks.tick().await;
    looks.tick().await;
    site.kill(gone);
    let raised = until_told(&site, Kind::RoleSilent, gone, State::Raised).await;
    assert_eq!(raised.numbers["seconds"].bound, Some(2));
    match engine {
        Engine::Sqlite => drop(site.collector(gone).await),
        Engine::Postgres => site.worker_given(gone, gone, &QUICK, None),
    }
    let resolved = until_told(&site, Kind::RoleSilent, gone, State::Resolved).await;
    assert_eq!(resolved.alert_id, raised.alert_id);
}

/// Killed where it does not know whether its message is in the stream, once before and once after.
async fn a_watcher_that_is_killed_leaves_nothing_twice_and_nothing_open(engine: Engine) {
    let (mut site, _) = site(engine).await;
    let role = site.role("persist").to_owned();
    send_garbage(&site).await;
    for point in ["watch.before_publish", "watch.after_publish"] {
        site.worker_given(point, &role, &QUICK, Some(point));
        site.ended(point).await;
    }
    workers(&mut site, engine, None, &[]);
    let raised = until_told(&site, Kind::DeadLetter, "EVENTS/persist", State::Raised).await;
    empty_dead(&site).await;
    until_told(&site, Kind::DeadLetter, "EVENTS/persist", State::Resolved).await;
    let all = told(&site, Kind::DeadLetter).await;
    let told: Vec<(&str, u64, State)> =
        all.iter().map(|alert| (alert.alert_id.as_str(), alert.revision, alert.state)).collect();
    let id = raised.alert_id.as_str();
    assert_eq!(told, [(id, 0, State::Raised), (id, 1, State::Resolved)]);
}

harness::on_both_stores!(
    a_role_that_is_gone_is_told_until_it_is_back,
    a_watcher_that_is_killed_leaves_nothing_twice_and_nothing_open,
);
