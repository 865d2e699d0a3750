//! Dead dead letters: listed, shown, redriven, dropped; nothing of them is lost or done twice.

mod confirmation;
mod drop;
mod killed;
mod race;

use std::process::Output;

use harness::{
    Client, Database, Deployment, Engine, envelope, event, events_of, src_of, stderr_of, until,
};
use serde_json::Value;

/// Every table that is derived from the events, and the batches; without what depends on the moment.
const DERIVED: [&str; 9] = [
    "SELECT src, seq, developer, batch_id, message_id, received, accepted, duplicate, rejected, quarantined, \
        need, done,
       failed, state FROM batches ORDER BY src, seq",
    "SELECT src, seq, ordinal, developer, event_id, type, effective_at, local_day FROM events ORDER BY \
        developer, event_id",
    "SELECT developer, hour, gen FROM hours ORDER BY developer, hour",
    "SELECT developer, kind, hour, computed_gen, version, body FROM partials ORDER BY developer, kind, hour",
    "SELECT developer, day, computed_gen, version, body FROM days ORDER BY developer, day",
    "SELECT developer, event_id, version, src, seq, ordinal, record FROM normalized ORDER BY developer, \
        event_id, version",
    "SELECT developer, rule, window_start, computed_gen, version FROM rule_windows ORDER BY developer, rule, \
        window_start",
    "SELECT alert_id, developer, rule, window_start, title, state, revision, src, seq FROM alerts ORDER BY alert_id",
    "SELECT count(*) FROM attempts",
];

async fn derived(deployment: &Deployment) -> Vec<Vec<Vec<String>>> {
    let mut tables = Vec::new();
    for sql in DERIVED {
        tables.push(deployment.database.rows(sql).await);
    }
    tables
}

/// Has the database refuse the event `event_id` in `table`, as a defect or a constraint would.
async fn refuse(deployment: &Deployment, table: &str, event_id: &str) {
    let is_refused = match table {
        "events" => format!("NEW.event_id = '{event_id}'"),
        _ => format!(
            "EXISTS (SELECT 1 FROM events e WHERE e.src = NEW.src AND e.seq = NEW.seq AND e.ordinal = NEW.ordinal
               AND e.event_id = '{event_id}')"
        ),
    };
    let sql = match deployment.database {
        Database::Sqlite(_) => format!(
            "CREATE TRIGGER refuse_{table} BEFORE INSERT ON {table} WHEN {is_refused}
               BEGIN SELECT RAISE(ABORT, 'refused by the test'); END"
        ),
        Database::Postgres(_) => format!(
            "CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF {is_refused} THEN
                 RAISE EXCEPTION 'refused by the test' USING ERRCODE = '23514';
               END IF; RETURN NEW; END $$;
             CREATE TRIGGER refuse_{table} BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_{table}()"
        ),
    };
    deployment.database.execute(&sql).await;
}

/// Mends the cause.
async fn repair(deployment: &Deployment, table: &str) {
    let sql = match deployment.database {
        Database::Sqlite(_) => format!("DROP TRIGGER refuse_{table}"),
        Database::Postgres(_) => format!("DROP TRIGGER refuse_{table} ON {table}"),
    };
    deployment.database.execute(&sql).await;
}

/// A deployment with workers and tables, and a client of the developer ada.
async fn running(engine: Engine) -> (Deployment, Client) {
    let (deployment, client) = Deployment::running(engine).await;
    until("the tables are made", async || {
        deployment.has_tables().await.then_some(())
    })
    .await;
    (deployment, client)
}

async fn send(client: &Client) {
    for (batch, ids) in [
        ("b1", ["e1", "e2"]),
        ("b2", ["poison", "e3"]),
        ("b3", ["e4", "e5"]),
    ] {
        client.send(&envelope(batch, &ids.map(event))).await;
    }
}

fn dead(deployment: &Deployment, arguments: &[&str]) -> Output {
    deployment.run("devtrail", &[&["dead"], arguments].concat())
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            stderr_of(output)
        )
    })
}

fn listed(deployment: &Deployment, filters: &[&str]) -> Vec<Value> {
    let output = dead(deployment, &[&["list", "--json"], filters].concat());
    json(&output).as_array().unwrap().clone()
}

/// Waits until DEAD has so many dead letters; gives them.
async fn dead_letters(deployment: &Deployment, count: usize) -> Vec<Value> {
    let there =
        async || Some(listed(deployment, &[])).filter(|dead_letters| dead_letters.len() == count);
    until(&format!("DEAD has {count} letters"), there).await
}

/// A batch or job of ada's, by what follows the number of her stream.
fn at(rest: &str) -> String {
    format!("{}:{rest}", src_of("ada"))
}

