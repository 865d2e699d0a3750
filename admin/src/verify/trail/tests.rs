//! For every state and mask: the whole trail is clean, and each row that is taken away or doubled is named.

use proptest::prelude::*;
use types::id::BatchRef;

use super::*;

const AT: BatchRef = BatchRef { src: 1, seq: 7 };

fn taken(step: &str, job_id: Option<String>) -> AuditStep {
    AuditStep {
        step: step.to_owned(),
        replay_id: None,
        job_id,
    }
}

fn masks() -> impl Strategy<Value = (BatchState, Mask, Mask, Mask)> {
    let state = prop::sample::select(BatchState::ALL.to_vec());
    (state, any::<bool>(), 0..8_u8, 0..8_u8).prop_map(|(state, needs, done, failed)| {
        let (need, done) = if needs {
            (Mask::ALL, Mask(done))
        } else {
            (Mask::NONE, Mask::NONE)
        };
        let failed = if needs {
            Mask(failed & !done.0)
        } else {
            Mask::NONE
        };
        (state, need, done, failed)
    })
}

/// The trail that the workers write for such a batch.
fn whole((state, need, done, failed): (BatchState, Mask, Mask, Mask)) -> Account {
    let mut steps: Vec<AuditStep> = STORED
        .iter()
        .map(|step| taken(step.as_str(), None))
        .collect();
    if need != Mask::NONE && state != BatchState::Persisted {
        steps.push(taken("triggered", None));
    }
    let job = |kind: JobKind| Some(kind.id(AT, None));
    steps.extend(done.kinds().map(|kind| taken("job_finished", job(kind))));
    steps.extend(failed.kinds().map(|kind| taken("failed", job(kind))));
    if state == BatchState::Completed {
        steps.push(taken("completed", None));
    }
    let row = BatchStatus {
        state,
        need,
        done,
        failed,
        is_known: true,
        persisted_at: 0,
    };
    Account {
        at: AT,
        row: Some(row),
        kept: Vec::new(),
        steps,
    }
}

fn findings(account: &Account, dead: Mask) -> Vec<String> {
    let mut checked = Checked::default();
    check(account, dead, &mut checked);
    checked
        .findings
        .into_iter()
        .map(|finding| finding.text)
        .collect()
}

proptest! {
    #[test]
    fn a_whole_trail_is_clean_and_each_missing_or_doubled_row_is_named(masks in masks(), which in any::<prop::sample::Index>()) {
        let failed = masks.3;
        let clean = whole(masks);
        prop_assert_eq!(findings(&clean, failed), Vec::<String>::new());
        let index = which.index(clean.steps.len());
        let mut less = clean.clone();
        let gone = less.steps.remove(index);
        let named = findings(&less, failed);
        prop_assert_eq!(named.len(), 1, "{:?}: {:?}", gone, named);
        let what = if gone.step == "failed" { "no step of that".to_owned() } else { format!("step {}", gone.step) };
        prop_assert!(named[0].starts_with("missing") && named[0].contains(&what), "{:?}", named);
        let mut more = clean.clone();
        more.steps.push(clean.steps[index].clone());
        let named = findings(&more, failed);
        // A job may fail again and again.
        prop_assert_eq!(named.len(), usize::from(clean.steps[index].step != "failed"), "{:?}", named);
        prop_assert!(named.iter().all(|text| text.starts_with("doubled")), "{:?}", named);
    }

    #[test]
    fn a_failed_job_is_in_dead_or_was_dealt_with(masks in masks()) {
        let failed = masks.3;
        let account = whole(masks);
        let named = findings(&account, Mask::NONE);
        prop_assert_eq!(named.len(), failed.kinds().count());
        prop_assert!(named.iter().all(|text| text.contains("neither in DEAD nor dropped")));
        for dealt_with in ["dropped", "redriven"] {
            let mut account = account.clone();
            account.steps.extend(failed.kinds().map(|kind| taken(dealt_with, Some(kind.id(AT, None)))));
            prop_assert_eq!(findings(&account, Mask::NONE), Vec::<String>::new());
        }
    }
}

#[test]
fn a_forgotten_batch_and_a_replay_are_no_findings() {
    let mut forgotten = whole((BatchState::Failed, Mask::ALL, Mask(3), Mask(4)));
    forgotten.row = forgotten.row.map(|row| BatchStatus {
        is_known: false,
        ..row
    });
    forgotten
        .steps
        .iter_mut()
        .for_each(|taken| taken.job_id = None);
    forgotten.steps.push(taken("dropped", None));
    assert_eq!(findings(&forgotten, Mask::NONE), Vec::<String>::new());
    let mut replayed = whole((BatchState::Completed, Mask::ALL, Mask::ALL, Mask::NONE));
    let again = |step: &AuditStep| AuditStep {
        replay_id: Some("r".to_owned()),
        ..step.clone()
    };
    let more: Vec<AuditStep> = replayed.steps.iter().map(again).collect();
    replayed.steps.extend(more);
    assert_eq!(findings(&replayed, Mask::NONE), Vec::<String>::new());
}
