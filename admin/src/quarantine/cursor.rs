//! Which quarantined events a command is about, read batch by batch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::bail;
use store::{Quarantine, QuarantineFilter, QuarantinedBatch, QuarantinedEvent};
use types::id::{BatchRef, DeveloperId, EventRef};
use types::verdict::{Code, Verdict};

use super::disposition::event_type;
use crate::output::SELECTION;
use crate::time_args::TimeRangeArgs;

/// Keys of batches that are read at once.
const PAGE: u32 = 200;
/// Events of one id that are looked up: one id has one in each batch that it was sent in.
const SUBMISSIONS: u32 = 1000;

/// What narrows the quarantine; everything that is given must fit.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct QuarantineFilterArgs {
    /// Only this developer's events
    #[arg(long, value_name = "DEVELOPER", help_heading = SELECTION)]
    pub developer: Option<DeveloperId>,
    /// Only events that are quarantined for this: type_unknown, schema_version_unsupported,
    /// time_implausible, id_conflict
    #[arg(long, value_name = "CODE", value_parser = parse_code, help_heading = SELECTION)]
    code: Option<Code>,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE", help_heading = SELECTION)]
    kind: Option<String>,
    #[command(flatten)]
    pub range: TimeRangeArgs,
}

fn parse_code(text: &str) -> Result<Code, String> {
    let code = Code::named(text).filter(|code| code.verdict() == Verdict::Quarantined);
    let codes = "type_unknown, schema_version_unsupported, time_implausible, id_conflict";
    code.ok_or_else(|| format!("{text:?} is no code that quarantines; they are {codes}"))
}

/// Which events: those that fit a filter, or those that are named.
#[derive(Debug, Clone)]
pub enum QuarantineSelection {
    /// Whatever fits.
    Matching(QuarantineFilterArgs),
    /// These, by their batch.
    Named(BTreeMap<BatchRef, BTreeSet<u32>>),
}

impl QuarantineSelection {
    /// Finds out what `names` mean: `SRC:SEQ:ORDINAL`, or an event id; of one developer only, if one is given.
    ///
    /// # Errors
    /// Returns an error if one is neither the place nor the id of a quarantined event.
    pub async fn named(
        store: &impl Quarantine,
        names: &[String],
        developer: Option<&DeveloperId>,
    ) -> anyhow::Result<Self> {
        let mut selection: BTreeMap<BatchRef, BTreeSet<u32>> = BTreeMap::new();
        let developer = developer.map(ToString::to_string);
        for name in names {
            let mut found = store
                .quarantined_as(name.clone(), developer.clone(), SUBMISSIONS)
                .await?;
            // An id may look like a place.
            let place = parse_event_ref(name);
            found.extend(place.filter(|at| !found.contains(at)));
            let mut known = false;
            for at in found {
                let Some(batch) = store.quarantined_batch(at.batch(), None).await? else {
                    continue;
                };
                // A place does not name the developer.
                let is_theirs = developer
                    .as_ref()
                    .is_none_or(|developer| *developer == batch.developer);
                // An id means each of its events once, a place the one that is there.
                let is_meant = |event: &QuarantinedEvent| {
                    event.ordinal == at.ordinal && (place == Some(at) || !event.again)
                };
                if is_theirs && batch.events.iter().any(is_meant) {
                    selection.entry(at.batch()).or_default().insert(at.ordinal);
                    known = true;
                }
            }
            if !known {
                let whose = developer
                    .iter()
                    .map(|developer| format!(" of {developer}"))
                    .collect::<String>();
                bail!(
                    "{name:?} is neither the place (SRC:SEQ:ORDINAL) nor the id of a quarantined event{whose}. \
                     `devtrail quarantine list --all` shows them; `devtrail trace` shows what else became of an event."
                );
            }
        }
        Ok(Self::Named(selection))
    }
}

/// `SRC:SEQ:ORDINAL`.
fn parse_event_ref(text: &str) -> Option<EventRef> {
    let mut parts = text.split(':');
    let at = EventRef {
        src: parts.next()?.parse().ok()?,
        seq: parts.next()?.parse().ok()?,
        ordinal: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(at)
}

/// Goes through the wanted events, a batch at a time: never more than one batch is held. Of what fits a filter, the
/// same event comes once, as the first of its submissions that fit.
pub struct QuarantineCursor<'a, S> {
    store: &'a S,
    selection: QuarantineSelection,
    keys: VecDeque<BatchRef>,
    /// The last key of the page before; `None` if there are no more pages.
    after: Option<Option<BatchRef>>,
}

impl<'a, S: Quarantine> QuarantineCursor<'a, S> {
    /// From the beginning.
    pub fn new(store: &'a S, selection: QuarantineSelection) -> Self {
        let (keys, after) = match &selection {
            QuarantineSelection::Matching(_) => (VecDeque::new(), Some(None)),
            QuarantineSelection::Named(events) => (events.keys().copied().collect(), None),
        };
        Self {
            store,
            selection,
            keys,
            after,
        }
    }

    /// The next batch, with those of its quarantined events that are wanted.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read.
    pub async fn next(&mut self) -> anyhow::Result<Option<QuarantinedBatch>> {
        loop {
            let Some(key) = self.keys.pop_front() else {
                if self.next_page().await? {
                    continue;
                }
                return Ok(None);
            };
            // One that is forgotten meanwhile is gone.
            let since = match &self.selection {
                QuarantineSelection::Matching(filter) => filter.range.from,
                QuarantineSelection::Named(_) => None,
            };
            let Some(mut batch) = self.store.quarantined_batch(key, since).await? else {
                continue;
            };
            match &self.selection {
                QuarantineSelection::Named(events) => {
                    let selection = events.get(&key);
                    batch.events.retain(|event| {
                        selection.is_some_and(|selection| selection.contains(&event.ordinal))
                    });
                }
                QuarantineSelection::Matching(filter) => batch.events.retain(|event| {
                    !event.again
                        && filter.code.is_none_or(|code| event.code == code)
                        && filter
                            .kind
                            .as_ref()
                            .is_none_or(|kind| event_type(event).as_ref() == Some(kind))
                }),
            }
            if !batch.events.is_empty() {
                return Ok(Some(batch));
            }
        }
    }

    /// Reads the next page of keys; whether there was one.
    async fn next_page(&mut self) -> anyhow::Result<bool> {
        let (QuarantineSelection::Matching(filter), Some(after)) = (&self.selection, self.after)
        else {
            return Ok(false);
        };
        let filter = QuarantineFilter {
            developer: filter.developer.as_ref().map(ToString::to_string),
            code: filter.code,
            from: filter.range.from,
            to: filter.range.to,
        };
        self.keys = self.store.quarantined(filter, after, PAGE).await?.into();
        self.after = self.keys.back().map(|last| Some(*last));
        Ok(!self.keys.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_three_numbers() {
        assert_eq!(
            parse_event_ref("1:5:0"),
            Some(EventRef {
                src: 1,
                seq: 5,
                ordinal: 0
            })
        );
        for bad in ["1:5", "1:5:0:0", "a:5:0", "1:-5:0", ""] {
            assert_eq!(parse_event_ref(bad), None, "{bad}");
        }
    }

    #[test]
    fn codes_are_read_and_others_refused_with_the_remedy() {
        assert_eq!(parse_code("type_unknown"), Ok(Code::TypeUnknown));
        assert!(
            parse_code("schema_invalid")
                .unwrap_err()
                .contains("id_conflict"),
            "it rejects"
        );
    }
}
