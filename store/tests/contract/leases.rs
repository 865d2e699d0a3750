//! Who may publish a batch's jobs, and for how long; and what a dead job leaves.

use std::collections::BTreeSet;

use serde_json::json;
use store::{JobBatch, Jobs, Outbox, Pending, Persist, Triggered};
use tokio::task::JoinSet;
use types::audit::Step;
use types::id::BatchRef;
use types::job::{JobBody, JobKind, Mask};
use types::time::SECOND;

use crate::build::{Engine, T0, at, batch, batch_of, event, fresh, incarnation, store_one};
use crate::work::{dead, done, nothing, record_dead, replayed, stored, triggered, triggered_at};

const ALL_RUN_OUT: &str = "UPDATE batches SET lease_until = 0";

fn places(claimed: &[Pending]) -> Vec<BatchRef> {
    claimed.iter().map(|pending| pending.body.batch).collect()
}

pub async fn a_claim_is_exclusive_until_it_runs_out<E: Engine>() {
    let (engine, old) = fresh::<E>().await;
    let store = engine.store();
    let new = store.source(&incarnation(T0 + 1)).await.unwrap();
    let mut bodies = Vec::new();
    for (n, at) in [at(new, 1), at(old, 10), at(old, 9), at(new, 2)]
        .into_iter()
        .enumerate()
    {
        bodies.push(stored(&engine, at, &[event(&format!("e{n}"), 1)]).await);
    }
    assert_eq!(
        store.claim_outbox(10).await.unwrap(),
        [],
        "fresh rows are their own trigger task's"
    );
    engine.execute(ALL_RUN_OUT);
    let claimed = store.claim_outbox(3).await.unwrap();
    assert_eq!(
        places(&claimed),
        [at(old, 9), at(old, 10), at(new, 1)],
        "by (src, seq), up to the limit"
    );
    assert_eq!(
        claimed[1],
        Pending {
            need: Mask::ALL,
            body: bodies[1].clone()
        }
    );
    assert_eq!(
        places(&store.claim_outbox(10).await.unwrap()),
        [at(new, 2)],
        "what is claimed is passed over"
    );
    assert_eq!(store.claim_outbox(10).await.unwrap(), []);
    engine.execute(ALL_RUN_OUT);
    store
        .mark_triggered(vec![triggered(&bodies[1])])
        .await
        .unwrap();
    assert_eq!(
        places(&store.claim_outbox(10).await.unwrap()),
        [at(old, 9), at(new, 1), at(new, 2)]
    );
}

pub async fn a_batch_that_needs_no_job_is_never_claimed<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let first = batch(at(src, 1), &[event("a", 1)]);
    let again = batch(at(src, 2), &[event("a", 1)]);
    engine
        .store()
        .store_batches(vec![first, again])
        .await
        .unwrap();
    engine.execute(ALL_RUN_OUT);
    assert_eq!(
        places(&engine.store().claim_outbox(10).await.unwrap()),
        [at(src, 1)]
    );
}

pub async fn claims_at_once_never_share_a_batch<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let batches = (1..=40)
        .map(|seq| batch(at(src, seq), &[event(&format!("e{seq}"), 1)]))
        .collect();
    engine.store().store_batches(batches).await.unwrap();
    engine.execute(ALL_RUN_OUT);
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let store = engine.store().clone();
        tasks.spawn(async move { store.claim_outbox(5).await.unwrap() });
    }
    let claimed: Vec<BatchRef> = tasks
        .join_all()
        .await
        .iter()
        .flat_map(|claimed| places(claimed))
        .collect();
    let distinct: BTreeSet<_> = claimed.iter().collect();
    assert_eq!(distinct.len(), claimed.len(), "{claimed:?}");
    // Passing over what another one holds may leave some for the next sweep.
    let rest = places(&engine.store().claim_outbox(40).await.unwrap());
    assert_eq!(rest.len() + claimed.len(), 40);
}

pub async fn a_dead_job_fails_its_batch_until_it_is_redriven<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    store.mark_triggered(vec![triggered(&body)]).await.unwrap();
    let dead = dead(JobKind::Alert, &body);
    record_dead(store, dead.clone()).await.unwrap();
    let dump = engine.dump();
    let row = dump.batch(at(src, 1));
    assert_eq!((row.text("state"), row.int("failed")), ("failed", 4));
    let [(skeleton, person)] = &dump.audit(1, Step::Failed)[..] else {
        panic!("one row")
    };
    assert_eq!(
        (&*skeleton.outcome, skeleton.time),
        ("dead_letter", dead.at)
    );
    let detail: serde_json::Value = serde_json::from_str(person.detail.as_ref().unwrap()).unwrap();
    let job = dead.context.job.unwrap();
    assert_eq!(
        detail,
        json!({"job_id": job.job_id, "reason": dead.reason, "attempt": 1})
    );
    for kind in [JobKind::Aggregate, JobKind::Normalize] {
        store
            .finish_jobs(nothing(kind), vec![done(kind, &body)])
            .await
            .unwrap();
    }
    assert_eq!(engine.dump().batch(at(src, 1)).text("state"), "failed");
    let mut redriven = done(JobKind::Alert, &body);
    redriven.job.job_id.push_str(":r1");
    redriven.job.attempt = 2;
    store
        .finish_jobs(nothing(JobKind::Alert), vec![redriven])
        .await
        .unwrap();
    let dump = engine.dump();
    let row = dump.batch(at(src, 1));
    assert_eq!(
        (row.text("state"), row.int("failed"), row.int("done")),
        ("completed", 0, 7)
    );
    assert_eq!(dump.audit(1, Step::Completed).len(), 1);
}

