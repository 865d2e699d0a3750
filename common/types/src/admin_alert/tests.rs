//! Kinds, ids and messages of admin alerts.

use super::*;
use serde_json::json;

fn alert(subject: &str, revision: u64) -> AdminAlert {
    AdminAlert {
        alert_id: alert_id(AlertKind::Lag, subject, 1_000_000),
        revision,
        kind: AlertKind::Lag,
        subject: subject.to_owned(),
        severity: AlertKind::Lag.severity(),
        state: AlertState::Raised,
        count: 1,
        title: "A sentence.".to_owned(),
        numbers: [(
            "messages".to_owned(),
            Measurement {
                value: 12,
                bound: Some(10),
            },
        )]
        .into(),
        advice: AlertKind::Lag.advice().to_owned(),
        runbook: AlertKind::Lag.runbook(),
        first_seen: 1_000_000,
        last_seen: 2_000_000,
        time: 2_000_000,
    }
}

#[test]
fn a_message_says_all_and_reads_back_as_it_was() {
    let alert = alert("EVENTS/persist", 2);
    let written = serde_json::to_value(&alert).unwrap();
    assert_eq!(
        (
            &written["kind"],
            &written["state"],
            &written["severity"],
            &written["numbers"]
        ),
        (
            &json!("lag"),
            &json!("raised"),
            &json!("warning"),
            &json!({"messages": {"value": 12, "bound": 10}})
        )
    );
    assert_eq!(written["first_seen"], "1970-01-01T00:00:01.000000Z");
    assert_eq!(alert.message_id(), format!("{}:2", alert.alert_id));
    assert_eq!(
        serde_json::from_value::<AdminAlert>(written).unwrap(),
        alert
    );
}

#[test]
fn each_kind_has_its_name_and_ids_tell_alerts_apart() {
    for kind in AlertKind::ALL {
        assert_eq!(json!(kind), json!(kind.as_str()));
        assert!(kind.advice().ends_with('.'), "{kind:?}");
        let runbook = include_str!("../../../../docs/runbook.md");
        let contract = include_str!("../../../../docs/contract.md");
        let heading = format!("\n### {}\n", kind.as_str());
        assert!(
            runbook.contains(&heading),
            "{} leads nowhere",
            kind.runbook()
        );
        assert!(
            contract.contains(&format!("`{}`", kind.as_str())),
            "the contract does not tell of {kind:?}"
        );
    }
    let ids =
        [("a", 1), ("b", 1), ("a", 2)].map(|(subject, at)| alert_id(AlertKind::Lag, subject, at));
    assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[0] == alert_id(AlertKind::Lag, "a", 1));
}

#[test]
fn of_each_alert_the_newest_message_counts() {
    let found = newest([alert("a", 0), alert("b", 0), alert("a", 1)]);
    assert_eq!(found, [alert("a", 1), alert("b", 0)]);
}
