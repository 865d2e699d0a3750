//! A message that succeeds after failures is not in DEAD, and its audit has the failures.

use harness::{Deployment, Engine, envelope, event, stderr_of, until};
use serde_json::Value;

use super::dead;

async fn failed_attempts_leave_one_audit_note_when_it_succeeds(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let quick = ("DEVTRAIL_RETRY_CAP", "100ms");
    let roles: &[&str] = if engine == Engine::Sqlite {
        &["all"]
    } else {
        &harness::ROLES
    };
    for role in roles {
        deployment.worker_with(
            role,
            role,
            &[quick, ("DEVTRAIL_CRASH_POINT", "panic@normalize=panics")],
        );
    }
    client.send(&envelope("panics", &[event("e-panics")])).await;
    until("the tables are made", async || {
        deployment.has_tables().await.then_some(())
    })
    .await;
    let failed = "SELECT count(*) FROM attempts WHERE consumer = 'normalize' AND used > 0";
    until("attempts failed", async || {
        (deployment.database.count(failed).await == 1).then_some(())
    })
    .await;
    let role = deployment.role("normalize").to_owned();
    deployment.kill(&role);
    deployment.worker_with("fixed", &role, &[quick]);
    deployment.completed(1).await;

    let rows = "SELECT a.outcome, p.detail FROM audit a JOIN audit_personal p ON p.id = a.id WHERE a.step = 'failed'";
    // Written as the message is settled, after the job's own transaction.
    let output =
        async || Some(deployment.database.rows(rows).await).filter(|rows| !rows.is_empty());
    let rows = until("the trace is there", output).await;
    let [row] = &rows[..] else {
        panic!("one trace: {rows:?}")
    };
    let detail: Value = serde_json::from_str(&row[1]).unwrap();
    assert_eq!(row[0], "recovered");
    assert!(
        detail["attempts"]
            .as_u64()
            .is_some_and(|attempts| (1..8).contains(&attempts)),
        "{detail}"
    );
    assert!(
        detail["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("handling panicked")),
        "{detail}"
    );
    let traced = deployment.run("devtrail", &["trace", "seq:1"]);
    let text = String::from_utf8_lossy(&traced.stdout).into_owned();
    assert!(
        text.contains("handling panicked"),
        "{text}{}",
        stderr_of(&traced)
    );
    assert_eq!(dead::count(&deployment).await, 0);
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM attempts")
            .await,
        0,
        "nothing more is recorded"
    );
    let _ = deployment.verify();
}

harness::on_both_stores!(failed_attempts_leave_one_audit_note_when_it_succeeds);