pub async fn a_replays_jobs_leave_the_batchs_masks_alone<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    store.mark_triggered(vec![triggered(&body)]).await.unwrap();
    let before = engine.dump();
    for kind in JobKind::ALL {
        let job = replayed(kind, &body);
        store
            .finish_jobs(nothing(kind), vec![job.clone()])
            .await
            .unwrap();
        let mut dead = dead(kind, &body);
        dead.context.job = Some(job.job);
        record_dead(store, dead).await.unwrap();
    }
    let dump = engine.dump();
    assert_eq!(dump.rows("batches"), before.rows("batches"));
    assert_eq!(dump.rows("completed_jobs").len(), 3);
    let replayed = |step| {
        let told = dump.audit(1, step).into_iter();
        told.filter(|(row, _)| row.replay_id.as_deref() == Some("r1"))
    };
    for step in [
        Step::JobStarted,
        Step::JobFinished,
        Step::Failed,
        Step::Dead,
    ] {
        assert_eq!(replayed(step).count(), 3, "{step:?}");
    }
}

pub async fn a_job_of_a_batch_that_is_not_stored_is_never_entered<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let missing = JobBody {
        batch: at(src, 2),
        ..body.clone()
    };
    let before = engine.dump();
    let early = done(JobKind::Normalize, &missing);
    let ready = done(JobKind::Normalize, &body);
    store
        .finish_jobs(
            nothing(JobKind::Normalize),
            vec![ready.clone(), early.clone()],
        )
        .await
        .unwrap();
    let ids = vec![early.job.job_id.clone(), ready.job.job_id.clone()];
    assert_eq!(
        store.done(ids).await.unwrap(),
        [ready.job.job_id].into(),
        "the genuine job of batch 2 would be taken for done"
    );
    store
        .mark_triggered(vec![triggered(&missing)])
        .await
        .unwrap();
    record_dead(store, dead(JobKind::Alert, &missing))
        .await
        .unwrap();
    let dump = engine.dump();
    assert_eq!(
        dump.rows("audit").len(),
        before.rows("audit").len() + 3,
        "done of the one, failed and dead of the other"
    );
    assert_eq!(dump.rows("batches").len(), 1);
}

pub async fn a_job_knows_whether_its_batch_is_stored<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let own = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    engine.forget("eve", at(src, 5));
    store_one(&engine, batch_of("eve", at(src, 3), &[event("e", 1)])).await;
    let of = |developer: &str, batch_id: &str, seq| JobBody {
        developer: developer.to_owned(),
        batch_id: batch_id.to_owned(),
        batch: at(src, seq),
        ..own.clone()
    };
    let jobs = vec![
        own.clone(),
        of("ada", "batch-2", 2),
        of("bob", "batch-1", 1),
        of("ada", "another", 1),
        of("eve", "batch-3", 3),
        of("eve", "batch-4", 4),
        of("eve", "batch-6", 6),
        own.clone(),
    ];
    let expected = [
        JobBatch::Stored,
        JobBatch::Missing,
        JobBatch::Another,
        JobBatch::Another,
        JobBatch::Forgotten,
        JobBatch::Forgotten,
        JobBatch::Missing,
        JobBatch::Stored,
    ];
    assert_eq!(store.job_batches(jobs).await.unwrap(), expected);
    assert_eq!(store.job_batches(Vec::new()).await.unwrap(), []);
}

pub async fn unfinished_jobs_are_claimed_once_and_recorded<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let one = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let two = stored(&engine, at(src, 2), &[event("b", 1)]).await;
    let waiting = stored(&engine, at(src, 3), &[event("c", 1)]).await;
    store
        .mark_triggered(vec![triggered(&one), triggered(&two)])
        .await
        .unwrap();
    store
        .finish_jobs(nothing(JobKind::Alert), vec![done(JobKind::Alert, &one)])
        .await
        .unwrap();
    record_dead(store, dead(JobKind::Alert, &two))
        .await
        .unwrap();
    engine.execute("UPDATE batches SET lease_until = 0");
    let claim = async |before, kinds| {
        let claimed = store.claim_unfinished(before, kinds, 9).await.unwrap();
        let claimed = claimed.into_iter();
        claimed
            .map(|one| (one.body.batch.seq, one.need))
            .collect::<Vec<_>>()
    };
    let later = triggered_at(9);
    assert_eq!(
        claim(triggered_at(1), Mask::ALL).await,
        [],
        "published no earlier"
    );
    assert_eq!(
        claim(later, JobKind::Alert.bit()).await,
        [],
        "done, or in DEAD"
    );
    let rest = Mask(1 | 2);
    assert_eq!(claim(later, Mask::ALL).await, [(1, rest), (2, rest)]);
    assert_eq!(claim(later, Mask::ALL).await, [], "they are leased");
    engine.execute("UPDATE batches SET lease_until = 0");
    assert_eq!(claim(later, Mask(1)).await, [(1, Mask(1)), (2, Mask(1))]);
    let again = Triggered {
        at: later + SECOND,
        ..triggered(&one)
    };
    store
        .mark_retriggered(vec![again, triggered(&waiting)])
        .await
        .unwrap();
    engine.execute("UPDATE batches SET lease_until = 0");
    assert_eq!(
        claim(later, Mask::ALL).await,
        [(2, rest)],
        "it was published just now"
    );
    let dump = engine.dump();
    assert_eq!(dump.audit(1, Step::Retriggered).len(), 1);
    assert_eq!(
        dump.audit(3, Step::Retriggered).len(),
        0,
        "it was never triggered"
    );
    assert_eq!(dump.batch(at(src, 1)).text("state"), "triggered");
    assert_eq!(dump.batch(at(src, 2)).text("state"), "failed");
}
