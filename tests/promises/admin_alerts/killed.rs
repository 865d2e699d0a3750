//! A killed role raises an alert; a killed watcher changes no alert.

use harness::{Engine, until};
use types::admin_alert::{AlertKind, AlertState};

use super::{QUICK, deployment, empty_dead, published, send_garbage, until_alert, workers};

/// On SQLite the collector, on Postgres a worker: killed, it cannot say good-bye.
async fn a_silent_role_raises_an_alert_until_it_is_back(engine: Engine) {
    let (mut deployment, _) = deployment(engine).await;
    workers(&mut deployment, engine, None, &["--alert-silent", "2s"]);
    let gone = if engine == Engine::Sqlite {
        "collector"
    } else {
        "aggregate"
    };
    until("it is there", async || {
        let alive = bus::worker_registry::alive(&deployment.js().await)
            .await
            .ok()?;
        alive.iter().any(|entry| entry.role == gone).then_some(())
    })
    .await;
    // What is reported now was seen by a probe that knew the role.
    send_garbage(&deployment).await;
    until_alert(
        &deployment,
        AlertKind::DeadLetter,
        "EVENTS/persist",
        AlertState::Raised,
    )
    .await;
    deployment.kill(gone);
    let raised = until_alert(&deployment, AlertKind::RoleSilent, gone, AlertState::Raised).await;
    assert_eq!(raised.numbers["seconds"].bound, Some(2));
    match engine {
        Engine::Sqlite => drop(deployment.collector(gone).await),
        Engine::Postgres => deployment.worker_given(gone, gone, &QUICK, None),
    }
    let resolved = until_alert(
        &deployment,
        AlertKind::RoleSilent,
        gone,
        AlertState::Resolved,
    )
    .await;
    assert_eq!(resolved.alert_id, raised.alert_id);
}

/// Killed where it does not know whether its message is in the stream, once before and once after.
async fn a_killed_watcher_leaves_no_alert_doubled_or_open(engine: Engine) {
    let (mut deployment, _) = deployment(engine).await;
    let role = deployment.role("persist").to_owned();
    send_garbage(&deployment).await;
    for point in ["watch.before_publish", "watch.after_publish"] {
        deployment.worker_given(point, &role, &QUICK, Some(point));
        deployment.ended(point).await;
    }
    workers(&mut deployment, engine, None, &[]);
    let raised = until_alert(
        &deployment,
        AlertKind::DeadLetter,
        "EVENTS/persist",
        AlertState::Raised,
    )
    .await;
    empty_dead(&deployment).await;
    until_alert(
        &deployment,
        AlertKind::DeadLetter,
        "EVENTS/persist",
        AlertState::Resolved,
    )
    .await;
    let all = published(&deployment, AlertKind::DeadLetter).await;
    let published: Vec<(&str, u64, AlertState)> = all
        .iter()
        .map(|alert| (alert.alert_id.as_str(), alert.revision, alert.state))
        .collect();
    let id = raised.alert_id.as_str();
    assert_eq!(
        published,
        [(id, 0, AlertState::Raised), (id, 1, AlertState::Resolved)]
    );
}

/// The next one never saw the collector, and has heard of no rule.
async fn what_only_a_watcher_that_died_has_seen_is_not_over(engine: Engine) {
    let (mut deployment, _) = deployment(engine).await;
    workers(&mut deployment, engine, None, &["--alert-silent", "2s"]);
    until("it is there", async || {
        let alive = bus::worker_registry::alive(&deployment.js().await)
            .await
            .ok()?;
        alive
            .iter()
            .any(|entry| entry.role == "collector")
            .then_some(())
    })
    .await;
    until_told_of_a_rule(&deployment).await;
    deployment.kill("collector");
    until_alert(
        &deployment,
        AlertKind::RoleSilent,
        "collector",
        AlertState::Raised,
    )
    .await;
    let roles: &[&str] = if engine == Engine::Sqlite {
        &["all"]
    } else {
        &harness::ROLES
    };
    roles.iter().for_each(|role| deployment.kill(role));
    workers(&mut deployment, engine, None, &["--alert-silent", "2s"]);
    // The new one raises this: it has read what stands, and looked.
    send_garbage(&deployment).await;
    until_alert(
        &deployment,
        AlertKind::DeadLetter,
        "EVENTS/persist",
        AlertState::Raised,
    )
    .await;
    empty_dead(&deployment).await;
    until_alert(
        &deployment,
        AlertKind::DeadLetter,
        "EVENTS/persist",
        AlertState::Resolved,
    )
    .await;
    let states = async |kind| {
        published(&deployment, kind)
            .await
            .iter()
            .map(|one| one.state)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(AlertKind::RoleSilent).await.last(),
        Some(&AlertState::Raised),
        "no collector runs"
    );
    // Reported again as its count rose, and never as resolved: it was not quiet for --alert-quiet.
    assert!(
        states(AlertKind::RuleFailed)
            .await
            .iter()
            .all(|state| *state == AlertState::Raised)
    );
    deployment.collector("collector").await;
    until_alert(
        &deployment,
        AlertKind::RoleSilent,
        "collector",
        AlertState::Resolved,
    )
    .await;
}

async fn until_told_of_a_rule(deployment: &harness::Deployment) {
    let nats = async_nats::connect(&deployment.nats).await.unwrap();
    until("the rule's failure is reported", async || {
        let note = r#"{"rule": "late-night-work", "error": "it panicked"}"#;
        nats.publish("devtrail.note.rule_failed", note.into())
            .await
            .unwrap();
        nats.flush().await.unwrap();
        published(deployment, AlertKind::RuleFailed)
            .await
            .first()
            .cloned()
    })
    .await;
}

harness::on_both_stores!(
    what_only_a_watcher_that_died_has_seen_is_not_over,
    a_silent_role_raises_an_alert_until_it_is_back,
    a_killed_watcher_leaves_no_alert_doubled_or_open,
);
