//! Alerts: raised once, retracted, raised again; and their way out, exactly once each.

use serde_json::{Value, json};
use store::{AlertOutbox, AlertRevision, Finding, Jobs, PublishedRevision, QueryReads, RuleWindow};
use types::audit::Step;
use types::job::{JobBody, JobKind};

use crate::build::{Engine, at, event, fresh};
use crate::work::{done, found, looked, replayed, rules, stored};

/// The start of another window.
const OTHER: &str = "2026-02-01";
const START: &str = "2026-03-01";

/// The alert job of the batch ends with these windows; the revisions to publish.
async fn finish(
    engine: &impl Engine,
    body: &JobBody,
    windows: Vec<RuleWindow>,
) -> Vec<AlertRevision> {
    let jobs = vec![done(JobKind::Alert, body)];
    engine
        .store()
        .finish_jobs(rules(windows), jobs)
        .await
        .unwrap()
}

/// The same as a job of a replay.
async fn finish_replayed(engine: &impl Engine, body: &JobBody, mut window: RuleWindow) {
    window.replay_id = Some("r1".to_owned());
    let jobs = vec![replayed(JobKind::Alert, body)];
    let revisions = engine
        .store()
        .finish_jobs(rules(vec![window]), jobs)
        .await
        .unwrap();
    assert_eq!(revisions, [], "a replay delivers nothing");
}

fn revision(body: &JobBody, revision: i64, finding: &Finding) -> AlertRevision {
    AlertRevision {
        alert_id: finding.alert_id.clone(),
        revision,
        developer: "ada".to_owned(),
        severity: finding.severity.clone(),
        state: if revision % 2 == 0 {
            "raised"
        } else {
            "retracted"
        }
        .to_owned(),
        push: finding.push,
        body: finding.body.clone(),
        correlation_id: body.correlation_id.clone(),
    }
}

fn published(alert_id: &str, revision: i64) -> PublishedRevision {
    PublishedRevision {
        alert_id: alert_id.to_owned(),
        revision,
    }
}

async fn three_batches<E: Engine>() -> (E, [JobBody; 3]) {
    let (engine, src) = fresh::<E>().await;
    let one = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let two = stored(&engine, at(src, 2), &[event("b", 1)]).await;
    let three = stored(&engine, at(src, 3), &[event("c", 1)]).await;
    (engine, [one, two, three])
}

pub async fn an_alert_is_raised_once_retracted_and_raised_again<E: Engine>() {
    let (engine, [one, two, three]) = three_batches::<E>().await;
    let first = found(START, "first");
    assert_eq!(
        finish(&engine, &one, vec![looked(&one, START, 1, None)]).await,
        [],
        "nothing to retract"
    );
    let raised = finish(
        &engine,
        &one,
        vec![looked(&one, START, 2, Some(first.clone()))],
    )
    .await;
    assert_eq!(raised, [revision(&one, 0, &first)]);
    let again = Finding {
        severity: "high".to_owned(),
        push: false,
        ..found(START, "again")
    };
    assert_eq!(
        finish(
            &engine,
            &two,
            vec![looked(&two, START, 3, Some(again.clone()))]
        )
        .await,
        []
    );
    let alert = engine.store().alerts(None, 9).await.unwrap().remove(0);
    assert_eq!(
        (&*alert.title, &*alert.severity, &alert.body),
        ("again", "high", &again.body)
    );
    assert_eq!(
        (&*alert.state, alert.revision, alert.push),
        ("raised", 0, true),
        "still the same news"
    );
    let retracted = finish(&engine, &three, vec![looked(&three, START, 4, None)]).await;
    assert_eq!(
        retracted,
        [revision(
            &three,
            1,
            &Finding {
                push: true,
                ..again.clone()
            }
        )]
    );
    assert_eq!(
        finish(&engine, &three, vec![looked(&three, START, 5, None)]).await,
        []
    );
    let third = Finding {
        push: false,
        ..found(START, "third")
    };
    let raised = finish(
        &engine,
        &two,
        vec![looked(&two, START, 6, Some(third.clone()))],
    )
    .await;
    assert_eq!(raised, [revision(&two, 2, &third)]);
    let dump = engine.dump();
    let noted = |seq| {
        let rows = dump.audit(seq, Step::Alerted).into_iter();
        rows.map(|(_, person)| serde_json::from_str(&person.detail.unwrap()).unwrap())
            .collect::<Vec<Value>>()
    };
    let note = |state, revision: i64| {
        json!({
            "alert_id": first.alert_id, "rule": "no-tests", "state": state, "revision": revision,
        })
    };
    assert_eq!(noted(1), [note("raised", 0)]);
    assert_eq!(noted(2), [note("raised", 2)], "finding it again is no news");
    assert_eq!(noted(3), [note("retracted", 1)]);
    let (row, person) = &dump.audit(1, Step::Alerted)[0];
    let job = done(JobKind::Alert, &one);
    assert_eq!(
        (row.time, &row.actor, &*row.outcome),
        (job.finished_at, &job.actor, "ok")
    );
    assert_eq!((&*person.developer, &*person.batch_id), ("ada", "batch-1"));
}