fn became(report: &Value) -> Vec<&str> {
    report["letters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["became"].as_str().unwrap())
        .collect()
}

/// Contract: commands.dead-list, commands.dead-redrive, dead.filters, dead.redrive
/// Contract: dead.redrive-twice, dead.redrive-waits, dead.again
async fn a_redrive_after_a_fix_leaves_no_trace_in_the_store(engine: Engine) {
    let (sound, client) = running(engine).await;
    send(&client).await;
    sound.completed(3).await;
    let expected = derived(&sound).await;
    drop(sound);

    let (deployment, client) = running(engine).await;
    refuse(&deployment, "events", "poison").await;
    refuse(&deployment, "normalized_records", "e4").await;
    send(&client).await;
    let found = dead_letters(&deployment, 2).await;
    let of = |stream: &str| found.iter().find(|one| one["stream"] == stream).unwrap();
    let message = of(&events_of("ada"));
    let job = of("JOBS");
    assert_eq!(
        (&message["batch"], &message["developer"]),
        (&at("2").into(), &"ada".into()),
        "{message}"
    );
    assert_eq!(message["event_ids"], serde_json::json!(["poison", "e3"]));
    assert!(
        message["reason"]
            .as_str()
            .unwrap()
            .contains("refused by the test"),
        "{message}"
    );
    assert_eq!(job["job_id"], at("3:normalize"));
    let _ = deployment.key("bob");
    for (filters, count) in [
        (&["--stream", "JOBS"][..], 1),
        (&["--consumer", "persist"], 1),
        (&["--developer", "bob"], 0),
        (&["--reason", "REFUSED BY"], 2),
        (&["--since", "2999-01-01"], 0),
    ] {
        assert_eq!(listed(&deployment, filters).len(), count, "{filters:?}");
    }

    // The cause is still there: both are dead-lettered again, as new dead letters that say so.
    let again = dead(&deployment, &["redrive", "--all", "--json"]);
    assert_eq!(again.status.code(), Some(1), "{}", stderr_of(&again));
    assert_eq!(became(&json(&again)), ["gave_up_again"; 2]);
    let found = dead_letters(&deployment, 2).await;
    let pointer = found.iter().find(|one| one["stream"] == "REPLAY").unwrap();
    assert_eq!(
        (&pointer["batch"], &pointer["developer"]),
        (&at("2").into(), &"ada".into()),
        "{pointer}"
    );
    let only_jobs = json(&dead(
        &deployment,
        &[
            "redrive",
            "--all",
            "--stream",
            "JOBS",
            "--dry-run",
            "--json",
        ],
    ));
    assert_eq!(became(&only_jobs), ["would_be_redriven"]);

    repair(&deployment, "events").await;
    repair(&deployment, "normalized_records").await;
    let redrive = || {
        let mut command = deployment.command("devtrail", &["dead", "redrive", "--all", "--json"]);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    for one in [redrive(), redrive()] {
        let output = one.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            stderr_of(&output)
        );
        assert!(
            became(&json(&output))
                .iter()
                .all(|one| ["stored", "done"].contains(one))
        );
    }
    deployment.completed(3).await;
    assert_eq!(derived(&deployment).await, expected);
    dead_letters(&deployment, 0).await;
    let completed = "SELECT job_id FROM completed_jobs WHERE kind = 'normalize' AND seq = 3";
    assert_eq!(
        deployment.database.rows(completed).await,
        [[at("3:normalize:r2")]]
    );
    let redriven = "SELECT count(*) FROM audit WHERE step = 'redriven'";
    assert_eq!(
        deployment.database.count(redriven).await,
        4,
        "each letter's redrive is written down once"
    );
    let _ = deployment.verify();
}

/// Contract: commands.dead-show, dead.number, dead.trace
async fn a_dead_letter_is_shown_whole_and_its_redrive_is_traced(engine: Engine) {
    let (deployment, client) = running(engine).await;
    refuse(&deployment, "normalized_records", "e4").await;
    send(&client).await;
    let number = dead_letters(&deployment, 1).await[0]["sequence"].to_string();
    let shown = json(&dead(&deployment, &["show", &number, "--json"]));
    assert_eq!(
        (&shown["payload"]["kind"], &shown["payload"]["job"]["kind"]),
        (&"job".into(), &"normalize".into())
    );
    assert!(
        shown["headers"]["Devtrail-Reason"][0]
            .as_str()
            .unwrap()
            .contains("refused"),
        "{shown}"
    );
    let now = shown["now"].as_str().unwrap();
    assert!(
        now.contains("batch 1:3 (b3) is stored and failed") && now.contains("failed: normalize"),
        "{now}"
    );
    let text = String::from_utf8(dead(&deployment, &["show", &number]).stdout).unwrap();
    assert!(
        text.contains("from JOBS/normalize") && text.contains("Devtrail-Reason: "),
        "{text}"
    );
    repair(&deployment, "normalized_records").await;
    let redriven = dead(&deployment, &["redrive", &number]);
    assert!(redriven.status.success(), "{}", stderr_of(&redriven));
    assert!(
        String::from_utf8_lossy(&redriven.stdout).contains("(job 1:3:normalize): done"),
        "{redriven:?}"
    );
    let traced = deployment.run("devtrail", &["trace", "job:1:3:normalize", "--json"]);
    let traced = json(&traced);
    let steps: Vec<&Value> = traced[0]["steps"].as_array().unwrap().iter().collect();
    let step = |name: &str| {
        steps
            .iter()
            .find(|step| step["step"] == name)
            .unwrap_or_else(|| panic!("{name}: {traced}"))
    };
    assert!(
        step("dead")["detail"]["reason"]
            .as_str()
            .unwrap()
            .contains("refused")
    );
    let redriven = &step("redriven")["detail"];
    assert!(
        redriven["by"].as_str().unwrap().contains('@')
            && redriven["job_id"] == at("3:normalize:r1"),
        "{redriven}"
    );
    // It is gone: the second time there is nothing to do.
    let second = dead(&deployment, &["redrive", &number, "--json"]);
    assert_eq!(
        (second.status.code(), became(&json(&second))),
        (Some(1), vec!["gone"])
    );
    let unknown = dead(&deployment, &["show", &number]);
    assert!(
        unknown.status.code() == Some(1) && stderr_of(&unknown).contains("dead list"),
        "{}",
        stderr_of(&unknown)
    );
    deployment.completed(3).await;
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM completed_jobs WHERE seq = 3")
            .await,
        3
    );
}

harness::on_both_stores!(
    a_redrive_after_a_fix_leaves_no_trace_in_the_store,
    a_dead_letter_is_shown_whole_and_its_redrive_is_traced,
);
