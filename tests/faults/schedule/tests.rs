//! The schedule: the same again for the same seed, and every kind in it.

use super::*;

#[test]
fn a_seed_gives_one_schedule_and_another_seed_another() {
    let span = Duration::from_secs(30);
    for engine in [Engine::Sqlite, Engine::Postgres] {
        assert_eq!(plan(7, span, engine), plan(7, span, engine));
        assert_ne!(plan(7, span, engine), plan(8, span, engine));
    }
}

#[test]
fn twenty_seeds_have_every_kind_and_nothing_fails_twice_at_once() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 1..=20 {
        let scheduled = plan(seed, Duration::from_secs(30), Engine::Postgres);
        for (index, one) in scheduled.iter().enumerate() {
            let thing = |other: &&ScheduledFault| other.fault.thing() == one.fault.thing();
            let overlap = scheduled[index + 1..]
                .iter()
                .find(thing)
                .is_some_and(|next| next.at < one.at + one.lasts);
            assert!(!overlap, "seed {seed}: {one} meets itself");
        }
        kinds.extend(scheduled.into_iter().map(|one| one.fault.kind()));
    }
    for wanted in [
        "kill -9 nats",
        "SIGSTOP persist",
        "SIGTERM collector",
        "kill -9 postgres",
        "JOBS full",
        "disk full under nats",
    ] {
        assert!(
            kinds.contains(wanted),
            "{wanted} is never planned: {kinds:?}"
        );
    }
    let on_sqlite: Vec<String> = (1..=20)
        .flat_map(|seed| plan(seed, Duration::from_secs(30), Engine::Sqlite))
        .map(|one| one.fault.kind())
        .collect();
    assert!(
        on_sqlite
            .iter()
            .any(|kind| kind == "disk full under SQLite"),
        "{on_sqlite:?}"
    );
    assert!(
        plan(1, Duration::from_secs(60), Engine::Sqlite)
            .iter()
            .all(|one| !one.fault.kind().contains("ostgres"))
    );
}