pub async fn a_window_may_have_several_alerts<E: Engine>() {
    let (engine, [one, two, three]) = three_batches::<E>().await;
    let alert = |id: &str| Finding {
        alert_id: id.to_owned(),
        ..found(START, id)
    };
    let window = |body: &JobBody, generation, ids: &[&str]| RuleWindow {
        findings: ids.iter().map(|id| alert(id)).collect(),
        ..looked(body, START, generation, None)
    };
    let both = finish(&engine, &one, vec![window(&one, 1, &["a", "b"])]).await;
    assert_eq!(
        by_id(both),
        [
            revision(&one, 0, &alert("a")),
            revision(&one, 0, &alert("b"))
        ]
    );
    // One is found again, one is not, and another one comes; that of another window stays.
    let other = looked(&two, OTHER, 1, Some(found(OTHER, "other")));
    finish(&engine, &two, vec![other]).await;
    let moved = finish(&engine, &two, vec![window(&two, 2, &["b", "c"])]).await;
    assert_eq!(
        by_id(moved),
        [
            revision(&two, 1, &alert("a")),
            revision(&two, 0, &alert("c"))
        ]
    );
    let gone = finish(&engine, &three, vec![window(&three, 3, &[])]).await;
    assert_eq!(
        by_id(gone),
        [
            revision(&three, 1, &alert("b")),
            revision(&three, 1, &alert("c"))
        ]
    );
    let alerts = engine.store().alerts(None, 9).await.unwrap();
    let raised = alerts.iter().filter(|alert| alert.state == "raised");
    assert_eq!(
        raised
            .map(|alert| alert.window_start.as_str())
            .collect::<Vec<_>>(),
        [OTHER]
    );
}

fn by_id(mut revisions: Vec<AlertRevision>) -> Vec<AlertRevision> {
    revisions.sort_by(|one, other| one.alert_id.cmp(&other.alert_id));
    revisions
}

pub async fn an_older_evaluation_of_a_window_changes_no_alert<E: Engine>() {
    for (older, newer) in [
        (None, Some(found(START, "new"))),
        (Some(found(START, "old")), None),
    ] {
        let (engine, [one, two, _]) = three_batches::<E>().await;
        finish(&engine, &two, vec![looked(&two, START, 5, newer.clone())]).await;
        let before = engine.dump();
        assert_eq!(
            finish(&engine, &one, vec![looked(&one, START, 4, older.clone())]).await,
            []
        );
        assert_eq!(
            finish(&engine, &one, vec![looked(&one, START, 5, older.clone())]).await,
            [],
            "equal is not newer"
        );
        let dump = engine.dump();
        for table in ["alerts", "rule_windows"] {
            assert_eq!(dump.rows(table), before.rows(table));
        }
        assert_eq!(dump.audit(1, Step::Alerted), []);
        let newer_rule = RuleWindow {
            version: 2,
            ..looked(&one, START, 5, older)
        };
        assert_eq!(
            finish(&engine, &one, vec![newer_rule]).await.len(),
            1,
            "a newer rule is"
        );
    }
}

