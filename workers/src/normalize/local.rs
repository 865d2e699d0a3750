//! Local time: in the client's zone, else in the developer's, else in the offset beside the time it wrote (contract).

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use store::StoredEvent;
use types::time;

/// An instant on a local clock.
pub struct Local {
    /// RFC 3339 with microseconds and the offset.
    pub time: String,
    /// The offset from UTC, in seconds.
    pub offset: i32,
    /// Whether anything tells what the local clock showed; if not, this is UTC.
    pub is_known: bool,
}

/// The local time of the event: zone and offset are chosen as admission chose them for the local day.
///
/// `occurred_at` is what the event says. If it is in UTC (`Z`), and neither client nor developer has a zone, the local
/// time is not known.
pub fn of(event: &StoredEvent, occurred_at: Option<&str>) -> Local {
    let written = occurred_at.and_then(time::parse_rfc3339);
    let zone = time::zone_of(event.client.as_deref(), event.zone.as_deref());
    let is_known = zone.is_some() || written.is_some_and(|written| written.is_local);
    let zone = zone
        .unwrap_or_else(|| TimeZone::fixed(written.map_or(Offset::UTC, |written| written.offset)));
    let at = Timestamp::from_microsecond(event.effective_at).unwrap_or(Timestamp::UNIX_EPOCH);
    let local = at.to_zoned_datetime(zone);
    Local {
        time: local.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z").to_string(),
        offset: local.offset().seconds(),
        is_known,
    }
}
