//! Local time: in the client's zone, else in the offset beside the time it wrote (contract).

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use types::time::{self, Micros};

/// An instant on a local clock.
pub struct Local {
    /// RFC 3339 with microseconds and the offset.
    pub time: String,
    /// The offset from UTC, in seconds.
    pub offset: i32,
}

/// The local time of `at`: zone and offset are chosen as admission chose them for the local day.
///
/// `client` is the envelope's `client` as JSON. If neither it nor `occurred_at` says anything usable,
/// local time is UTC.
pub fn of(at: Micros, client: Option<&[u8]>, occurred_at: Option<&str>) -> Local {
    let zone = client.and_then(time::client_zone).unwrap_or_else(|| {
        let written = occurred_at.and_then(time::parse_rfc3339);
        TimeZone::fixed(written.map_or(Offset::UTC, |written| written.offset))
    });
    let at = Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let local = at.to_zoned_datetime(zone);
    Local {
        time: local.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z").to_string(),
        offset: local.offset().seconds(),
    }
}
