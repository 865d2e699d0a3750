//! Quarantined events are admitted again as of their receipt, once, and named by their origin (R2.2).

mod stream;
mod tools;

use harness::{Engine, Site, envelope, event, said};
use serde_json::{Value, json};

use tools::{becomes, everything, from_new_york, messages, quarantine, site};
pub use tools::{coffee, schema, with_coffee};

/// Contract: commands.quarantine-list, readmit.evaluated, readmit.times, readmit.twice
/// Contract: readmit.dry-run, readmit.kept
async fn an_unknown_type_is_readmitted_as_of_its_receipt_and_twice_changes_nothing(engine: Engine) {
    let (mut site, client) = site(engine).await;
    site.workers(1);
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
    site.completed(1).await;
    let listed = quarantine(&site, &["list"]);
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
    let before = everything(&site.database).await;
    let tried = quarantine(&site, &["readmit", "--schemas", schemas, "--dry-run"]);
    assert_eq!(
        (&tried["counts"]["readmitted"], &tried["counts"]["stays"]),
        (&json!(2), &json!(1)),
        "{tried}"
    );
    assert_eq!(
        (everything(&site.database).await, messages(&site).await),
        (before, 1),
        "a dry run writes nothing"
    );
    let report = quarantine(&site, &["readmit", "--schemas", schemas]);
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
    site.completed(2).await;
    as_if_known_from_the_start(&site).await;
    twice_changes_nothing(&site, schemas).await;
}

async fn as_if_known_from_the_start(site: &Site) {
    let times = "SELECT DISTINCT effective_at, local_day FROM events";
    let times = site.database.rows(times).await;
    assert_eq!(
        (times.len(), times[0][1].as_str()),
        (1, "2026-02-28"),
        "{times:?}"
    );
    let records = "SELECT count(*) FROM normalized WHERE event_id IN ('e1', 'e3') AND local_day = '2026-02-28'";
    assert_eq!(site.database.count(records).await, 2);
    let stored = "SELECT batch_id, seq, accepted FROM batches WHERE batch_id LIKE 'readmit%'";
    assert_eq!(
        site.database.rows(stored).await,
        [["readmit-1-1", "2", "2"]]
    );
    let shown = site.run("devtrail", &["trace", "e1"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("batch readmit-1-1 of ada")
            && shown.contains("readmitted: events 1, 3 of EVENTS 1, batch b1"),
        "{shown}"
    );
    let days = site.run(
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
    let report = site.verify();
    assert_eq!(
        (&report["stored"], &report["quarantined"]),
        (&json!(3), &json!(3)),
        "the origin keeps its own"
    );
}

async fn twice_changes_nothing(site: &Site, schemas: &str) {
    let before = everything(&site.database).await;
    let again = quarantine(site, &["readmit", "--schemas", schemas]);
    let counts = &again["counts"];
    assert_eq!(
        [&counts["readmitted"], &counts["stored"], &counts["stays"]],
        [&json!(0), &json!(2), &json!(1)]
    );
    assert_eq!(
        (everything(&site.database).await, messages(site).await),
        (before, 2)
    );
    let open = quarantine(site, &["list"]);
    assert_eq!(
        (open.as_array().unwrap().len(), &open[0]["id"]),
        (1, &json!("e2"))
    );
    let all = quarantine(site, &["list", "--all", "--type", "coffee.brewed"]);
    assert_eq!(
        (all.as_array().unwrap().len(), &all[0]["stored_as"]),
        (3, &json!("1:2:0")),
        "{all}"
    );
}

/// Contract: readmit.filters, readmit.message, readmit.batch-id, readmit.stays, readmit.conflicts
async fn what_does_not_pass_stays_with_its_reason(engine: Engine) {
    let (mut site, client) = site(engine).await;
    site.workers(1);
    let with = |mut event: Value, name: &str, value: &str| {
        event[name] = json!(value);
        event
    };
    let finished = json!({"id": "newer", "type": "test.finished", "schema_version": "1.2", "occurred_at": "2026-03-01T02:30:00Z",
        "data": {"outcome": "skipped"}});
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
    site.completed(2).await;
    let folder = tempfile::tempdir().unwrap();
    let schemas = folder.path().to_str().unwrap();
    schema(
        folder.path(),
        "1.2",
        "test.finished",
        &json!({"required": ["outcome"]}),
    );
    let first = quarantine(&site, &["readmit", "--schemas", schemas]);
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
    let second = quarantine(&site, &["readmit", "--schemas", schemas]);
    assert_eq!(
        (&second["counts"]["readmitted"], &second["counts"]["stored"]),
        (&json!(1), &json!(1)),
        "{second}"
    );
    site.completed(4).await;
    let stored = "SELECT event_id, schema_version FROM events WHERE seq > 2 ORDER BY event_id";
    assert_eq!(
        site.database.rows(stored).await,
        [["major", "2.0"], ["newer", "1.2"]]
    );
    let named = site.run(
        "devtrail",
        &["quarantine", "readmit", "nothing-of-that-name"],
    );
    assert!(
        named.status.code() == Some(1) && said(&named).contains("quarantine list"),
        "{}",
        said(&named)
    );
    // Neither a place nor an id leads to what is another developer's.
    for name in ["1:2:1", "old"] {
        let output = site.run(
            "devtrail",
            &["quarantine", "readmit", name, "--developer", "bob"],
        );
        assert!(
            output.status.code() == Some(1) && said(&output).contains("of bob"),
            "{}",
            said(&output)
        );
    }
    let chosen = quarantine(&site, &["readmit", "old", "1:2:0", "--dry-run"]);
    assert_eq!(chosen["counts"]["stays"], 2, "{chosen}");
    narrowed(&site).await;
    let _ = site.verify();
}

/// Of the four that were quarantined one is of another time, one of another type.
async fn narrowed(site: &Site) {
    let origin: Vec<u8> = site
        .js()
        .await
        .get_stream("EVENTS")
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
        let listed = quarantine(site, &[&["list", "--all"], flags].concat());
        let listed: Vec<&Value> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|event| &event["id"])
            .collect();
        assert_eq!(listed, ids, "{flags:?}");
        let tried = quarantine(site, &[&["readmit", "--dry-run"], flags].concat());
        let counts =
            ["readmitted", "stored", "stays"].map(|count| tried["counts"][count].as_u64().unwrap());
        assert_eq!(
            counts.iter().sum::<u64>(),
            ids.len() as u64,
            "{flags:?}: {tried}"
        );
    }
}

harness::on_both_stores!(
    an_unknown_type_is_readmitted_as_of_its_receipt_and_twice_changes_nothing,
    what_does_not_pass_stays_with_its_reason,
);
