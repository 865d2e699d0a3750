//! What is written together or not at all, whoever stores or reads at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::{Persist, StoredPlacement, VerifyReads};

use crate::build::{Engine, at, batch, batch_of, counts, event, fresh, store_one};
use crate::cases::mixed;

pub async fn concurrent_stores_of_the_same_batch_store_it_once<E: Engine>() {
    let (store, src) = fresh::<E>().await;
    let store = Arc::new(store);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (store, batch) = (store.clone(), batch(at(src, 1), &mixed()));
        tasks.spawn(async move { store_one(&*store, batch).await });
    }
    let stored = tasks.join_all().await;
    assert_eq!(stored.iter().filter(|stored| !stored.already).count(), 1);
    let (alone, src) = fresh::<E>().await;
    store_one(&alone, batch(at(src, 1), &mixed())).await;
    let (dump, alone) = (store.dump(), alone.dump());
    for table in ["batches", "events", "refused", "duplicates", "hours"] {
        let rows = |dump: &crate::dump::Dump| dump.rows_without(table, "lease_until");
        assert_eq!(rows(&dump), rows(&alone));
    }
    assert_eq!(dump.rows("audit").len(), alone.rows("audit").len());
}

pub async fn a_batch_that_fails_leaves_nothing_of_its_group<E: Engine>() {
    let (store, src) = fresh::<E>().await;
    store_one(&store, batch(at(src, 5), &mixed())).await;
    let before = store.dump();
    let good = batch(at(src, 4), &mixed());
    let mut bad = batch(at(src, 6), &mixed());
    bad.refused[1].ordinal = bad.refused[0].ordinal;
    let (group, beside) = (
        vec![good.clone(), bad],
        batch_of("bob", at(src, 7), &mixed()),
    );
    let (failed, stored) = tokio::join!(
        store.store().store_batches(group),
        store.store().store_batches(vec![beside])
    );
    assert!(
        !failed.unwrap_err().is_transient(),
        "the message is at fault, and will be at each attempt"
    );
    assert!(
        !stored.unwrap()[0].already,
        "who stores at the same time is not concerned"
    );
    let dump = store.dump();
    for table in ["batches", "events", "refused", "duplicates", "hours"] {
        let of_ada: Vec<_> = dump
            .rows(table)
            .iter()
            .filter(|row| row.text("developer") == "ada")
            .collect();
        assert_eq!(
            of_ada,
            before.rows(table).iter().collect::<Vec<_>>(),
            "{table}"
        );
    }
    assert!(
        dump.checked_audit()
            .iter()
            .all(|(row, _)| row.seq == 5 || row.seq == 7)
    );
    assert_eq!(store_one(&store, good).await.counts, counts([2, 1, 1, 2]));
}

/// A stream restored to an older state gives sequences out again (decision 5).
pub async fn another_message_at_a_stored_place_is_never_called_stored<E: Engine>() {
    let (store, src) = fresh::<E>().await;
    let stored = batch(at(src, 5), &mixed());
    store_one(&store, stored.clone()).await;
    let before = store.dump();
    let mut later = stored.clone();
    later.published_at += 1;
    let mut other_batch = stored.clone();
    other_batch.header.batch_id = "another".to_owned();
    // The same id with other content, in the very microsecond.
    let other_events = batch(at(src, 5), &mixed()[1..]);
    let bobs = batch_of("bob", at(src, 5), &mixed());
    for other in [later, other_batch, other_events, bobs] {
        let new = batch(at(src, 6), &[event("new", 1)]);
        let error = store
            .store()
            .store_batches(vec![other, new])
            .await
            .unwrap_err();
        assert!(
            !error.is_transient() && error.to_string().contains("Restoring a backup"),
            "{error}"
        );
        assert_eq!(store.dump(), before, "nothing of the group is stored");
    }
    assert!(
        store_one(&store, stored).await.already,
        "the message itself is known as ever"
    );
    // Of a forgotten developer's row only place and times are left; its message is known by them.
    store.forget("eve", at(src, 9));
    let eves = batch_of("eve", at(src, 7), &mixed());
    store_one(&store, eves.clone()).await;
    assert!(store_one(&store, eves.clone()).await.already);
    let mut later = eves;
    later.published_at += 1;
    assert!(store.store().store_batches(vec![later]).await.is_err());
}

/// Every group brings three batches, of which later groups take places in earlier ones.
pub async fn a_reader_sees_whole_committed_groups_only<E: Engine>() {
    const GROUPS: u64 = 20;
    let (store, src) = fresh::<E>().await;
    let (reader, ended) = (store.store().clone(), Arc::new(AtomicBool::new(false)));
    let writer_ended = ended.clone();
    let reader = tokio::spawn(async move {
        loop {
            let last = writer_ended.load(Ordering::Acquire);
            let accounts = reader.accounts(src, 1, u64::MAX).await.unwrap();
            assert_eq!(accounts.len() % 3, 0, "groups are committed whole");
            for account in &accounts {
                let mut ordinals: Vec<u32> =
                    account.kept.iter().map(|(ordinal, _)| *ordinal).collect();
                ordinals.sort_unstable();
                assert!(
                    account.row.is_some() && ordinals == [0, 1, 2, 3, 4, 5],
                    "{account:?}"
                );
                let lost = |kept: &StoredPlacement| {
                    matches!(kept, StoredPlacement::Duplicate { original: None })
                };
                assert!(
                    !account.kept.iter().any(|(_, kept)| lost(kept)),
                    "{account:?}"
                );
            }
            if last {
                return accounts.len();
            }
        }
    });
    for group in (0..GROUPS).rev() {
        let batches = (1..=3)
            .map(|n| batch(at(src, group * 3 + n), &mixed()))
            .collect();
        store.store().store_batches(batches).await.unwrap();
    }
    ended.store(true, Ordering::Release);
    assert_eq!(reader.await.unwrap() as u64, GROUPS * 3);
}
