//! Readmitted events are in the stream first: they wait for a worker, and the store can be rebuilt.

use harness::{Database, Engine, envelope, events_of, stderr_of, until};
use serde_json::json;

use super::support::{
    coffee, deployment, everything, from_new_york, messages, quarantine, with_coffee,
};

/// Contract: readmit.waits, readmit.timeout
async fn what_waits_for_a_worker_is_not_sent_again(engine: Engine) {
    let (mut deployment, client) = deployment(engine).await;
    deployment.workers(1);
    client
        .send(&envelope("b1", &[coffee("e1", &json!({"cups": 1}))]))
        .await;
    deployment.completed(1).await;
    for name in deployment
        .names()
        .into_iter()
        .filter(|name| name != "nats" && name != "collector")
    {
        deployment.stop(&name).await;
    }
    // The server forgets message ids at once: the command has to look by itself.
    let js = deployment.js().await;
    deployment
        .streams()
        .await
        .forget_message_ids(&events_of("ada"))
        .await;
    let bucket = js.get_key_value("api_keys").await.unwrap();
    bucket
        .put("developer.ada", r#"{"epoch": 3}"#.into())
        .await
        .unwrap();
    let folder = with_coffee();
    let readmit = [
        "quarantine",
        "readmit",
        "--wait",
        "0s",
        "--schemas",
        folder.path().to_str().unwrap(),
    ];
    let first = deployment.run("devtrail", &readmit);
    assert!(
        first.status.code() == Some(1) && stderr_of(&first).contains("No worker runs"),
        "{}",
        stderr_of(&first)
    );
    let stream = js.get_stream(&events_of("ada")).await.unwrap();
    let message = stream.direct_get(2).await.unwrap();
    let id = message.headers.get("Nats-Msg-Id").unwrap().to_string();
    assert!(id.starts_with("ada:3:readmit-1-1:"), "{id}");
    until("the server has forgotten the message id", async || {
        let publish = async_nats::HeaderMap::from_iter([(
            async_nats::header::NATS_MESSAGE_ID,
            id.as_str().into(),
        )]);
        let probe = js
            .publish_with_headers("events.batch.probe", publish, "no batch".into())
            .await
            .unwrap();
        (!probe.await.unwrap().duplicate).then_some(())
    })
    .await;
    let sent = messages(&deployment).await;
    let tried = quarantine(&deployment, &[&readmit[1..], &["--dry-run"]].concat());
    assert_eq!(
        [
            &tried["counts"]["readmitted"],
            &tried["counts"]["on_the_way"]
        ],
        [&json!(0), &json!(1)],
        "{tried}"
    );
    let second = deployment.run("devtrail", &readmit);
    let output = String::from_utf8_lossy(&second.stdout).into_owned();
    assert!(
        second.status.success() && output.contains("on the way to the store"),
        "{output}{}",
        stderr_of(&second)
    );
    assert_eq!(messages(&deployment).await, sent, "nothing was sent");
    deployment.workers(1);
    deployment.completed(2).await;
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM events")
            .await,
        1
    );
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM duplicates")
            .await,
        0
    );
}

async fn a_store_rebuilt_from_the_stream_has_what_was_readmitted(engine: Engine) {
    let (mut deployment, client) = deployment(engine).await;
    deployment.workers(1);
    client
        .send(&from_new_york(
            "b1",
            &[coffee("e1", &json!({"cups": 1})), coffee("e2", &json!({}))],
        ))
        .await;
    deployment.completed(1).await;
    let folder = with_coffee();
    quarantine(
        &deployment,
        &["readmit", "--schemas", folder.path().to_str().unwrap()],
    );
    deployment.completed(2).await;
    let tables = async |database: &Database| everything(database).await[1..4].to_vec();
    let before = tables(&deployment.database).await;
    for name in deployment
        .names()
        .into_iter()
        .filter(|name| name != "nats" && name != "collector")
    {
        deployment.stop(&name).await;
    }
    let other = tempfile::tempdir().unwrap();
    deployment.database = Database::fresh(engine, other.path()).await;
    deployment.adopt();
    deployment.workers(1);
    let stored = async || {
        let count = "SELECT count(*) FROM batches";
        (deployment.has_tables().await && deployment.database.count(count).await == 2).then_some(())
    };
    until("the stream is stored anew", stored).await;
    assert_eq!(tables(&deployment.database).await, before);
}

harness::on_both_stores!(
    what_waits_for_a_worker_is_not_sent_again,
    a_store_rebuilt_from_the_stream_has_what_was_readmitted,
);
