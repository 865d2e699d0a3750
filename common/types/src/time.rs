//! Time: instants in microseconds, RFC 3339 with the written offset, effective time, local day.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};

use crate::json::{self, RawObject};

/// An instant, in microseconds since 1970-01-01T00:00:00Z. The resolution of both stores.
pub type Micros = i64;

/// A millisecond, as [`Micros`] count it.
pub const MILLISECOND: Micros = 1_000;
/// One second in [`Micros`].
pub const SECOND: Micros = 1_000_000;

/// A client's clock is fast if its `sent_at` is ahead of receipt by more than this (contract).
pub const MAX_AHEAD: Micros = 60 * SECOND;

/// 2000-01-01T00:00:00Z: an older time comes from a clock that was never set (contract).
pub const EARLIEST: Micros = 946_684_800 * SECOND;

/// An effective time may be at most this far after receipt (contract).
pub const MAX_FUTURE: Micros = 24 * 3600 * SECOND;

/// Converts nanoseconds since 1970, as NATS reports instants.
#[must_use]
pub fn of_nanos(nanos: i128) -> Micros {
    Micros::try_from(nanos / 1000).unwrap_or(Micros::MAX)
}

/// A time as it was written: the instant, and the offset that was written with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetTime {
    /// The instant; `None` if it lies outside the years -9999 to 9999 in UTC.
    pub at: Option<Micros>,
    /// The offset from UTC that was written.
    pub offset: Offset,
    /// Whether the offset is that of a local clock: `Z` and `-00:00` say nothing of one (RFC 3339, section 4.3, as
    /// updated by RFC 9557, section 2.2).
    pub is_local: bool,
}

/// Reads an RFC 3339 `date-time`: date, `T`, time, and an offset or `Z`, nothing else.
///
/// Returns `None` for any other text. A leap second reads as the second before it. Digits below the microsecond are
/// dropped.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<OffsetTime> {
    let (date, rest) = text.as_bytes().split_first_chunk::<10>()?;
    let (time, rest) = rest.split_first_chunk::<9>()?;
    let (fraction, zone) = match rest.split_first()? {
        (b'.', rest) => rest.split_at(rest.iter().position(|byte| !byte.is_ascii_digit())?),
        _ => (&b"0"[..], rest),
    };
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else {
        return None;
    };
    let [b'T' | b't', h1, h2, b':', n1, n2, b':', s1, s2] = *time else {
        return None;
    };
    if fraction.is_empty() {
        return None;
    }
    let micros = fraction.iter().chain(std::iter::repeat(&b'0')).take(6);
    let micros = micros.fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'));
    let date = Date::new(
        number([y1, y2, y3, y4])?,
        number([m1, m2])? as i8,
        number([d1, d2])? as i8,
    );
    let second = match number([s1, s2])? {
        60 => 59,
        second => second,
    };
    let (hour, minute) = (number([h1, h2])? as i8, number([n1, n2])? as i8);
    let time = Time::new(hour, minute, second as i8, micros * 1000).ok()?;
    let is_local = ![&b"Z"[..], b"z", b"-00:00"].contains(&zone);
    let offset = offset(zone)?;
    let at = offset
        .to_timestamp(date.ok()?.to_datetime(time))
        .ok()
        .map(Timestamp::as_microsecond);
    Some(OffsetTime {
        at,
        offset,
        is_local,
    })
}

fn offset(text: &[u8]) -> Option<Offset> {
    let (sign, [h1, h2, m1, m2]) = match *text {
        [b'Z' | b'z'] => return Some(Offset::UTC),
        [b'+', h1, h2, b':', m1, m2] => (1, [h1, h2, m1, m2]),
        [b'-', h1, h2, b':', m1, m2] => (-1, [h1, h2, m1, m2]),
        _ => return None,
    };
    let (hours, minutes) = (number([h1, h2])?, number([m1, m2])?);
    let valid = hours <= 23 && minutes <= 59;
    valid.then(|| {
        Offset::from_seconds(sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60)).ok()
    })?
}

