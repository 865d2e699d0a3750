//! Developers take turns: who sends a flood delays nobody else.

use harness::{Deployment, Engine, envelope, wait_until_stopped};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// Batches of the flood: many times what a group takes of one developer.
const FLOOD: usize = 120;
const EVENTS: usize = 100;

fn edits(batch: usize) -> Vec<Value> {
    let at = |event: usize| {
        let minute = batch * EVENTS + event;
        let (day, minute) = (1 + minute / 1440, minute % 1440);
        format!("2026-01-{day:02}T{:02}:{:02}:00Z", minute / 60, minute % 60)
    };
    let edit = |event| {
        json!({"id": format!("{batch}-{event}"), "type": "file.edited", "occurred_at": at(event),
            "data": {"path": "src/editor/module/view.rs", "language": "rust", "project": "devtrail"}})
    };
    (0..EVENTS).map(edit).collect()
}

/// The workers know that there are several developers, and stand still while one of these sends a flood, and then the
/// other one a batch: all of the flood lies before it in every stream.
async fn who_comes_after_a_flood_is_done_long_before_its_end(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let flood = deployment.client(&url, "flood").await;
    let ada = deployment.client(&url, "ada").await;
    deployment.workers(1);
    ada.send(&envelope("a0", &edits(0)[..3])).await;
    deployment.completed(1).await;
    let workers = deployment.worker_names();
    for worker in &workers {
        deployment.signal(worker, Signal::SIGSTOP);
        wait_until_stopped(deployment.pid(worker)).await;
    }
    for batch in 0..FLOOD {
        let batch = envelope(&format!("f{batch}"), &edits(batch));
        flood.send(&batch).await;
    }
    ada.send(&envelope("a1", &edits(1)[..3])).await;
    for worker in &workers {
        deployment.signal(worker, Signal::SIGCONT);
    }
    deployment.completed(FLOOD as i64 + 2).await;
    for kind in ["aggregate", "alert", "normalize"] {
        let finished = format!(
            "SELECT b.developer FROM completed_jobs j JOIN batches b ON b.src = j.src AND b.seq = j.seq \
             WHERE j.kind = '{kind}' ORDER BY j.finished_at, b.developer DESC"
        );
        let finished: Vec<String> = deployment.database.rows(&finished).await.concat();
        assert_eq!(finished.len(), FLOOD + 2);
        let last = finished.iter().rposition(|developer| developer == "ada");
        let before = last.expect("jobs of ada") - 1;
        assert!(
            before < FLOOD / 3,
            "{before} of the flood's {FLOOD} {kind} jobs were done before ada's"
        );
    }
}

harness::on_both_stores!(who_comes_after_a_flood_is_done_long_before_its_end);
