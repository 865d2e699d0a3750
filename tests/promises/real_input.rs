//! The real input, newest first, by eight clients at once, a tenth of the batches twice, some split
//! and overlapping: the store holds each distinct event once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream};
use harness::{Client, Deployment, Engine, Person, envelope, real_input, stderr_of, until};
use serde_json::Value;

/// Batches of one person: 50 events each, every tenth twice, every seventh split in two parts that
/// overlap by a third.
fn batches(person: &Person) -> Vec<Value> {
    let (developer, events) = person;
    let mut batches = Vec::new();
    for (number, chunk) in events.chunks(50).enumerate() {
        let id = format!("{developer}-{number}");
        if number % 7 == 6 && chunk.len() > 2 {
            let third = chunk.len() / 3;
            batches.push(envelope(&format!("{id}-a"), &chunk[..2 * third]));
            batches.push(envelope(&format!("{id}-b"), &chunk[third..]));
        } else {
            batches.push(envelope(&id, chunk));
        }
        if number % 10 == developer.len() % 10 {
            batches.push(batches[batches.len() - 1].clone());
        }
    }
    batches
}

async fn keys(deployment: &Deployment, people: &[Person]) -> BTreeMap<String, String> {
    let names: Vec<&str> = people
        .iter()
        .map(|(developer, _)| developer.as_str())
        .collect();
    std::fs::write(deployment.path("people"), names.join("\n")).unwrap();
    let output = deployment.run("devtrail", &["keys", "create", "--from-file", "people"]);
    assert!(output.status.success(), "{}", stderr_of(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect()
}

async fn stores_each_distinct_event_once(engine: Engine, paths: &[&Path], unknown_times: i64) {
    let Some(people) = real_input(paths) else {
        eprintln!("left out: {paths:?} is not there");
        return;
    };
    let mut deployment = Deployment::start(engine).await;
    let keys = keys(&deployment, &people).await;
    let url = deployment
        .collector_with("collector", &["--rate", "0"])
        .await;
    deployment.workers(1);
    // Collectors follow the bucket: the last key is known within a second.
    let last = Client::new(&url, &keys[&people[people.len() - 1].0]);
    until("the last key is known", async || {
        (last.post(&Value::Null).await.unwrap().status() != 401).then_some(())
    })
    .await;
    let sends = people.iter().flat_map(|person| {
        let client = Client::new(&url, &keys[&person.0]);
        batches(person)
            .into_iter()
            .map(move |batch| (client.clone(), batch))
    });
    let sends: Vec<_> = sends.collect();
    let sent = sends.len();
    let replies: Vec<Value> = stream::iter(sends)
        .map(|(client, batch)| async move { client.send(&batch).await })
        .buffer_unordered(8)
        .collect()
        .await;
    assert_eq!(replies.len(), sent);
    // A resend within the server's window is no message of its own.
    let messages = replies
        .iter()
        .map(|reply| reply["stream_sequence"].as_u64().unwrap())
        .max();
    let database = &deployment.database;
    until("all are stored", async || {
        let stored = database.count("SELECT count(*) FROM batches").await;
        (Some(stored as u64) == messages).then_some(())
    })
    .await;
    let report = deployment.verify();
    let distinct: BTreeSet<(&str, &str)> = people
        .iter()
        .flat_map(|(developer, events)| {
            events
                .iter()
                .map(move |event| (developer.as_str(), event["id"].as_str().unwrap()))
        })
        .collect();
    let stored = database.count("SELECT count(*) FROM events").await;
    assert_eq!(stored, distinct.len() as i64 - unknown_times);
    assert_eq!(
        database
            .count("SELECT count(DISTINCT event_id) FROM refused WHERE code = 'time_implausible'")
            .await,
        unknown_times
    );
    // Every duplicate with its original: the view joins, so a missing one would be missing here.
    let duplicates = database.count("SELECT count(*) FROM duplicates").await;
    assert_eq!(
        database
            .count("SELECT count(*) FROM duplicates_with_originals")
            .await,
        duplicates
    );
    assert!(
        duplicates > 0 && report["duplicates"] == duplicates,
        "{report}"
    );
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

async fn commits_and_edits_are_stored_once(engine: Engine) {
    let commits = data("data/commits.ndjson.gz");
    let edits = data("data/edits.ndjson.gz");
    stores_each_distinct_event_once(engine, &[&commits, &edits], 2).await;
}

async fn the_ide_log_is_stored_once(engine: Engine) {
    let ide = data("../../shared/data/ide.ndjson.gz");
    stores_each_distinct_event_once(engine, &[&ide], 0).await;
}

harness::on_both_stores!(
    commits_and_edits_are_stored_once,
    the_ide_log_is_stored_once,
);