/// The number that decimal digits are.
fn number<const N: usize>(digits: [u8; N]) -> Option<i16> {
    digits.iter().try_fold(0, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + i16::from(digit - b'0'))
    })
}

/// `at` as RFC 3339 in UTC with microseconds, for people and for the wire.
#[must_use]
pub fn rfc3339(at: Micros) -> String {
    let at = Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// How far a client's clock is ahead if that is more than [`MAX_AHEAD`], else 0.
///
/// Clients set `sent_at` at each attempt. An old `sent_at` therefore comes from an offline client and corrects nothing.
#[must_use]
pub fn skew(sent_at: Micros, received_at: Micros) -> Micros {
    let ahead = sent_at.saturating_sub(received_at);
    if ahead > MAX_AHEAD { ahead } else { 0 }
}

/// Whether an event received at `received_at` can have happened at `effective`.
#[must_use]
pub fn plausible(effective: Micros, received_at: Micros) -> bool {
    effective >= EARLIEST && effective <= received_at.saturating_add(MAX_FUTURE)
}

/// The local day, `YYYY-MM-DD`: in `zone` if the client named one, else by the written offset.
#[must_use]
pub fn local_day(at: Micros, zone: Option<&TimeZone>, offset: Offset) -> String {
    let at = Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let offset = zone.map_or(offset, |zone| zone.to_offset(at));
    day(offset.to_datetime(at).date())
}

/// A date as `YYYY-MM-DD`. One is written for each event, so the formatter for all dates there are is left out.
fn day(date: Date) -> String {
    let Ok(year) = u16::try_from(date.year()) else {
        return date.to_string();
    };
    let [month, day] = [date.month(), date.day()].map(|number| number.unsigned_abs().into());
    let digit = |number: u16, place: u16| char::from(b'0' + (number / place % 10) as u8);
    let year = [1000, 100, 10, 1].map(|place| digit(year, place));
    let month = ['-', digit(month, 10), digit(month, 1)];
    let day = ['-', digit(day, 10), digit(day, 1)];
    year.into_iter().chain(month).chain(day).collect()
}

/// The IANA zone of this name; an unknown one counts as absent (contract).
#[must_use]
pub fn zone(name: &str) -> Option<TimeZone> {
    // "+01:00" and POSIX strings are no IANA names; only a name of the database is taken.
    let known = name
        .starts_with(|c: char| c.is_ascii_alphabetic())
        .then(|| TimeZone::get(name).ok())?;
    // "Etc/Unknown" is a name that means no zone is known.
    known.filter(|zone| !zone.is_unknown())
}

/// The zone that an envelope's `client` names in `time_zone`. The contract does not define the shape of `client`, so
/// anything malformed counts as absent.
#[must_use]
pub fn client_zone(client: &[u8]) -> Option<TimeZone> {
    // Not read as a value: that would take a hundred times its size in memory, and a client may be of any size.
    let RawObject(members) = serde_json::from_slice(client).ok()?;
    let (_, named) = members.iter().rfind(|(name, _)| name == "time_zone")?;
    zone(&json::string(named)?)
}

/// The zone of local days and times: the one that the client names, else the developer's setting. `None`: the offset
/// written with each time decides.
#[must_use]
pub fn zone_of(client: Option<&[u8]>, setting: Option<&str>) -> Option<TimeZone> {
    client.and_then(client_zone).or_else(|| zone(setting?))
}

/// The UTC hour of an instant, in hours since 1970.
#[must_use]
pub fn utc_hour(at: Micros) -> i64 {
    at.div_euclid(3600 * SECOND)
}

/// A time span as [`Micros`] counts it.
#[must_use]
pub fn micros(span: std::time::Duration) -> Micros {
    Micros::try_from(span.as_micros()).unwrap_or(Micros::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Micros {
        parse_rfc3339(text)
            .and_then(|written| written.at)
            .unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn rfc_3339_times_with_offset_are_read() {
        assert_eq!(
            at("2026-03-01T09:14:58.001+01:00"),
            at("2026-03-01T08:14:58.001Z")
        );
        assert_eq!(at("1970-01-01t00:00:00z"), 0);
        assert_eq!(at("2016-12-31T23:59:60Z"), at("2016-12-31T23:59:59Z"));
        assert_eq!(
            at("2026-03-01T00:00:00.1234567891234Z") - at("2026-03-01T00:00:00Z"),
            123_456
        );
        assert_eq!(
            at("2026-03-01T00:00:00-23:59") - at("2026-03-01T00:00:00Z"),
            (23 * 60 + 59) * 60 * SECOND
        );
    }

    #[test]
    fn a_time_in_utc_tells_of_no_local_clock() {
        for (zone, expected) in [
            ("Z", false),
            ("z", false),
            ("-00:00", false),
            ("+00:00", true),
            ("-05:00", true),
        ] {
            let written = parse_rfc3339(&format!("2026-03-01T09:14:58{zone}")).unwrap();
            assert_eq!(written.is_local, expected, "{zone}");
        }
    }

    #[test]
    fn anything_else_is_no_time() {
        for bad in [
            "",
            "2026-03-01",
            "2026-03-01T09:14:58",
            "2026-03-01 09:14:58Z",
            "2026-3-01T09:14:58Z",
            "2026-02-30T00:00:00Z",
            "2026-03-01T24:00:00Z",
            "2026-03-01T09:14:58.Z",
            "2026-03-01T09:14:58+24:00",
            "2026-03-01T09:14:58+0100",
            "2026-03-01T09:14:58Z ",
            "2026-03-01T09:14:58+01:00[Europe/Berlin]",
            "+02026-03-01T09:14:58Z",
            "２０26-03-01T09:14:58Z",
            "2026-03-01T09:14:61Z",
            "2026-03-01T09:14:58Zé",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn years_0_and_9999_are_times_even_if_no_instant_can_hold_them() {
        assert!(parse_rfc3339("0000-01-01T00:00:00Z").unwrap().at.is_some());
        assert_eq!(parse_rfc3339("9999-12-31T23:59:59-23:59").unwrap().at, None);
    }

    #[test]
    fn only_a_fast_clock_is_corrected() {
        assert_eq!(skew(61 * SECOND, 0), 61 * SECOND);
        assert_eq!(skew(60 * SECOND, 0), 0);
        assert_eq!(skew(-30 * 24 * 3600 * SECOND, 0), 0);
    }

    #[test]
    fn the_local_day_follows_the_zone_then_the_offset() {
        let evening = at("2026-03-01T23:30:00Z");
        let berlin = zone("Europe/Berlin");
        assert_eq!(
            local_day(evening, berlin.as_ref(), Offset::UTC),
            "2026-03-02"
        );
        assert_eq!(local_day(evening, None, Offset::UTC), "2026-03-01");
        assert!(zone("Mars/Olympus").is_none() && zone("+01:00").is_none() && zone("").is_none());
        assert!(
            zone("Etc/Unknown").is_none()
                && zone("etc/unknown").is_none()
                && zone("Etc/UTC").is_some()
        );
    }

    #[test]
    fn a_day_is_written_as_its_date() {
        for (year, month, day_of_month) in [(2026, 3, 1), (0, 1, 31), (9999, 12, 10), (-1, 2, 3)] {
            let date = Date::new(year, month, day_of_month).unwrap();
            assert_eq!(day(date), date.to_string());
        }
    }

    #[test]
    fn instants_print_in_utc() {
        assert_eq!(rfc3339(1_500_000), "1970-01-01T00:00:01.500000Z");
        assert_eq!(utc_hour(-1), -1);
    }
}
