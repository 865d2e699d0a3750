//! Quarantined events are admitted again as of their receipt, once, and named by their origin (R2.2).

mod stream;
mod support;

use harness::{Deployment, Engine, envelope, event, events_of, stderr_of};
use serde_json::{Value, json};

use support::{becomes, deployment, everything, from_new_york, messages, quarantine};
pub use support::{coffee, schema, with_coffee};

/// Contract: commands.quarantine-list, readmit.evaluated, readmit.times, readmit.twice
/// Contract: readmit.dry-run, readmit.kept
async fn an_unknown_type_is_readmitted_once_as_of_its_receipt(engine: Engine) {
    let (mut deployment, client) = deployment(engine).await;
    deployment.workers(1);
    let mut known = event("known");
    known["occurred_at"] = json!("2026-03-01T02:30:00Z");
    let sent = [
        known,
        coffee("e1", &json!({"cups": 1})),
        coffee("e2", &json!({})),
        coffee("e3", &json!({"cups": 2})),
    ];
    let reply = client.send(&from_new_york("b1", &sent)).await;
    assert_eq!(reply["counts"]["quarantined"], 3);
    deployment.completed(1).await;
    let listed = quarantine(&deployment, &["list"]);
    let ids: Vec<&Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["id"])
        .collect();
    assert_eq!(ids, ["e1", "e2", "e3"]);
    assert_eq!(
        (&listed[0]["ref"], &listed[0]["type"]),
        (&json!("1:1:1"), &json!("coffee.brewed"))
    );
    let folder = with_coffee();
    let schemas = folder.path().to_str().unwrap();
    let before = everything(&deployment.database).await;
    let tried = quarantine(&deployment, &["readmit", "--schemas", schemas, "--dry-run"]);
    assert_eq!(
        (&tried["counts"]["readmitted"], &tried["counts"]["stays"]),
        (&json!(2), &json!(1)),
        "{tried}"
    );
    assert_eq!(
        (
            everything(&deployment.database).await,
            messages(&deployment).await
        ),
        (before, 1),
        "a dry run writes nothing"
    );
    let report = quarantine(&deployment, &["readmit", "--schemas", schemas]);
    assert_eq!(
        (
            &report["counts"]["readmitted"],
            &report["counts"]["messages"]
        ),
        (&json!(2), &json!(1)),
        "{report}"
    );
    let stays = becomes(&report, "e2");
    assert_eq!(
        (&stays["becomes"], &stays["code"], &stays["pointer"]),
        (&json!("stays"), &json!("schema_invalid"), &json!("/data"))
    );
    deployment.completed(2).await;
    as_if_known_from_the_start(&deployment).await;
    twice_changes_nothing(&deployment, schemas).await;
}

