//! What jobs write is the same in whatever order they write it: the newer one stays.

use std::collections::BTreeMap;

use serde_json::json;
use store::{
    Computed, ComputedAt, DayComputedAt, DayRow, HourRange, Jobs, PartialRow, QueryReads, WindowKey,
};
use types::job::JobKind;

use crate::build::{Engine, H0, HOUR, at, event, fresh};
use crate::dump::Dump;
use crate::work::{all_of, computed, day, done, looked, partial, rules, stored, write_windows};

/// Hours with generation, version and body.
fn partials(dump: &Dump) -> Vec<(i64, i64, i64, &str)> {
    let rows = dump.rows("partials").iter();
    rows.map(|row| {
        (
            row.int("hour"),
            row.int("computed_gen"),
            row.int("version"),
            row.text("body"),
        )
    })
    .collect()
}

pub async fn an_older_generation_never_overwrites_a_newer_one<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let (one, two) = (H0, H0 + 1);
    let days = ["2026-03-01", "2026-03-02"];
    for newer_first in [false, true] {
        let body = stored(
            &engine,
            at(src, 1 + u64::from(newer_first)),
            &[event(&format!("e{newer_first}"), 1)],
        )
        .await;
        let older = (
            vec![partial(one, computed(3, 1, "old"))],
            vec![day(days[0], computed(3, 1, "old"))],
        );
        let newer = (
            vec![
                partial(two, computed(1, 1, "new")),
                partial(one, computed(4, 1, "new")),
            ],
            vec![
                day(days[1], computed(1, 1, "new")),
                day(days[0], computed(4, 1, "new")),
            ],
        );
        let mut order = [older, newer];
        if newer_first {
            order.reverse();
        }
        engine.execute("DELETE FROM partials");
        engine.execute("DELETE FROM days");
        for (partials, days) in order {
            write_windows(&engine, &body, partials, days).await;
        }
        let dump = engine.dump();
        let new = computed(0, 0, "new").body;
        assert_eq!(
            partials(&dump),
            [(one, 4, 1, &*new), (two, 1, 1, &*new)],
            "newer first: {newer_first}"
        );
        let kept: Vec<_> = dump
            .rows("days")
            .iter()
            .map(|row| (row.text("day"), row.int("computed_gen"), row.text("body")))
            .collect();
        assert_eq!(
            kept,
            [(days[0], 4, &*new), (days[1], 1, &*new)],
            "newer first: {newer_first}"
        );
    }
}

pub async fn the_same_generation_is_written_again_only_by_newer_code<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    for (version, what, stays) in [
        (2, "first", "first"),
        (2, "again", "first"),
        (1, "older", "first"),
        (3, "newer", "newer"),
    ] {
        write_windows(
            &engine,
            &body,
            vec![partial(H0, computed(5, version, what))],
            vec![day("2026-03-01", computed(5, version, what))],
        )
        .await;
        let (dump, stays) = (engine.dump(), computed(0, 0, stays).body);
        assert_eq!(
            (
                dump.rows("partials")[0].text("body"),
                dump.rows("days")[0].text("body")
            ),
            (&*stays, &*stays)
        );
    }
}

/// A partial is a cache: at one generation and version, that of other rules replaces it.
pub async fn a_partial_made_with_other_rules_is_replaced<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let with = |rules: &str, generation| PartialRow {
        kind: JobKind::Alert,
        made_with: rules.to_owned(),
        ..partial(H0, computed(generation, 1, rules))
    };
    for (given, stays) in [
        (with("old", 5), "old"),
        (with("new", 5), "new"),
        (with("of the past", 4), "new"),
        (with("old", 5), "old"),
    ] {
        write_windows(&engine, &body, vec![given], Vec::new()).await;
        let dump = engine.dump();
        let rows: Vec<_> = dump
            .rows("partials")
            .iter()
            .map(|row| (row.text("kind"), row.text("made_with"), row.text("body")))
            .collect();
        let kept = computed(0, 0, stays).body;
        assert_eq!(rows, [("alert", stays, &*kept)]);
    }
}

pub async fn jobs_read_at_what_generation_windows_were_computed<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let days = vec![
        day("2026-03-01", computed(3, 2, "one")),
        day("2026-03-02", computed(4, 2, "two")),
    ];
    write_windows(&engine, &body, Vec::new(), days).await;
    let store = engine.store();
    let at = |generation, version| ComputedAt {
        generation,
        version,
    };
    let asked = ["2026-02-28", "2026-03-01"].map(str::to_owned).to_vec();
    let found = store.computed_days("ada".to_owned(), asked.clone()).await;
    let computed = DayComputedAt {
        at: at(3, 2),
        idle_ms: 900_000,
    };
    assert_eq!(found.unwrap(), [("2026-03-01".to_owned(), computed)].into());
    let others = store.computed_days("bob".to_owned(), asked).await.unwrap();
    assert!(others.is_empty());

    let windows = ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"];
    let windows = windows.iter().map(|start| looked(&body, start, 7, None));
    let jobs = vec![done(JobKind::Alert, &body)];
    let effects = rules(windows.collect());
    store.finish_jobs(effects, jobs).await.unwrap();
    let found = async |rules: &[&str]| {
        let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
        let (first, last) = ("2026-02-28".to_owned(), "2026-03-01".to_owned());
        let found = store.computed_rule_windows("ada".to_owned(), rules, first, last);
        found.await.unwrap()
    };
    let key = |start: &str| WindowKey {
        rule: "no-tests".to_owned(),
        start: start.to_owned(),
    };
    let expected = [key("2026-02-28"), key("2026-03-01")].map(|key| (key, at(7, 1)));
    assert_eq!(found(&["other", "no-tests"]).await, expected.into());
    assert!(found(&["other"]).await.is_empty());
}

