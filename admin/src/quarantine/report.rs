//! What is told of quarantined events, as JSON and in words. Pure.

use serde::Serialize;
use store::{QuarantinedBatch, QuarantinedEvent};
use types::id::{BatchRef, EventRef};
use types::time::rfc3339;

use super::fate::{self, Fate};
use crate::output::plain;

/// A quarantined event: where and whose it is, and why it is quarantined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// `SRC:SEQ:ORDINAL`, as commands take it.
    pub r#ref: String,
    #[serde(flatten)]
    pub at: EventRef,
    pub developer: String,
    pub batch_id: String,
    pub id: Option<String>,
    pub r#type: Option<String>,
    pub code: &'static str,
    pub pointer: Option<String>,
    pub detail: Option<String>,
    pub received_at: String,
    /// The same event among the stored ones: it was sent or readmitted after all.
    pub stored_as: Option<String>,
}

impl Entry {
    /// Of an event of the batch.
    pub fn of(batch: &QuarantinedBatch, event: &QuarantinedEvent) -> Self {
        let at = batch.at.event(event.ordinal);
        Self {
            r#ref: at.to_string(),
            at,
            developer: batch.developer.clone(),
            batch_id: batch.batch_id.clone(),
            id: event.id.clone(),
            r#type: fate::kind(event),
            code: event.code.as_str(),
            pointer: event.pointer.clone(),
            detail: event.detail.clone(),
            received_at: rfc3339(batch.received_at),
            stored_as: event
                .owner
                .filter(|held| held.same)
                .map(|held| held.by.to_string()),
        }
    }
}

/// What would become, or became, of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "becomes", rename_all = "snake_case")]
pub enum Becomes {
    /// It fits; with its effective time and local day.
    Readmitted {
        effective_at: String,
        local_day: String,
    },
    /// The same event is stored already.
    Stored {
        #[serde(rename = "as")]
        at: String,
    },
    /// An event of its id was readmitted, and is not stored yet.
    OnTheWay,
    /// It stays where it is.
    Stays {
        code: &'static str,
        pointer: Option<String>,
        detail: String,
    },
}

impl From<&Fate> for Becomes {
    fn from(fate: &Fate) -> Self {
        match fate {
            Fate::Fits(note) => Self::Readmitted {
                effective_at: note.at.map(rfc3339).unwrap_or_default(),
                local_day: note.day.clone().unwrap_or_default(),
            },
            Fate::Stored(at) => Self::Stored { at: at.to_string() },
            Fate::OnTheWay => Self::OnTheWay,
            Fate::Stays {
                code,
                pointer,
                detail,
            } => Self::Stays {
                code: code.as_str(),
                pointer: pointer.clone(),
                detail: detail.clone(),
            },
        }
    }
}

impl Becomes {
    /// In words.
    pub fn words(&self) -> String {
        plain(&match self {
            Self::Readmitted {
                effective_at,
                local_day,
            } => {
                format!("fits, at {effective_at} (local day {local_day})")
            }
            Self::Stored { at } => format!("stored already, as {at}"),
            Self::OnTheWay => "an event of its id is on the way to the store".to_owned(),
            Self::Stays {
                code,
                pointer,
                detail,
            } => match pointer.as_deref().filter(|pointer| !pointer.is_empty()) {
                Some(pointer) => format!("stays: {code} at {pointer}: {detail}"),
                None => format!("stays: {code}: {detail}"),
            },
        })
    }
}

/// An event of a batch that was readmitted, or not.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub r#ref: String,
    pub id: Option<String>,
    pub r#type: Option<String>,
    #[serde(flatten)]
    pub becomes: Becomes,
}

/// What came of one batch.
#[derive(Debug, Clone, Serialize)]
pub struct Readmitted {
    #[serde(flatten)]
    pub at: BatchRef,
    pub developer: String,
    pub batch_id: String,
    /// The new batch's id; `None` where nothing of it fits.
    pub readmit_id: Option<String>,
    /// The new message's sequence.
    pub stream_sequence: Option<u64>,
    pub received_at: String,
    pub events: Vec<Outcome>,
}

/// What came of all.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub dry_run: bool,
    pub counts: Counts,
    pub batches: Vec<Readmitted>,
}

/// Events by what became of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Batches that were published; of a dry run: that would be.
    pub messages: u64,
    pub readmitted: u64,
    /// Of these, that another submission was before.
    pub duplicate: u64,
    /// Of these, whose id another submission took before.
    pub id_conflict: u64,
    pub stored: u64,
    pub on_the_way: u64,
    pub stays: u64,
}

