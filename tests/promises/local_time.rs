//! Local time: what tells it, and that nothing is concluded where nothing tells it.

use harness::{Deployment, Engine, envelope, stderr_of, until};
use serde_json::{Value, json};

/// An hour of edits, every ten minutes from this UTC time on, by a client that stamps in UTC and names no zone.
fn edits(name: &str, from: &str) -> Value {
    let from: jiff::Timestamp = from.parse().unwrap();
    let edit = |number: i64| {
        let at = from + jiff::SignedDuration::from_mins(10 * number);
        json!({"id": format!("{name}-{number}"), "type": "file.edited", "occurred_at": at.to_string(),
               "data": {"path": "src/main.rs"}})
    };
    envelope(name, &(0..6).map(edit).collect::<Vec<_>>())
}

const ALERTS: &str =
    "SELECT rule, window_start FROM alerts WHERE state = 'raised' ORDER BY window_start";
const DAYS: &str = "SELECT DISTINCT local_day FROM events WHERE event_id LIKE '";

/// Contract: times.local-day, times.zone-kept, commands.developers-list, commands.developers-set
async fn a_zone_that_is_set_counts_for_clients_that_name_none(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    // Two in the morning in UTC, and nobody knows what it is where she sits.
    client.send(&edits("before", "2026-03-03T02:00:00Z")).await;
    deployment.completed(1).await;
    let database = &deployment.database;
    assert_eq!(database.rows(ALERTS).await, Vec::<Vec<String>>::new());
    let set = deployment.run(
        "devtrail",
        &["developers", "set", "ada", "--zone", "Asia/Kolkata"],
    );
    assert!(set.status.success(), "{}", stderr_of(&set));
    let list = deployment.run("devtrail", &["developers", "list", "--json"]);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(
        list,
        json!([{"developer": "ada", "settings": {"zone": "Asia/Kolkata"}}])
    );
    let unknown = ["developers", "set", "adda", "--zone", "Asia/Kolkata"];
    let refused = deployment.run("devtrail", &unknown);
    assert_eq!(refused.status.code(), Some(1), "{}", stderr_of(&refused));
    // A collector follows the bucket: within a second it knows.
    let mut sent = 1;
    until("the zone counts", async || {
        let name = format!("probe{sent}");
        let probe =
            json!({"id": name, "type": "editor.focused", "occurred_at": "2026-03-05T22:00:00Z"});
        client.send(&envelope(&name, &[probe])).await;
        sent += 1;
        deployment.completed(sent).await;
        let days = database.rows(&format!("{DAYS}{name}'")).await;
        (days == [["2026-03-06"]]).then_some(())
    })
    .await;
    // Half past seven in the evening in UTC is one in the night in Kolkata: the night of the day before.
    client.send(&edits("after", "2026-03-09T19:30:00Z")).await;
    deployment.completed(sent + 1).await;
    assert_eq!(
        database.rows(&format!("{DAYS}after%'")).await,
        [["2026-03-10"]]
    );
    assert_eq!(
        database.rows(ALERTS).await,
        [["late-night-work", "2026-03-09"]]
    );
    assert_eq!(
        database.rows(&format!("{DAYS}before%'")).await,
        [["2026-03-03"]],
        "it stays what it was"
    );
    let times = "SELECT local_time FROM normalized WHERE event_id IN ('before-0', 'after-0') ORDER BY event_id DESC";
    assert_eq!(
        database.rows(times).await,
        [
            ["2026-03-03T02:00:00.000000+00:00"],
            ["2026-03-10T01:00:00.000000+05:30"]
        ]
    );
    let _ = deployment.verify();
}

harness::on_both_stores!(a_zone_that_is_set_counts_for_clients_that_name_none);
