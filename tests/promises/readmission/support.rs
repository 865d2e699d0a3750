//! Shared by the tests of readmission: events of an unknown type, schemas that know it, what is stored.

use std::path::Path;

use harness::{Client, Database, Deployment, Engine, envelope, events_of, stderr_of};
use runtime::clock;
use serde_json::{Value, json};
use types::time::{SECOND, rfc3339};

/// A schema of the type in this version; `data` is what its data must be.
pub fn schema(folder: &Path, version: &str, kind: &str, data: &Value) {
    let schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
        "title": "A test's own.", "required": ["id", "type", "occurred_at", "data"],
        "properties": {"type": {"const": kind}, "data": data}});
    let folder = folder.join(version);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{kind}.json")), schema.to_string()).unwrap();
}

/// An event nobody knows the type of.
pub fn coffee(id: &str, data: &Value) -> Value {
    json!({"id": id, "type": "coffee.brewed", "occurred_at": "2026-03-01T02:30:00Z", "data": data})
}

/// A folder that knows coffee: it needs cups.
pub fn with_coffee() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    schema(
        folder.path(),
        "1.0",
        "coffee.brewed",
        &json!({"required": ["cups"]}),
    );
    folder
}

pub async fn deployment(engine: Engine) -> (Deployment, Client) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    (deployment, client)
}

/// Runs `devtrail quarantine …` and gives what it says as JSON.
pub fn quarantine(deployment: &Deployment, arguments: &[&str]) -> Value {
    let output = deployment.run(
        "devtrail",
        &[&["quarantine"], arguments, &["--json"]].concat(),
    );
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        stderr_of(&output)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What became of an event.
pub fn becomes<'a>(report: &'a Value, id: &str) -> &'a Value {
    let batches = report["batches"].as_array().unwrap();
    let mut events = batches
        .iter()
        .flat_map(|batch| batch["events"].as_array().unwrap());
    events
        .find(|event| event["id"] == id)
        .unwrap_or_else(|| panic!("{id} is not in {report}"))
}

/// Everything that a readmission could change.
pub async fn everything(database: &Database) -> Vec<Vec<Vec<String>>> {
    let mut tables = Vec::new();
    for sql in [
        "SELECT src, seq, batch_id, state, need, done, received, accepted, duplicate FROM batches ORDER BY src, seq",
        "SELECT src, seq, ordinal, event_id, effective_at, local_day FROM events ORDER BY src, seq, ordinal",
        "SELECT src, seq, ordinal, event_id, code FROM refused ORDER BY src, seq, ordinal",
        "SELECT src, seq, ordinal, event_id FROM duplicates ORDER BY src, seq, ordinal",
        "SELECT src, seq, step, outcome, time FROM audit ORDER BY src, seq, step, outcome, time",
        "SELECT developer, day, body FROM days ORDER BY developer, day",
    ] {
        tables.push(database.rows(sql).await);
    }
    tables
}

pub async fn messages(deployment: &Deployment) -> u64 {
    let mut stream = deployment
        .js()
        .await
        .get_stream(&events_of("ada"))
        .await
        .unwrap();
    stream.info().await.unwrap().state.last_sequence
}

/// A batch of a client whose clock is two hours fast, in New York: what it says happened at 02:30 of
/// 1 March in UTC happened on its 28 February.
pub fn from_new_york(batch_id: &str, events: &[Value]) -> Value {
    let mut batch = envelope(batch_id, events);
    batch["sent_at"] = json!(rfc3339(clock::now() + 7200 * SECOND));
    batch["client"] = json!({"name": "test", "time_zone": "America/New_York"});
    batch
}