pub async fn a_day_of_another_timeout_replaces_one_of_its_generation<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let with = |idle_ms, generation, is: &str| DayRow {
        idle_ms,
        ..day("2026-03-01", computed(generation, 2, is))
    };
    let other = async |developer: &str, idle_ms, after: &str| {
        let store = engine.store();
        let found = store.day_of_other_timeout(developer.to_owned(), idle_ms, after.to_owned());
        found.await.unwrap()
    };
    for (row, body_of) in [
        (with(60_000, 3, "first"), "first"),
        (with(60_000, 3, "the same timeout"), "first"),
        (with(300_000, 3, "another timeout"), "another timeout"),
        (with(60_000, 2, "an older generation"), "another timeout"),
        (with(60_000, 4, "a newer generation"), "a newer generation"),
    ] {
        write_windows(&engine, &body, Vec::new(), vec![row]).await;
        let dump = engine.dump();
        let kept = computed(0, 0, body_of).body;
        assert_eq!(dump.rows("days")[0].text("body"), kept);
    }
    assert_eq!(other("ada", 60_000, "").await, None);
    let several = ["2026-03-03", "2026-03-02"].map(|name| day(name, computed(1, 1, "x")));
    write_windows(&engine, &body, Vec::new(), several.into()).await;
    assert_eq!(
        other("ada", 60_000, "").await.as_deref(),
        Some("2026-03-02")
    );
    assert_eq!(
        other("ada", 60_000, "2026-03-02").await.as_deref(),
        Some("2026-03-03")
    );
    assert_eq!(
        other("ada", 900_000, "").await.as_deref(),
        Some("2026-03-01")
    );
    assert_eq!(other("bob", 60_000, "").await, None);
    let range = ("2026-03-02".to_owned(), "2026-03-09".to_owned());
    let counts = engine
        .store()
        .day_counts("ada".to_owned(), range.0, range.1);
    let counts = counts.await.unwrap();
    assert_eq!(counts.len(), 2);
    assert_eq!(counts[1].counts, r#"{"of":"2026-03-03"}"#);
}

/// The job's partial of the hour: of each local day the events that it sees there now.
async fn as_seen_now(engine: &impl Engine) -> PartialRow {
    let snapshot = all_of(
        engine,
        vec![HourRange {
            first: H0,
            last: H0,
        }],
    )
    .await;
    let mut days: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    snapshot
        .events
        .iter()
        .for_each(|event| days.entry(&event.local_day).or_default().push(&event.id));
    let body = json!(days).to_string();
    partial(
        H0,
        Computed {
            generation: snapshot.plan[&H0].generation,
            version: 1,
            body,
        },
    )
}

/// docs/decisions/0004-one-partial-row-an-hour.md: an event moves from one local day to another within
/// its hour, while a job still computes with the day that it leaves.
pub async fn an_hours_part_for_a_day_that_was_left_never_comes_back<E: Engine>() {
    for newer_first in [false, true] {
        let (engine, src) = fresh::<E>().await;
        let older_job = stored(&engine, at(src, 5), &[event("a", 1)]).await;
        let older = as_seen_now(&engine).await;
        let mut moved = event("a", 1);
        moved.note.day = Some("2026-02-28".to_owned());
        let newer_job = stored(&engine, at(src, 4), &[moved]).await;
        let newer = as_seen_now(&engine).await;
        assert_eq!(
            (&*older.computed.body, older.computed.generation),
            (r#"{"2026-03-01":["a"]}"#, 1)
        );
        assert_eq!(
            (&*newer.computed.body, newer.computed.generation),
            (r#"{"2026-02-28":["a"]}"#, 2)
        );
        let mut order = [(older_job, older), (newer_job, newer.clone())];
        if newer_first {
            order.reverse();
        }
        for (job, partial) in order {
            write_windows(&engine, &job, vec![partial], Vec::new()).await;
        }
        let dump = engine.dump();
        assert_eq!(
            partials(&dump),
            [(H0, 2, 1, &*newer.computed.body)],
            "newer first: {newer_first}"
        );
    }
}

pub async fn superseding_reports_the_day_left_and_raises_both_hours<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let mut was = event("a", 1);
    was.note.day = Some("2026-02-28".to_owned());
    let first = stored(&engine, at(src, 9), &[was]).await;
    assert_eq!(first.touched_days, ["2026-02-28".to_owned()].into());
    let before = engine.dump().hours("ada");
    let mut now = event("a", 1).after(3 * HOUR);
    now.note.day = Some("2026-03-01".to_owned());
    let body = stored(&engine, at(src, 4), &[now]).await;
    assert_eq!(
        body.touched_days,
        ["2026-02-28".to_owned(), "2026-03-01".to_owned()].into()
    );
    assert_eq!(
        (before, engine.dump().hours("ada")),
        ([(H0, 1)].into(), [(H0, 2), (H0 + 3, 1)].into())
    );
}