async fn as_if_known_from_the_start(deployment: &Deployment) {
    let times = "SELECT DISTINCT effective_at, local_day FROM events";
    let times = deployment.database.rows(times).await;
    assert_eq!(
        (times.len(), times[0][1].as_str()),
        (1, "2026-02-28"),
        "{times:?}"
    );
    let records = "SELECT count(*) FROM normalized WHERE event_id IN ('e1', 'e3') AND local_day = '2026-02-28'";
    assert_eq!(deployment.database.count(records).await, 2);
    let stored = "SELECT batch_id, seq, accepted FROM batches WHERE batch_id LIKE 'readmit%'";
    assert_eq!(
        deployment.database.rows(stored).await,
        [["readmit-1-1", "2", "2"]]
    );
    let shown = deployment.run("devtrail", &["trace", "e1"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("batch readmit-1-1 of ada")
            && shown.contains("readmitted: events 1, 3 of EVENTS 1, batch b1"),
        "{shown}"
    );
    let days = deployment.run(
        "devtrail",
        &[
            "metrics",
            "show",
            "ada",
            "--json",
            "--from",
            "2026-02-28",
            "--to",
            "2026-02-28",
        ],
    );
    assert!(
        String::from_utf8_lossy(&days.stdout).contains("\"events\": 3"),
        "{days:?}"
    );
    let report = deployment.verify();
    assert_eq!(
        (&report["stored"], &report["quarantined"]),
        (&json!(3), &json!(3)),
        "the origin keeps its own"
    );
}

async fn twice_changes_nothing(deployment: &Deployment, schemas: &str) {
    let before = everything(&deployment.database).await;
    let again = quarantine(deployment, &["readmit", "--schemas", schemas]);
    let counts = &again["counts"];
    assert_eq!(
        [&counts["readmitted"], &counts["stored"], &counts["stays"]],
        [&json!(0), &json!(2), &json!(1)]
    );
    assert_eq!(
        (
            everything(&deployment.database).await,
            messages(deployment).await
        ),
        (before, 2)
    );
    let open = quarantine(deployment, &["list"]);
    assert_eq!(
        (open.as_array().unwrap().len(), &open[0]["id"]),
        (1, &json!("e2"))
    );
    let all = quarantine(deployment, &["list", "--all", "--type", "coffee.brewed"]);
    assert_eq!(
        (all.as_array().unwrap().len(), &all[0]["stored_as"]),
        (3, &json!("1:2:0")),
        "{all}"
    );
}

/// Contract: readmit.filters, readmit.message, readmit.batch-id, readmit.stays, readmit.conflicts
async fn what_does_not_pass_stays_with_its_reason(engine: Engine) {
    let (mut deployment, client) = deployment(engine).await;
    deployment.workers(1);
    let with = |mut event: Value, name: &str, value: &str| {
        event[name] = json!(value);
        event
    };
    let finished = json!({
        "id": "newer",
        "type": "test.finished",
        "schema_version": "1.2",
        "occurred_at": "2026-03-01T02:30:00Z",
        "data": {"outcome": "skipped"},
    });
    client.send(&envelope("b1", &[event("taken")])).await;
    let sent = [
        with(event("taken"), "type", "file.opened"),
        with(event("old"), "occurred_at", "1999-12-31T23:59:59Z"),
        with(event("major"), "schema_version", "2.0"),
        finished,
        event("good"),
    ];
    let reply = client.send(&envelope("b2", &sent)).await;
    assert_eq!(
        reply["counts"]["quarantined"], 3,
        "the store finds the conflict: {reply}"
    );
    deployment.completed(2).await;
    let folder = tempfile::tempdir().unwrap();
    let schemas = folder.path().to_str().unwrap();
    schema(
        folder.path(),
        "1.2",
        "test.finished",
        &json!({"required": ["outcome"]}),
    );
    let first = quarantine(&deployment, &["readmit", "--schemas", schemas]);
    assert_eq!(
        (&first["counts"]["readmitted"], &first["counts"]["stays"]),
        (&json!(1), &json!(3)),
        "{first}"
    );
    assert_eq!(becomes(&first, "newer")["becomes"], "readmitted");
    for (id, code) in [
        ("taken", "id_conflict"),
        ("old", "time_implausible"),
        ("major", "schema_version_unsupported"),
    ] {
        assert_eq!(becomes(&first, id)["code"], code, "{first}");
    }
    // Another schema comes later: the same origin sends another message under the same batch id.
    schema(
        folder.path(),
        "2.0",
        "file.saved",
        &json!({"required": ["path"]}),
    );
    let second = quarantine(&deployment, &["readmit", "--schemas", schemas]);
    assert_eq!(
        (&second["counts"]["readmitted"], &second["counts"]["stored"]),
        (&json!(1), &json!(1)),
        "{second}"
    );
    deployment.completed(4).await;
    let stored = "SELECT event_id, schema_version FROM events WHERE seq > 2 ORDER BY event_id";
    assert_eq!(
        deployment.database.rows(stored).await,
        [["major", "2.0"], ["newer", "1.2"]]
    );
    let named = deployment.run(
        "devtrail",
        &["quarantine", "readmit", "nothing-of-that-name"],
    );
    assert!(
        named.status.code() == Some(1) && stderr_of(&named).contains("quarantine list"),
        "{}",
        stderr_of(&named)
    );
    // Neither a place nor an id leads to what is another developer's.
    let _ = deployment.key("bob");
    for name in ["1:2:1", "old"] {
        let output = deployment.run(
            "devtrail",
            &["quarantine", "readmit", name, "--developer", "bob"],
        );
        assert!(
            output.status.code() == Some(1) && stderr_of(&output).contains("of bob"),
            "{}",
            stderr_of(&output)
        );
    }
    let chosen = quarantine(&deployment, &["readmit", "old", "1:2:0", "--dry-run"]);
    assert_eq!(chosen["counts"]["stays"], 2, "{chosen}");
    narrowed(&deployment).await;
    let _ = deployment.verify();
}

/// Of the four that were quarantined one is of another time, one of another type.
async fn narrowed(deployment: &Deployment) {
    let origin: Vec<u8> = deployment
        .js()
        .await
        .get_stream(&events_of("ada"))
        .await
        .unwrap()
        .direct_get(3)
        .await
        .unwrap()
        .payload
        .to_vec();
    let header = types::batch::decode(origin.into()).unwrap().header;
    let named = header.origin.unwrap();
    assert_eq!(
        (header.batch_id.as_str(), named.seq, named.batch_id.as_str()),
        ("readmit-1-2", 2, "b2")
    );
    for (flags, ids) in [
        (
            &["--developer", "ada"][..],
            &["taken", "old", "major", "newer"][..],
        ),
        (&["--developer", "bob"], &[]),
        (&["--code", "time_implausible"], &["old"]),
        (&["--type", "test.finished"], &["newer"]),
        (
            &["--since", "2026-03-01", "--type", "file.opened"],
            &["taken"],
        ),
        (&["--since", "2999-01-01"], &[]),
    ] {
        let listed = quarantine(deployment, &[&["list", "--all"], flags].concat());
        let listed: Vec<&Value> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|event| &event["id"])
            .collect();
        assert_eq!(listed, ids, "{flags:?}");
        let tried = quarantine(deployment, &[&["readmit", "--dry-run"], flags].concat());
        let counts =
            ["readmitted", "stored", "stays"].map(|count| tried["counts"][count].as_u64().unwrap());
        assert_eq!(
            counts.iter().sum::<u64>(),
            ids.len() as u64,
            "{flags:?}: {tried}"
        );
    }
}