pub async fn a_rule_window_must_belong_to_a_finished_job<E: Engine>() {
    let (engine, [one, two, _]) = three_batches::<E>().await;
    let before = engine.dump();
    let effects = rules(vec![looked(&two, START, 1, Some(found(START, "whose?")))]);
    let refused = engine
        .store()
        .finish_jobs(effects, vec![done(JobKind::Alert, &one)])
        .await;
    assert!(!refused.unwrap_err().is_transient());
    assert_eq!(
        engine.dump(),
        before,
        "nothing of it is written, the completed jobs neither"
    );
}

pub async fn what_a_replay_finds_is_stored_and_never_delivered<E: Engine>() {
    let (engine, [one, two, _]) = three_batches::<E>().await;
    let unpublished = async || engine.store().unpublished(10).await.unwrap();
    finish_replayed(
        &engine,
        &one,
        looked(&one, START, 1, Some(found(START, "old"))),
    )
    .await;
    let alert = engine.store().alerts(None, 9).await.unwrap().remove(0);
    assert_eq!(
        (&*alert.state, alert.revision, alert.push),
        ("raised", 0, false)
    );
    let (row, _) = &engine.dump().audit(1, Step::Alerted)[0];
    assert_eq!(row.replay_id.as_deref(), Some("r1"));
    // Live data that yields the same alert later does not deliver it either.
    for (generation, finding) in [
        (2, Some(found(START, "live"))),
        (3, None),
        (4, Some(found(START, "live"))),
    ] {
        assert_eq!(
            finish(
                &engine,
                &two,
                vec![looked(&two, START, generation, finding)]
            )
            .await,
            []
        );
        assert_eq!(unpublished().await, []);
    }
    assert_eq!(engine.dump().rows("alerts")[0].int("revision"), 2);
    // A replay that finds a live alert again leaves its delivery alone.
    let live = found("2026-03-08", "live");
    finish(
        &engine,
        &two,
        vec![looked(&two, "2026-03-08", 1, Some(live))],
    )
    .await;
    finish_replayed(
        &engine,
        &one,
        looked(&one, "2026-03-08", 2, Some(found("2026-03-08", "again"))),
    )
    .await;
    let waiting = unpublished().await;
    assert_eq!(
        (waiting.len(), waiting[0].revision, waiting[0].push),
        (1, 0, true)
    );
    finish_replayed(&engine, &one, looked(&one, "2026-03-08", 3, None)).await;
    assert_eq!(unpublished().await, []);
}

pub async fn a_revision_waits_in_the_outbox_until_it_is_published<E: Engine>() {
    let (engine, [one, two, three]) = three_batches::<E>().await;
    let store = engine.store();
    let [a, b] = ["2026-03-01", "2026-03-02"].map(|start| found(start, "t"));
    finish(
        &engine,
        &two,
        vec![looked(&two, "2026-03-01", 1, Some(a.clone()))],
    )
    .await;
    finish(
        &engine,
        &one,
        vec![looked(&one, "2026-03-02", 1, Some(b.clone()))],
    )
    .await;
    let (of_a, of_b) = (revision(&two, 0, &a), revision(&one, 0, &b));
    assert_eq!(
        store.unpublished(10).await.unwrap(),
        [of_b.clone(), of_a.clone()],
        "oldest first"
    );
    assert_eq!(store.unpublished(1).await.unwrap(), [of_b]);
    store
        .mark_published(vec![published(&b.alert_id, 0), published("unknown", 0)])
        .await
        .unwrap();
    assert_eq!(store.unpublished(10).await.unwrap(), [of_a]);
    // It is retracted before the PubAck of its first revision comes.
    finish(&engine, &three, vec![looked(&three, "2026-03-01", 2, None)]).await;
    store
        .mark_published(vec![published(&a.alert_id, 0)])
        .await
        .unwrap();
    assert_eq!(
        store.unpublished(10).await.unwrap(),
        [revision(&three, 1, &a)]
    );
    store
        .mark_published(vec![published(&a.alert_id, 1)])
        .await
        .unwrap();
    store
        .mark_published(vec![published(&a.alert_id, 0)])
        .await
        .unwrap();
    assert_eq!(
        store.unpublished(10).await.unwrap(),
        [],
        "a late mark changes nothing"
    );
}
