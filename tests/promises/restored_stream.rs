//! A stream that was restored to an older state than the database: nothing is reported as stored that is not.

use std::path::Path;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::Stream;
use bus::admin_alerts;
use harness::{DevtrailUp, envelope, event, until};
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
        .get_stream("EVENTS")
        .await
        .unwrap()
}

/// The steps of docs/operations.md, Restoring a backup.
async fn put_right(up: &mut DevtrailUp) {
    events(up).await.delete_consumer("persist").await.unwrap();
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
