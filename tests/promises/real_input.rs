//! The real input, newest first, by eight clients at once, a tenth of the batches twice, some split
//! and overlapping: the store holds each distinct event once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream};
use harness::{Client, DevtrailUp, Person, envelope, real_input};
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

async fn keys(up: &DevtrailUp, people: &[Person]) -> BTreeMap<String, String> {
    let file = up.path("people");
    let names: Vec<&str> = people
        .iter()
        .map(|(developer, _)| developer.as_str())
        .collect();
    std::fs::write(&file, names.join("\n")).unwrap();
    let output = up.devtrail(&["keys", "create", "--from-file", file.to_str().unwrap()]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect()
}

async fn stores_each_distinct_event_once(paths: &[&Path], unknown_times: i64) {
    let Some(people) = real_input(paths) else {
        eprintln!("skipped: {paths:?} is not there");
        return;
    };
    let up = DevtrailUp::start().await;
    let keys = keys(&up, &people).await;
    let url = up.address("collector");
    // Collectors follow the bucket: the last key is known within a second.
    let last = Client::new(&url, &keys[&people[people.len() - 1].0]);
    while last.post(&Value::Null).await.unwrap().status() == 401 {
        tokio::task::yield_now().await;
    }
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
    let report = up.verify();
    let distinct: BTreeSet<(&str, &str)> = people
        .iter()
        .flat_map(|(developer, events)| {
            events
                .iter()
                .map(move |event| (developer.as_str(), event["id"].as_str().unwrap()))
        })
        .collect();
    let stored = up.count("SELECT count(*) FROM events");
    assert_eq!(stored, distinct.len() as i64 - unknown_times);
    assert_eq!(
        up.count("SELECT count(DISTINCT event_id) FROM refused WHERE code = 'time_implausible'"),
        unknown_times
    );
    // Every duplicate with its original: the view joins, so a missing one would be missing here.
    let duplicates = up.count("SELECT count(*) FROM duplicates");
    assert_eq!(
        up.count("SELECT count(*) FROM duplicates_with_originals"),
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

#[tokio::test(flavor = "multi_thread")]
async fn commits_and_edits_are_stored_once() {
    let commits = data("data/commits.ndjson.gz");
    let edits = data("data/edits.ndjson.gz");
    stores_each_distinct_event_once(&[&commits, &edits], 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ide_log_is_stored_once() {
    stores_each_distinct_event_once(&[&data("../../shared/data/ide.ndjson.gz")], 0).await;
}
