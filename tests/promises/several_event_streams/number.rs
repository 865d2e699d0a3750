//! The number of event streams: who is in which one, and that it is fixed.

use std::process::{Child, Command, Stdio};

use harness::{
    Client, Deployment, DevtrailUp, Engine, envelope, event, nats_server, stderr_of, up_command,
    written_sequence,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use types::event_streams::EventStreams;

use super::three;

/// Names as developers may have them.
fn names(count: usize) -> Vec<String> {
    let mut runner = TestRunner::default();
    let name = "[A-Za-z0-9_-]{1,64}";
    let mut one = || name.new_tree(&mut runner).unwrap().current();
    (0..count).map(|_| one()).collect()
}

/// Who publishes past the collector lands where the collector would publish.
///
/// Contract: nats.event-streams, nats.partition
#[tokio::test(flavor = "multi_thread")]
async fn the_partition_is_the_one_that_the_server_maps_to() {
    for number in ["3", "7"] {
        let streams: EventStreams = number.parse().unwrap();
        let deployment = Deployment::with_event_streams(Engine::Sqlite, streams).await;
        let js = deployment.js().await;
        for stream in streams.all() {
            let live = js.get_stream(stream.to_string()).await.unwrap();
            let share = (10 << 30) / i64::from(streams.number());
            assert_eq!(live.cached_info().config.max_bytes, share, "{stream}");
        }
        for name in names(100) {
            let stream = streams.of(&name.parse().unwrap());
            let publish = js.publish(format!("events.batch.{name}"), "".into());
            let ack = publish.await.unwrap().await.unwrap();
            assert_eq!(ack.stream, stream.to_string(), "{name}");
            let held = js.get_stream(&ack.stream).await.unwrap();
            let message = held.get_raw_message(ack.sequence).await.unwrap();
            assert_eq!(
                message.subject.as_str(),
                stream.subject(&name.parse().unwrap())
            );
        }
    }
}

fn apply(deployment: &Deployment, number: &str) -> std::process::Output {
    deployment.run("devtrail", &["streams", "apply", "--event-streams", number])
}

fn refusal_of(output: &std::process::Output) -> String {
    let refusal = stderr_of(output);
    assert_eq!(output.status.code(), Some(2), "{refusal}");
    refusal
}

/// Contract: nats.event-streams-fixed
async fn a_change_is_refused_and_the_way_that_it_names_works(engine: Engine) {
    let mut deployment = Deployment::with_event_streams(engine, EventStreams::ONE).await;
    let empty = refusal_of(&apply(&deployment, "3"));
    assert!(empty.contains("None of them has taken a batch"), "{empty}");
    let url = deployment.collector("collector").await;
    let ada = deployment.client(&url, "ada").await;
    deployment.workers(1);
    let first = ada.send(&envelope("b1", &[event("e1")])).await;
    assert_eq!(first["stream_sequence"], 1);
    deployment.completed(1).await;
    let refusal = refusal_of(&apply(&deployment, "3"));
    for part in ["there are 1 (EVENTS)", "asks for 3", "To move to 3"] {
        assert!(refusal.contains(part), "{refusal}");
    }

    // The way it names.
    let _ = deployment.stop("collector").await;
    deployment.stop_workers().await;
    let js = deployment.js().await;
    js.delete_stream("EVENTS").await.unwrap();
    let applied = apply(&deployment, "3");
    assert!(applied.status.success(), "{}", stderr_of(&applied));
    let url = deployment.collector("collector").await;
    let ada = Client::new(&url, ada.key());
    deployment.workers(1);
    // What was stored before is known as before; only its stream is another one.
    let again = ada.send(&envelope("b1", &[event("e1")])).await;
    let second = ada.send(&envelope("b2", &[event("e2")])).await;
    assert_eq!(again["stream_sequence"], "EVENTS-1-of-3:1");
    assert_eq!(second["stream_sequence"], "EVENTS-1-of-3:2");
    deployment.completed(3).await;
    let count = async |sql: &str| deployment.database.count(sql).await;
    assert_eq!(count("SELECT count(*) FROM events").await, 2);
    assert_eq!(count("SELECT count(*) FROM duplicates").await, 1);
    assert_eq!(deployment.verify()["messages"], 2);
    let traced = deployment.run("devtrail", &["trace", "b1", "--json"]);
    let traced: Vec<Value> = serde_json::from_slice(&traced.stdout).unwrap();
    let places: Vec<&Value> = traced.iter().map(|one| &one["stream_sequence"]).collect();
    assert_eq!(places, [&Value::from(1), &Value::from("EVENTS-1-of-3:1")]);
}

/// A collector that goes by another number finds no stream, whatever it does: each name has the number.
async fn programs_take_the_number_from_the_streams(engine: Engine) {
    let mut deployment = Deployment::with_event_streams(engine, three()).await;
    let js = deployment.js().await;
    js.delete_stream("EVENTS-2-of-3").await.unwrap();
    let log = deployment.run("devtrail-worker", &[deployment.role("persist")]);
    let missing = stderr_of(&log);
    assert!(missing.contains("EVENTS-2-of-3 is missing"), "{missing}");
    let applied = deployment.run("devtrail", &["streams", "apply"]);
    assert!(applied.status.success(), "{}", stderr_of(&applied));
    let url = deployment.collector("collector").await;
    let bob = deployment.client(&url, "bob").await;
    let reply = bob.send(&envelope("b1", &[event("e1")])).await;
    assert_eq!(written_sequence(&reply).stream, "EVENTS-2-of-3");
}

harness::on_both_stores!(
    a_change_is_refused_and_the_way_that_it_names_works,
    programs_take_the_number_from_the_streams,
);

/// A `devtrail up` on the folder of another one that has stopped.
struct Again(Child);

impl Drop for Again {
    fn drop(&mut self) {
        // In order, so that its nats-server goes with it.
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Contract: commands.up-event-streams
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_its_number_of_event_streams() {
    let mut up = DevtrailUp::start_with(&["--event-streams", "3"]).await;
    let reply = up.client().send(&envelope("b1", &[event("e1")])).await;
    assert_eq!(written_sequence(&reply).stream, "EVENTS-2-of-3");
    assert_eq!(up.stop().await, Some(0));
    let other = up_command(&up.path(""))
        .args(["--event-streams", "4"])
        .output()
        .unwrap();
    let refusal = refusal_of(&other);
    assert!(refusal.contains("there are 3 (EVENTS-0-of-3"), "{refusal}");
    // Without the flag it finds them, and maps what others publish to them.
    let _ = std::fs::remove_file(up.path("addresses.json"));
    let again = up_command(&up.path(""))
        .env_remove("DEVTRAIL_EVENT_STREAMS")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _again = Again(again);
    up.until("it is ready again", || {
        up.path("addresses.json").exists().then_some(())
    })
    .await;
    let nats = async_nats::connect(up.address("nats")).await.unwrap();
    let js = async_nats::jetstream::new(nats);
    let publish = js.publish("events.batch.eve", "no batch".into());
    let ack = publish.await.unwrap().await.unwrap();
    assert_eq!(ack.stream, "EVENTS-0-of-3");
}

/// The part of a configuration that is printed is one that nats-server takes.
///
/// Contract: commands.streams-mapping
#[test]
fn the_mapping_is_printed_as_a_server_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let devtrail = Command::new(harness::program("devtrail"))
        .args(["streams", "mapping", "--event-streams", "3"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(devtrail.status.success(), "{}", stderr_of(&devtrail));
    let file = folder.path().join("mapped.conf");
    std::fs::write(&file, &devtrail.stdout).unwrap();
    let tested = Command::new(nats_server())
        .arg("-t")
        .arg("-c")
        .arg(&file)
        .output()
        .unwrap();
    assert!(tested.status.success(), "{}", stderr_of(&tested));
    let printed = String::from_utf8(devtrail.stdout).unwrap();
    assert!(printed.contains("partition(3,1)"), "{printed}");
}
