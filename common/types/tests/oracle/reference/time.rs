//! Time: instants in microseconds, RFC 3339 with the written offset, effective time, local day.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};

use crate::reference::json::{self, RawObject};

/// An instant, in microseconds since 1970-01-01T00:00:00Z. The resolution of both stores.
pub(crate) type Micros = i64;

/// One second in [`Micros`].
pub(crate) const SECOND: Micros = 1_000_000;

/// A client's clock is fast if its `sent_at` is ahead of receipt by more than this (contract).
pub(crate) const MAX_AHEAD: Micros = 60 * SECOND;

/// 2000-01-01T00:00:00Z: an older time comes from a clock that was never set (contract).
pub(crate) const EARLIEST: Micros = 946_684_800 * SECOND;

/// An effective time may be at most this far after receipt (contract).
pub(crate) const MAX_FUTURE: Micros = 24 * 3600 * SECOND;

/// A time as it was written: the instant, and the offset that was written with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetTime {
    /// The instant; `None` if it lies outside the years -9999 to 9999 in UTC.
    pub(crate) at: Option<Micros>,
    /// The offset from UTC that was written.
    pub(crate) offset: Offset,
    /// Whether the offset is that of a local clock: `Z` and `-00:00` say nothing of one (RFC 3339, section 4.3, as
    /// updated by RFC 9557, section 2.2).
    pub(crate) is_local: bool,
}

/// Reads an RFC 3339 `date-time`: date, `T`, time, and an offset or `Z`, nothing else.
///
/// Returns `None` for any other text. A leap second reads as the second before it. Digits below the microsecond are
/// dropped.
pub(crate) fn parse_rfc3339(text: &str) -> Option<OffsetTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.strip_prefix(['T', 't'])?.split_at_checked(8)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit())?)?,
        None => ("0", rest),
    };
    if fraction.is_empty() {
        return None;
    }
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = fields(time, ':', [2, 2, 2])?;
    let micros = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = micros.fold(0, |sum: i32, digit| sum * 10 + i32::from(digit - b'0'));
    let date = Date::new(year, month as i8, day as i8).ok()?;
    let second = if second == 60 { 59 } else { second };
    let time = Time::new(hour as i8, minute as i8, second as i8, micros * 1000).ok()?;
    let is_local = !["Z", "z", "-00:00"].contains(&zone);
    let offset = offset(zone)?;
    let at = offset
        .to_timestamp(date.to_datetime(time))
        .ok()
        .map(Timestamp::as_microsecond);
    Some(OffsetTime {
        at,
        offset,
        is_local,
    })
}

fn offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'Z' | b'z' => return (text.len() == 1).then_some(Offset::UTC),
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let [hours, minutes] = fields(rest, ':', [2, 2])?;
    let valid = hours <= 23 && minutes <= 59;
    valid.then(|| {
        Offset::from_seconds(sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60)).ok()
    })?
}

/// Splits `text` into exactly N numbers of the given digits each.
fn fields<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i16; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let well_formed = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = well_formed.then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

/// `at` as RFC 3339 in UTC with microseconds, for people and for the wire.
pub(crate) fn rfc3339(at: Micros) -> String {
    let at = Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// How far a client's clock is ahead if that is more than [`MAX_AHEAD`], else 0.
///
/// Clients set `sent_at` at each attempt. An old `sent_at` therefore comes from an offline client and corrects nothing.
pub(crate) fn skew(sent_at: Micros, received_at: Micros) -> Micros {
    let ahead = sent_at.saturating_sub(received_at);
    if ahead > MAX_AHEAD { ahead } else { 0 }
}

/// Whether an event received at `received_at` can have happened at `effective`.
pub(crate) fn plausible(effective: Micros, received_at: Micros) -> bool {
    effective >= EARLIEST && effective <= received_at.saturating_add(MAX_FUTURE)
}

/// The local day, `YYYY-MM-DD`: in `zone` if the client named one, else by the written offset.
pub(crate) fn local_day(at: Micros, zone: Option<&TimeZone>, offset: Offset) -> String {
    let at = Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let zone = zone.cloned().unwrap_or_else(|| TimeZone::fixed(offset));
    zone.to_datetime(at).date().to_string()
}

/// The IANA zone of this name; an unknown one counts as absent (contract).
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    // "+01:00" and POSIX strings are no IANA names; only a name of the database is taken.
    let known = name
        .starts_with(|c: char| c.is_ascii_alphabetic())
        .then(|| TimeZone::get(name).ok())?;
    // "Etc/Unknown" is a name that means no zone is known.
    known.filter(|zone| !zone.is_unknown())
}

/// The zone that an envelope's `client` names in `time_zone`. The contract does not define the shape of `client`, so
/// anything malformed counts as absent.
pub(crate) fn client_zone(client: &[u8]) -> Option<TimeZone> {
    // Not read as a value: that would take a hundred times its size in memory, and a client may be of any size.
    let RawObject(members) = serde_json::from_slice(client).ok()?;
    let (_, named) = members.iter().rfind(|(name, _)| name == "time_zone")?;
    zone(&json::string(named)?)
}
