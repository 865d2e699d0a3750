//! A stream that was restored to an older state than the database: nothing is reported as stored that is not.

use std::path::Path;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::Stream;
use bus::admin_alerts;
use harness::{Deployment, DevtrailUp, Engine, envelope, event, events_of, until};
use serde_json::json;
use types::admin_alert::AlertKind;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_messages_at_old_sequences_are_kept_and_verify_names_them() {
    let mut up = DevtrailUp::start().await;
    up.client().send(&envelope("b1", &[event("e1")])).await;
    assert_eq!(up.verify()["stored"], 1);
    assert_eq!(up.stop().await, Some(0));
    let backup = tempfile::tempdir().unwrap();
    copy(&up.path("nats"), backup.path());
    up.restart().await;
    for n in 2..=3 {
        up.client()
            .send(&envelope(&format!("b{n}"), &[event(&format!("e{n}"))]))
            .await;
    }
    assert_eq!(up.verify()["stored"], 3);
    assert_eq!(up.stop().await, Some(0));
    std::fs::remove_dir_all(up.path("nats")).unwrap();
    copy(backup.path(), &up.path("nats"));
    up.restart_with(&["--alert-overdue", "1s", "--alert-every", "200ms"])
        .await;
    let verify = up.devtrail(&["verify", "--wait", "0s"]);
    let stderr_of = String::from_utf8_lossy(&verify.stdout).into_owned();
    assert!(
        verify.status.code() == Some(1)
            && stderr_of.matches("surplus: the store holds batch").count() == 2,
        "{stderr_of}"
    );
    let reply = up.client().send(&envelope("b4", &[event("e4")])).await;
    assert_eq!(
        reply["stream_sequence"], 2,
        "a sequence that the store already has"
    );
    up.until("the restored stream is logged", || {
        up.log().contains("Restoring a backup").then_some(())
    })
    .await;
    assert_eq!(up.count("SELECT count(*) FROM batches"), 3);
    // Not acked: it is still to be delivered.
    let persist: PullConsumer = events(&up).await.get_consumer("persist").await.unwrap();
    assert_eq!(persist.cached_info().num_ack_pending, 1);
    // Nothing fails, and nothing goes on: that it waits is reported to administrators.
    let nats = async_nats::connect(up.address("nats")).await.unwrap();
    let js = async_nats::jetstream::new(nats);
    let lag = until("status shows that a message waits", async || {
        let alerts = admin_alerts(&js, 1).await.ok()?.alerts;
        alerts
            .into_iter()
            .find(|alert| alert.kind == AlertKind::Lag && alert.subject == "EVENTS/persist")
    })
    .await;
    assert!(
        lag.title
            .starts_with("A message has waited for EVENTS/persist"),
        "{}",
        lag.title
    );
    put_right(&mut up).await;
}

async fn events(up: &DevtrailUp) -> Stream {
    let nats = async_nats::connect(up.address("nats")).await.unwrap();
    async_nats::jetstream::new(nats)
        .get_stream(&events_of("ada"))
        .await
        .unwrap()
}

/// The steps of docs/operations.md, Restoring a backup.
async fn put_right(up: &mut DevtrailUp) {
    assert_eq!(up.stop().await, Some(0));
    for name in ["devtrail.db", "devtrail.db-wal", "devtrail.db-shm"] {
        if up.path(name).exists() {
            std::fs::rename(up.path(name), up.path(&format!("old-{name}"))).unwrap();
        }
    }
    up.restart().await;
    up.until("the stream is stored", || {
        (up.count("SELECT count(*) FROM events") == 2).then_some(())
    })
    .await;
    let old = rusqlite::Connection::open(up.path("old-devtrail.db")).unwrap();
    let mut bodies = old
        .prepare("SELECT CAST(body AS TEXT) FROM events")
        .unwrap();
    let bodies: Vec<String> = bodies
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    std::fs::write(up.path("bodies"), bodies.join("\n")).unwrap();
    let sent = up.devtrail(&["send", &up.path("bodies").to_string_lossy()]);
    assert!(
        sent.status.success(),
        "{}",
        String::from_utf8_lossy(&sent.stderr)
    );
    assert_eq!(up.verify()["duplicates"], 1, "e1 was in both");
    assert_eq!(up.count("SELECT count(*) FROM events"), 4);
}

/// An older copy of the stream gives sequence 2 out again, which the database has a batch of bob's for. Ada, who waits
/// for her batch, is told neither that it is stored nor anything of bob's.
///
/// Contract: wait.own-batch
async fn a_waiting_client_is_never_answered_from_the_row_of_another(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let ada = deployment.client(&url, "ada").await;
    let bob = deployment.client(&url, "bob").await;
    deployment.workers(1);
    let first = envelope("b1", &[event("e1")]);
    assert_eq!(ada.send_waiting(&first, 30).await.status, 200);
    deployment.completed(1).await;
    deployment.back_up_nats().await;
    let mut conflict = event("bobs-secret-id");
    conflict["data"]["path"] = json!("bobs-secret-path.rs");
    let bobs = envelope("bobs-batch", &[event("bobs-secret-id"), conflict]);
    let stored = until("bob's batch is stored", async || {
        let reply = bob.send_waiting(&bobs, 30).await;
        (reply.status == 200).then_some(reply.body)
    })
    .await;
    assert_eq!(
        (&stored["stream_sequence"], &stored["counts"]["quarantined"]),
        (&json!(2), &json!(1)),
        "{stored}"
    );
    deployment.restore_nats().await;
    let own = envelope("b2", &[event("e2")]);
    let reply = until("the stream takes batches again", async || {
        let reply = ada.send_waiting(&own, 3).await;
        (reply.status < 500).then_some(reply)
    })
    .await;
    assert_eq!(
        (reply.status, &reply.body["stream_sequence"]),
        (202, &json!(2)),
        "{}",
        reply.body
    );
    assert_eq!(reply.body["durability"], "stream");
    assert_eq!(reply.body["counts"]["accepted"], 1);
    assert!(!reply.body.to_string().contains("bobs"), "{}", reply.body);
    // Sent again it is a duplicate in the stream, which leaves a note in nobody else's audit.
    let again = ada.send_waiting(&own, 3).await;
    assert_eq!(
        (again.status, &again.body["duplicate_batch"]),
        (202, &json!(true))
    );
    assert!(!again.body.to_string().contains("bobs"), "{}", again.body);
    let notes = "SELECT count(*) FROM audit WHERE seq = 2 AND outcome = 'duplicate_batch'";
    assert_eq!(deployment.database.count(notes).await, 0);
    // What is stored is answered as ever: ada's first batch was in both.
    let first = ada.send_waiting(&first, 30).await;
    assert_eq!(
        (first.status, &first.body["duplicate_batch"]),
        (200, &json!(true))
    );
}

harness::on_both_stores!(a_waiting_client_is_never_answered_from_the_row_of_another);