impl Readmitted {
    /// Of a batch whose events have these fates.
    pub fn of(batch: &QuarantinedBatch, fates: &[Fate]) -> Self {
        let event = |(event, fate): (&QuarantinedEvent, &Fate)| Outcome {
            r#ref: batch.at.event(event.ordinal).to_string(),
            id: event.id.clone(),
            r#type: fate::kind(event),
            becomes: fate.into(),
        };
        Self {
            at: batch.at,
            developer: batch.developer.clone(),
            batch_id: batch.batch_id.clone(),
            readmit_id: None,
            stream_sequence: None,
            received_at: rfc3339(batch.received_at),
            events: batch.events.iter().zip(fates).map(event).collect(),
        }
    }
}

impl Readmitted {
    fn lines(&self, dry_run: bool) -> Vec<String> {
        let went_out = |event: &&Outcome| matches!(event.becomes, Becomes::Readmitted { .. });
        let says_nothing = |event: &&Outcome| matches!(event.becomes, Becomes::Stored { .. });
        let batch = self.readmit_id.iter().map(|id| {
            let Self {
                at,
                batch_id,
                developer,
                ..
            } = self;
            let how = if dry_run { "would go out" } else { "went out" };
            let place = self
                .stream_sequence
                .map(|sequence| format!(" (EVENTS {sequence})"))
                .unwrap_or_default();
            let events = self.events.iter().filter(went_out).count();
            plain(&format!(
                "{at} batch {batch_id} of {developer}: {events} events {how} as {id}{place}"
            ))
        });
        let others = self
            .events
            .iter()
            .filter(|event| !went_out(event) && !says_nothing(event));
        let others = others.map(|event| {
            let id = event.id.as_deref().unwrap_or("without id");
            format!("{} {}: {}", event.r#ref, plain(id), event.becomes.words())
        });
        batch.chain(others).collect()
    }
}

impl Report {
    /// Counts one more batch. Those of which everything is stored say nothing and are left out.
    pub fn add(&mut self, batch: Readmitted) {
        for event in &batch.events {
            match event.becomes {
                Becomes::Readmitted { .. } => self.counts.readmitted += 1,
                Becomes::Stored { .. } => self.counts.stored += 1,
                Becomes::OnTheWay => self.counts.on_the_way += 1,
                Becomes::Stays { .. } => self.counts.stays += 1,
            }
        }
        self.counts.messages += u64::from(batch.readmit_id.is_some());
        if !batch
            .events
            .iter()
            .all(|event| matches!(event.becomes, Becomes::Stored { .. }))
        {
            self.batches.push(batch);
        }
    }

    /// A line a batch that went out, and a line an event that did not.
    pub fn lines(&self) -> Vec<String> {
        self.batches
            .iter()
            .flat_map(|batch| batch.lines(self.dry_run))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fate::tests::{batch, coffee, with_coffee};
    use super::super::fate::{OnTheWay, fates};
    use super::*;

    #[test]
    fn what_goes_out_and_what_stays_is_told_a_line_each_and_counted() {
        let texts = [
            coffee("e1", r#"{"cups": 1}"#),
            coffee("e2", "{}"),
            coffee("e3", "{}"),
        ];
        let mut origin = batch(&[&texts[0], &texts[1], &texts[2]]);
        let by = EventRef {
            src: 2,
            seq: 9,
            ordinal: 0,
        };
        origin.events[2].owner = Some(store::IdOwner { by, same: true });
        let fates = fates(&origin, &with_coffee(), &OnTheWay::default());
        let mut report = Report::default();
        report.add(Readmitted {
            readmit_id: Some("readmit-2-7".to_owned()),
            stream_sequence: Some(11),
            ..Readmitted::of(&origin, &fates)
        });
        assert_eq!(
            report.lines(),
            [
                "2:7 batch b1 of ada: 1 events went out as readmit-2-7 (EVENTS 11)",
                "2:7:1 e2: stays: schema_invalid at /data: \"cups\" is a required property",
            ]
        );
        let counts = Counts {
            messages: 1,
            readmitted: 1,
            stored: 1,
            stays: 1,
            ..Counts::default()
        };
        assert_eq!(report.counts, counts);
        // Of a batch that is stored nothing is told.
        origin.events.drain(..2);
        report.add(Readmitted::of(&origin, &fates[2..]));
        assert_eq!((report.batches.len(), report.counts.stored), (1, 2));
    }
}
