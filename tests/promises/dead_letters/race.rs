//! One administrator redrives a dead letter while another drops it.

use std::process::{Child, Stdio};

use harness::{Deployment, Engine, envelope, event};

use super::{dead_letters, json, listed, refuse, repair, running};

const DEVELOPERS: [&str; 6] = ["ada", "bob", "cleo", "dan", "eve", "fay"];

/// A dead letter that one redrives while another drops it is stored whole or dropped whole.
async fn a_dead_letter_redriven_and_dropped_is_stored_whole_or_gone(engine: Engine) {
    let (deployment, ada) = running(engine).await;
    refuse(&deployment, "events", "poison").await;
    for developer in DEVELOPERS {
        let client = deployment.client(ada.url(), developer).await;
        client
            .send(&envelope("b", &[event("poison"), event("beside")]))
            .await;
    }
    let numbers: Vec<String> = dead_letters(&deployment, DEVELOPERS.len())
        .await
        .iter()
        .map(|dead_letter| dead_letter["sequence"].to_string())
        .collect();
    repair(&deployment, "events").await;
    let start = |arguments: &[&str]| -> Child {
        let mut command = deployment.command("devtrail", &[&["dead"], arguments].concat());
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut raced = Vec::new();
    for (index, number) in numbers.iter().enumerate() {
        let redrive = ["redrive", number, "--json"];
        let drop = ["drop", number, "--reason", "raced", "--yes", "--json"];
        let order = if index % 2 == 0 {
            [&redrive[..], &drop]
        } else {
            [&drop[..], &redrive]
        };
        raced.extend(order.map(start));
    }
    for one in raced {
        let output = one.wait_with_output().unwrap();
        assert_eq!(json(&output)["letters"].as_array().unwrap().len(), 1);
    }
    let _ = deployment.verify();
    for (developer, count) in whole(&deployment).await {
        assert!([0, 2].contains(&count), "{count} events of {developer}");
    }
    for left in listed(&deployment, &[]) {
        let reason = left["reason"].as_str().unwrap();
        assert!(
            left["stream"] == "REPLAY" && reason.contains("no longer holds"),
            "{left}"
        );
    }
}

/// How many events of each developer are stored.
async fn whole(deployment: &Deployment) -> Vec<(&'static str, i64)> {
    let mut counts = Vec::new();
    for developer in DEVELOPERS {
        let sql = format!("SELECT count(*) FROM events WHERE developer = '{developer}'");
        counts.push((developer, deployment.database.count(&sql).await));
    }
    counts
}

harness::on_both_stores!(a_dead_letter_redriven_and_dropped_is_stored_whole_or_gone);
