//! One administrator gives another try to what the other one drops.

use std::process::{Child, Stdio};

use harness::{Engine, Site, envelope, event};

use super::{json, letters, listed, mend, refuse, running};

const DEVELOPERS: [&str; 6] = ["ada", "bob", "cleo", "dan", "eve", "fay"];

/// A letter that one redrives while another drops it is stored whole or dropped whole.
async fn a_letter_that_is_redriven_and_dropped_at_once_is_stored_whole_or_gone(engine: Engine) {
    let (site, ada) = running(engine).await;
    refuse(&site, "events", "poison").await;
    for developer in DEVELOPERS {
        let client = site.client(ada.url(), developer).await;
        client
            .send(&envelope("b", &[event("poison"), event("beside")]))
            .await;
    }
    let numbers: Vec<String> = letters(&site, DEVELOPERS.len())
        .await
        .iter()
        .map(|letter| letter["sequence"].to_string())
        .collect();
    mend(&site, "events").await;
    let start = |arguments: &[&str]| -> Child {
        let mut command = site.command("devtrail", &[&["dead"], arguments].concat());
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
    let _ = site.verify();
    for (developer, count) in whole(&site).await {
        assert!([0, 2].contains(&count), "{count} events of {developer}");
    }
    for left in listed(&site, &[]) {
        let reason = left["reason"].as_str().unwrap();
        assert!(
            left["stream"] == "REPLAY" && reason.contains("no longer holds"),
            "{left}"
        );
    }
}

/// How many events of each developer are stored.
async fn whole(site: &Site) -> Vec<(&'static str, i64)> {
    let mut counts = Vec::new();
    for developer in DEVELOPERS {
        let sql = format!("SELECT count(*) FROM events WHERE developer = '{developer}'");
        counts.push((developer, site.database.count(&sql).await));
    }
    counts
}

harness::on_both_stores!(a_letter_that_is_redriven_and_dropped_at_once_is_stored_whole_or_gone);
