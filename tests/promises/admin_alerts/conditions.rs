//! Each condition raises an alert, and resolves it when it is over.

use harness::{Deployment, Engine, envelope, event, stderr_of};
use serde_json::Value;
use types::admin_alert::{AlertKind, AlertState, Measurement, RuleFailed};

use super::{deployment, empty_dead, published, send_garbage, until_alert, workers};

async fn set_bytes(deployment: &Deployment, stream: &str, edit: impl FnOnce(i64) -> i64) {
    let js = deployment.js().await;
    let info = js.get_stream(stream).await.unwrap().cached_info().clone();
    let mut config = info.config;
    config.max_bytes = edit(i64::try_from(info.state.bytes).unwrap());
    js.update_stream(config).await.unwrap();
}

/// Contract: commands.alerts-admin
async fn each_condition_raises_an_alert_with_advice_and_is_resolved(engine: Engine) {
    let (mut deployment, client) = deployment(engine).await;
    workers(
        &mut deployment,
        engine,
        None,
        &[
            "--alert-lag",
            "3",
            "--alert-overdue",
            "1s",
            "--alert-quiet",
            "1s",
        ],
    );
    let listed = |arguments: &[&str]| {
        let listed = deployment.run("devtrail", &[&["alerts", "admin"], arguments].concat());
        assert!(listed.status.success(), "{}", stderr_of(&listed));
        String::from_utf8(listed.stdout).unwrap()
    };

    send_garbage(&deployment).await;
    let raised = until_alert(
        &deployment,
        AlertKind::DeadLetter,
        "EVENTS/persist",
        AlertState::Raised,
    )
    .await;
    assert_eq!(
        raised.title,
        "Dead letters of EVENTS/persist are in DEAD: 1."
    );
    let shown = listed(&[]);
    assert!(
        shown.contains(&raised.title) && shown.contains(&raised.advice),
        "{shown}"
    );
    empty_dead(&deployment).await;
    let resolved = until_alert(
        &deployment,
        AlertKind::DeadLetter,
        "EVENTS/persist",
        AlertState::Resolved,
    )
    .await;
    assert_eq!(
        (&resolved.alert_id, resolved.revision),
        (&raised.alert_id, raised.revision + 1)
    );
    assert!(!listed(&[]).contains(&raised.title));
    let all: Vec<Value> = serde_json::from_str(&listed(&["--all", "--json"])).unwrap();
    assert!(
        all.iter()
            .any(|alert| alert["alert_id"] == *raised.alert_id && alert["state"] == "resolved")
    );

    let holder = deployment.database.hold_locked().await;
    for number in 0..5 {
        client
            .send(&envelope(
                &format!("b{number}"),
                &[event(&format!("e{number}"))],
            ))
            .await;
    }
    let lag = until_alert(
        &deployment,
        AlertKind::Lag,
        "EVENTS/persist",
        AlertState::Raised,
    )
    .await;
    assert_eq!(lag.numbers["messages"].bound, Some(3));
    // Jobs are refused, so what is stored is not completed.
    set_bytes(&deployment, "JOBS", |_| 1).await;
    holder.release().await;
    until_alert(
        &deployment,
        AlertKind::Lag,
        "EVENTS/persist",
        AlertState::Resolved,
    )
    .await;
    until_alert(
        &deployment,
        AlertKind::BatchOverdue,
        "batches",
        AlertState::Raised,
    )
    .await;
    set_bytes(&deployment, "JOBS", |_| 1 << 30).await;
    deployment.completed(5).await;
    until_alert(
        &deployment,
        AlertKind::BatchOverdue,
        "batches",
        AlertState::Resolved,
    )
    .await;

    set_bytes(&deployment, "EVENTS", |used| used * 11 / 10).await;
    let full = until_alert(
        &deployment,
        AlertKind::StreamNearlyFull,
        "EVENTS",
        AlertState::Raised,
    )
    .await;
    assert_eq!(
        full.numbers["percent"],
        Measurement {
            value: 90,
            bound: Some(80)
        }
    );
    set_bytes(&deployment, "EVENTS", |_| 1 << 30).await;
    until_alert(
        &deployment,
        AlertKind::StreamNearlyFull,
        "EVENTS",
        AlertState::Resolved,
    )
    .await;

    let note = RuleFailed {
        rule: "late-night-work".to_owned(),
        error: "the rule panicked: x".to_owned(),
    };
    let note = serde_json::to_vec(&note).unwrap();
    let nats = async_nats::connect(&deployment.nats).await.unwrap();
    nats.publish("devtrail.note.rule_failed", note.into())
        .await
        .unwrap();
    let failed = until_alert(
        &deployment,
        AlertKind::RuleFailed,
        "late-night-work",
        AlertState::Raised,
    )
    .await;
    assert!(
        failed.title.contains("the rule panicked: x"),
        "{}",
        failed.title
    );
    until_alert(
        &deployment,
        AlertKind::RuleFailed,
        "late-night-work",
        AlertState::Resolved,
    )
    .await;
}

/// How full the disk of this folder is, in percent, and how large, measured past the product's code.
fn disk(folder: &std::path::Path) -> (u64, u64) {
    let disk = nix::sys::statvfs::statvfs(folder).unwrap();
    let all = disk.blocks();
    let free = disk.blocks_available();
    ((all - free) * 100 / all, all * disk.fragment_size())
}

/// On SQLite, database and nats-server share a disk, which raises one alert; on Postgres only nats-server has one.
async fn a_disk_above_its_bound_raises_an_alert_that_is_resolved(engine: Engine) {
    let (mut deployment, _) = deployment(engine).await;
    let (percent, size) = disk(&deployment.path(""));
    let role = deployment.role("persist").to_owned();
    // Other tests fill and free the same disk meanwhile.
    let bound = percent.saturating_sub(1).to_string();
    let quick = [
        "--alert-every",
        "100ms",
        "--alert-settle",
        "0s",
        "--alert-disk",
    ];
    deployment.worker_given("above", &role, &[&quick[..], &[&bound]].concat(), None);
    let subject = match engine {
        Engine::Sqlite => "database".to_owned(),
        Engine::Postgres => format!("nats-server at {}", deployment.monitor),
    };
    let raised = until_alert(
        &deployment,
        AlertKind::DiskNearlyFull,
        &subject,
        AlertState::Raised,
    )
    .await;
    let (bytes, seen) = (&raised.numbers["bytes"], raised.numbers["percent"].value);
    assert_eq!(bytes.bound, Some(size), "{raised:?}");
    assert!(
        seen.abs_diff(percent) <= 2 && bytes.value < size,
        "{raised:?} for {percent} %"
    );
    let subjects: std::collections::BTreeSet<String> =
        published(&deployment, AlertKind::DiskNearlyFull)
            .await
            .into_iter()
            .map(|alert| alert.subject)
            .collect();
    assert_eq!(subjects, [subject.clone()].into(), "one disk, one alert");
    assert!(deployment.stop("above").await.success());
    deployment.worker_given("below", &role, &[&quick[..], &["100"]].concat(), None);
    until_alert(
        &deployment,
        AlertKind::DiskNearlyFull,
        &subject,
        AlertState::Resolved,
    )
    .await;
}

harness::on_both_stores!(
    each_condition_raises_an_alert_with_advice_and_is_resolved,
    a_disk_above_its_bound_raises_an_alert_that_is_resolved,
);
