//! Local time: in the client's zone, else in the developer's, else in the offset beside the time it wrote (contract).

use std::borrow::Cow;
use std::cell::RefCell;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use store::StoredEvent;
use types::time::{self, Micros};

/// What a local clock showed at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// The offset from UTC, in seconds.
    pub offset: i32,
    /// Whether anything tells what the local clock showed; if not, this is UTC.
    pub is_known: bool,
}

/// What local times are told by: a zone, or an offset that never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalClock {
    Zone(TimeZone),
    Fixed(Offset),
}

impl LocalClock {
    /// Of an event: zone and offset are chosen as admission chose them for the local day. The offset that the event's
    /// time was `written` with is read if there is no zone.
    #[must_use]
    pub fn of(event: &StoredEvent, written: impl FnOnce() -> Option<Offset>) -> Self {
        match zone_of(event) {
            Some(zone) => Self::Zone(zone),
            None => Self::Fixed(written().unwrap_or(Offset::UTC)),
        }
    }

    /// The offset from UTC at an instant, in seconds.
    #[must_use]
    pub fn offset(&self, at: Micros) -> i32 {
        match self {
            Self::Zone(zone) => zone.to_offset(timestamp(at)).seconds(),
            Self::Fixed(offset) => offset.seconds(),
        }
    }

    /// When the offset changes next after an instant, in microseconds since 1970.
    #[must_use]
    pub fn changes_after(&self, at: Micros) -> Option<Micros> {
        let Self::Zone(zone) = self else {
            return None;
        };
        let change = zone.following(timestamp(at)).next()?;
        Some(change.timestamp().as_microsecond())
    }

    /// What [`Self::named`] reads: the zone's name, or the offset in seconds.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Zone(zone) => zone.iana_name().unwrap_or("UTC").into(),
            Self::Fixed(offset) => offset.seconds().to_string().into(),
        }
    }

    /// The clock of this name; UTC if there is none.
    #[must_use]
    pub fn named(name: &str) -> Self {
        if let Ok(seconds) = name.parse() {
            return Self::Fixed(Offset::from_seconds(seconds).unwrap_or(Offset::UTC));
        }
        time::zone(name).map_or(Self::Fixed(Offset::UTC), Self::Zone)
    }
}

impl Serialize for LocalClock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for LocalClock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::named(&String::deserialize(deserializer)?))
    }
}

/// What the [`LocalClock`] of the event showed when it happened.
///
/// `occurred_at` is what the event says. If it is in UTC (`Z`), and neither client nor developer has a zone, the local
/// time is not known.
pub fn clock(event: &StoredEvent, occurred_at: Option<&str>) -> Clock {
    let written = occurred_at.and_then(time::parse_rfc3339);
    let clock = LocalClock::of(event, || written.map(|written| written.offset));
    let has_zone = matches!(clock, LocalClock::Zone(_));
    Clock {
        offset: clock.offset(event.effective_at),
        is_known: has_zone || written.is_some_and(|written| written.is_local),
    }
}

/// The zone of the event's client, else of its developer. All events of a batch have the same: it is looked up once.
fn zone_of(event: &StoredEvent) -> Option<TimeZone> {
    thread_local! {
        static LAST: RefCell<LastZone> = const { RefCell::new(LastZone::NONE) };
    }
    LAST.with_borrow_mut(|last| {
        if last.client != event.client || last.setting != event.zone {
            *last = LastZone {
                client: event.client.clone(),
                setting: event.zone.clone(),
                zone: time::zone_of(event.client.as_deref(), event.zone.as_deref()),
            };
        }
        last.zone.clone()
    })
}

struct LastZone {
    client: Option<Vec<u8>>,
    setting: Option<String>,
    zone: Option<TimeZone>,
}

impl LastZone {
    /// Of an event that tells neither.
    const NONE: Self = Self {
        client: None,
        setting: None,
        zone: None,
    };
}

/// The instant on a clock that is `offset` seconds ahead of UTC: RFC 3339 with microseconds and the offset.
pub fn text(at: Micros, offset: i32) -> String {
    let offset = Offset::from_seconds(offset).unwrap_or(Offset::UTC);
    let local = timestamp(at).to_zoned_datetime(TimeZone::fixed(offset));
    local.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z").to_string()
}

fn timestamp(at: Micros) -> Timestamp {
    Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH)
}
