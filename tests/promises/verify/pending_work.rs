//! What `verify` says of pending and of stuck work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::{Deployment, Engine, envelope, event, stderr_of, until};
use serde_json::json;

use super::{findings, with_some_of_everything};

/// Contract: verify.stuck, verify.unfinished
async fn work_that_nobody_has_is_named(engine: Engine) {
    let (mut deployment, _) = with_some_of_everything(engine).await;
    // Its workers are away: they would publish the job again.
    deployment.stop_workers().await;
    deployment
        .database
        .execute("UPDATE batches SET state = 'triggered', done = 3 WHERE seq = 1")
        .await;
    let found = findings(&deployment);
    assert!(
        found.len() == 1
            && found[0].starts_with("stuck: batch 1:1 was stored ")
            && found[0]
                .ends_with("is triggered; its alert job is not done, not failed, and not in JOBS"),
        "{found:?}"
    );
    // It is not old yet: no finding, but it is counted.
    let output = deployment.run("devtrail", &["verify", "--json", "--wait", "1h"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["unfinished"], &report["finding_count"]),
        (&json!(1), &json!(0)),
        "{report}"
    );
    // A job of it waits in JOBS.
    let js = deployment.js().await;
    js.publish("jobs.alert.live.ada", "{}".into())
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(findings(&deployment), Vec::<String>::new());
    deployment
        .database
        .execute("UPDATE batches SET state = 'completed', done = 7 WHERE seq = 1")
        .await;
    // A dead letter was redriven: its pointer waits in REPLAY.
    js.get_stream("DEAD")
        .await
        .unwrap()
        .delete_message(1)
        .await
        .unwrap();
    assert_eq!(findings(&deployment).len(), 1, "message 4 is nowhere");
    let pointer =
        json!({"replay_id": null, "src": 1, "seq": 4, "targets": ["persist"], "source": "stream"});
    js.publish("replay.batch", pointer.to_string().into())
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(
        findings(&deployment),
        Vec::<String>::new(),
        "the pointer is on its way to it"
    );
}

/// Garbage is dead-lettered again whenever it is redriven, so its dead letter goes round from DEAD to REPLAY and back.
async fn beside_a_purge_and_a_redrive_there_is_no_false_alarm(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let role = deployment.role("persist").to_owned();
    deployment.worker_with("trimming", &role, &[("DEVTRAIL_RAW_RETENTION", "0s")]);
    if engine == Engine::Postgres {
        for role in ["aggregate", "normalize", "alert"] {
            deployment.worker(role, role, None);
        }
    }
    until("the tables are made", async || {
        deployment.has_tables().await.then_some(())
    })
    .await;
    let shutdown = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let client = client.clone();
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                for sent in 0.. {
                    if shutdown.load(Ordering::Relaxed) {
                        return sent;
                    }
                    let name = format!("{sender}-{sent}");
                    client
                        .send(&envelope(
                            &format!("b{name}"),
                            &[event(&format!("e{name}"))],
                        ))
                        .await;
                }
                0
            })
        })
        .collect();
    let mut below = 0;
    until("some of it is trimmed", async || {
        let report = deployment.verify();
        below = report["stored_below"].as_u64().unwrap();
        (below > 500).then_some(())
    })
    .await;
    let js = deployment.js().await;
    js.publish("events.batch.ada", "garbage".into())
        .await
        .unwrap()
        .await
        .unwrap();
    until("it is in DEAD", async || {
        (js.get_stream("DEAD")
            .await
            .ok()?
            .cached_info()
            .state
            .messages
            == 1)
            .then_some(())
    })
    .await;
    for _ in 0..5 {
        let mut redrive = deployment
            .command("devtrail", &["dead", "redrive", "--all"])
            .spawn()
            .unwrap();
        let _ = deployment.verify();
        redrive.wait().unwrap();
    }
    let redriven = deployment
        .database
        .count("SELECT count(*) FROM audit WHERE step = 'redriven'")
        .await;
    assert!(redriven > 0, "nothing went round beside it");
    shutdown.store(true, Ordering::Relaxed);
    let sent: i64 = futures_util::future::join_all(senders)
        .await
        .into_iter()
        .map(|sent| sent.unwrap())
        .sum();
    deployment.completed(sent).await;
    let dropped = deployment.run(
        "devtrail",
        &["dead", "drop", "--all", "--reason", "garbage", "--yes"],
    );
    assert!(dropped.status.success(), "{}", stderr_of(&dropped));
    let report = deployment.verify();
    assert_eq!(
        (&report["unfinished"], &report["dead"]),
        (&json!(0), &json!(0)),
        "{report}"
    );
}

harness::on_both_stores!(
    work_that_nobody_has_is_named,
    beside_a_purge_and_a_redrive_there_is_no_false_alarm,
);
