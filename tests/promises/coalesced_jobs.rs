//! A backlog of jobs is pulled together, and each window is computed once for all of them: nothing is left out.

use std::collections::BTreeMap;

use harness::{Deployment, Engine, envelope};
use serde_json::{Value, json};

const DEVELOPERS: [&str; 3] = ["ada", "bob", "cy"];
/// Batches a developer; each is of a day of its own, and adds to the day before.
const DAYS: usize = 24;

fn edit(id: &str, day: usize, minute: usize) -> Value {
    let day = jiff::civil::date(2026, 1, 1) + jiff::Span::new().days(day as i64);
    json!({"id": id, "type": "file.edited", "occurred_at": format!("{day}T12:{minute:02}:00Z"),
        "data": {"path": "a.rs"}})
}

/// Everything was sent before the first worker starts.
async fn a_backlog_is_computed_whole(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    for developer in DEVELOPERS {
        let client = deployment.client(&url, developer).await;
        for day in 0..DAYS {
            let events = [
                edit(&format!("{day}-a"), day, 10),
                edit(&format!("{day}-b"), day, 20),
                edit(&format!("{day}-c"), day.saturating_sub(1), 30),
            ];
            client.send(&envelope(&format!("b{day}"), &events)).await;
        }
    }
    deployment.workers(1);
    let batches = DEVELOPERS.len() * DAYS;
    deployment.completed(batches as i64).await;
    // The jobs of a round are finished at one time.
    let rounds = "SELECT kind, count(DISTINCT finished_at), count(*) FROM completed_jobs GROUP BY kind ORDER BY kind";
    let rounds = deployment.database.rows(rounds).await;
    assert_eq!(rounds.len(), 3);
    for row in rounds {
        let [rounds, jobs] = [1, 2].map(|at: usize| row[at].parse::<usize>().unwrap());
        assert!(jobs == batches && 4 * rounds <= jobs, "{row:?}");
    }
    let days = "SELECT developer, day, body, counts FROM days ORDER BY developer, day";
    let mut edits: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for row in deployment.database.rows(days).await {
        let body: Value = serde_json::from_str(&row[2]).unwrap();
        let count = body["edits"].as_u64().unwrap();
        edits.entry(row[0].clone()).or_default().push(count);
    }
    // The first day has the late edits of its own batch and of the next, the last has none.
    let mut expected = vec![3; DAYS];
    (expected[0], expected[DAYS - 1]) = (4, 2);
    let all = DEVELOPERS.map(|developer| (developer.to_owned(), expected.clone()));
    assert_eq!(edits, all.into());
    let records =
        "SELECT developer, count(*) FROM normalized GROUP BY developer ORDER BY developer";
    let count = (DAYS * 3).to_string();
    let all = DEVELOPERS.map(|developer| vec![developer.to_owned(), count.clone()]);
    assert_eq!(deployment.database.rows(records).await, all);
}

harness::on_both_stores!(a_backlog_is_computed_whole);
