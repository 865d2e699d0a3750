//! What the aggregate role keeps of each hour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::StoredEvent;
use types::job::JobKind;

use super::partial::Part;
use crate::hour_partials::{Maker, SEGMENT};
use crate::normalize::CountedEvent;

/// Rises with every change of a partial's or a day's meaning, also if the normalizer gives other languages or projects:
/// what older code computed is stale.
pub const VERSION: i32 = 5;

/// What a stretch of a UTC hour holds, by local day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HourParts(BTreeMap<String, Part>);

impl HourParts {
    /// What it holds of this local day.
    #[must_use]
    pub fn of(&self, day: &str) -> Option<&Part> {
        self.0.get(day)
    }

    /// Adds an event that follows all others.
    pub fn add(&mut self, event: &StoredEvent) {
        let counted = CountedEvent::of(event);
        match self.0.get_mut(&event.local_day) {
            Some(part) => part.add(&counted),
            None => {
                self.0.insert(event.local_day.clone(), Part::of(&counted));
            }
        }
    }
}

/// What makes the aggregate role's partials.
#[must_use]
pub fn maker() -> Maker {
    Maker {
        kind: JobKind::Aggregate,
        version: VERSION,
        made_with: String::new(),
        segment: SEGMENT,
    }
}
