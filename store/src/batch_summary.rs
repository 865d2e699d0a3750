//! The summary of a batch in `store_batches` (T1): counts, touched hours and days, needed jobs. Pure.

use std::collections::{BTreeMap, BTreeSet};

use types::job::{BatchState, EventSummary, JobBody, Mask};
use types::time::{Micros, utc_hour};
use types::verdict::{Counts, Verdict};

use crate::decoded_batch::{AdmittedEvent, DecodedBatch};
use crate::hours::ChangedSpan;
use crate::outbox::Pending;
use crate::persist::Stored;

/// The running result of one batch.
#[derive(Debug, Default)]
pub struct BatchSummary {
    /// Events by verdict.
    pub counts: Counts,
    /// UTC hours that events entered or left, and where in them: their generations rise.
    pub hours: BTreeMap<i64, ChangedSpan>,
    /// Local days that events left.
    left_days: BTreeSet<String>,
    /// Ordinals of new events, those that superseded another one too.
    new: BTreeSet<u32>,
}

impl BatchSummary {
    /// The event is stored as new.
    pub fn add_new(&mut self, event: &AdmittedEvent) {
        self.counts.add(Verdict::Accepted);
        self.changed(event.effective_at);
        self.new.insert(event.ordinal);
    }

    /// An event superseded one that was at this time, on this local day.
    pub fn left(&mut self, effective_at: Micros, local_day: &str) {
        self.changed(effective_at);
        self.left_days.insert(local_day.to_owned());
    }

    fn changed(&mut self, at: Micros) {
        let span = ChangedSpan {
            first: at,
            last: at,
        };
        self.hours
            .entry(utc_hour(at))
            .and_modify(|there| *there = there.with(span))
            .or_insert(span);
    }

    /// The jobs that the batch needs: all if it brought anything new, else none.
    #[must_use]
    pub fn need(&self) -> Mask {
        if self.new.is_empty() {
            Mask::NONE
        } else {
            Mask::ALL
        }
    }

    /// The body of the batch's job messages: its new events.
    #[must_use]
    pub fn job_body(&self, batch: &DecodedBatch) -> JobBody {
        let header = &batch.header;
        let mut body = JobBody {
            batch_id: header.batch_id.clone(),
            developer: header.developer.to_string(),
            correlation_id: header.correlation_id.clone(),
            traceparent: header.traceparent.clone(),
            batch: batch.at,
            counts_by_type: BTreeMap::new(),
            first_occurred_at: None,
            last_occurred_at: None,
            touched_days: self.left_days.clone(),
            schema_versions: BTreeSet::new(),
        };
        let new = batch
            .admitted
            .iter()
            .filter(|event| self.new.contains(&event.ordinal));
        body.sum_up(new.map(|event| EventSummary {
            kind: &event.kind,
            schema_version: &event.schema_version,
            effective_at: event.effective_at,
            local_day: &event.local_day,
        }));
        body
    }

    /// The result of `store_batches` for the batch, whose job messages say `body`.
    #[must_use]
    pub fn stored(&self, body: JobBody) -> Stored {
        let need = self.need();
        Stored {
            at: body.batch,
            already: false,
            counts: self.counts,
            state: BatchState::stored(need),
            pending: (need != Mask::NONE).then_some(Pending { need, body }),
        }
    }
}