/// Contract: quarantine.again
async fn what_was_quarantined_in_several_batches_is_one_entry(engine: Engine) {
    let (mut deployment, client) = deployment(engine).await;
    deployment.workers(1);
    let one = coffee("e1", &json!({"cups": 1}));
    let two = coffee("e2", &json!({"cups": 2}));
    let other = coffee("e2", &json!({"cups": 3}));
    let batches: [&[Value]; 4] = [
        &[one.clone(), two.clone()],
        &[event("known"), one.clone()],
        &[two, one],
        &[other],
    ];
    for (number, events) in (1_i64..).zip(batches) {
        client.send(&envelope(&format!("b{number}"), events)).await;
        deployment.completed(number).await;
    }
    let entries = |listed: &Value| -> Vec<Value> {
        let entries = listed.as_array().unwrap().iter();
        let entries = entries.map(|entry| json!([entry["ref"], entry["id"], entry["times"]]));
        entries.collect()
    };
    let expected = [
        json!(["1:1:0", "e1", 3]),
        json!(["1:1:1", "e2", 2]),
        json!(["1:4:0", "e2", 1]),
    ];
    let listed = quarantine(&deployment, &["list"]);
    assert_eq!(entries(&listed), expected, "other content is another entry");
    assert!(listed[0]["last_received_at"].as_str() > listed[0]["received_at"].as_str());
    let since = listed[0]["last_received_at"].as_str().unwrap();
    assert_eq!(
        entries(&quarantine(&deployment, &["list", "--since", since])),
        [
            json!(["1:3:0", "e2", 1]),
            json!(["1:3:1", "e1", 1]),
            json!(["1:4:0", "e2", 1]),
        ],
        "of what came since then"
    );
    assert_eq!(entries(&quarantine(&deployment, &["show", "e1"])).len(), 1);
    let report = deployment.verify();
    assert_eq!(
        report["quarantined"], 6,
        "each submission has its own: {report}"
    );
    let folder = with_coffee();
    let schemas = folder.path().to_str().unwrap();
    let report = quarantine(&deployment, &["readmit", "--schemas", schemas]);
    let counts = &report["counts"];
    assert_eq!(
        [&counts["readmitted"], &counts["messages"]],
        [&json!(2), &json!(1)],
        "each once: {report}"
    );
    deployment.completed(5).await;
    assert_eq!(
        entries(&quarantine(&deployment, &["list"])),
        expected[2..],
        "the other content stays, in conflict with what is stored"
    );
    let all = quarantine(&deployment, &["list", "--all"]);
    assert_eq!(entries(&all), expected);
    assert_eq!(
        [&all[0]["stored_as"], &all[1]["stored_as"]],
        [&json!("1:5:0"), &json!("1:5:1")]
    );
    assert_eq!(deployment.verify()["stored"], 3);
}

harness::on_both_stores!(
    an_unknown_type_is_readmitted_once_as_of_its_receipt,
    what_was_quarantined_in_several_batches_is_one_entry,
    what_does_not_pass_stays_with_its_reason,
);
