//! The header `Prefer` (RFC 7240). Only `wait` is known; other preferences are ignored, as RFC 7240 requires.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that says which preference was applied.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The longest wait, in seconds. A client that would wait longer is answered after this, which its preference allows.
const LONGEST: u64 = 30;

/// How long the client would wait until its batch is stored: 1 to 30 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreferWait(u64);

impl PreferWait {
    /// The preference `wait` of a request.
    ///
    /// More than 30 s count as 30. Anything but a whole number of seconds from 1 counts as no preference: a preference
    /// never makes a request fail. If it is named more than once, the first one counts.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let lists = headers
            .get_all(PREFER)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let (_, value) = lists
            .flat_map(preferences)
            .find(|(name, _)| name.eq_ignore_ascii_case("wait"))?;
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        // Digits that no number can hold mean a very long wait.
        let seconds = digits.then(|| value.parse().unwrap_or(u64::MAX))?;
        (seconds > 0).then_some(Self(seconds.min(LONGEST)))
    }

    /// How long the request waits at most.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// The value of `Preference-Applied`: what was applied, which may be less than was asked for.
    #[must_use]
    pub fn applied(self) -> HeaderValue {
        HeaderValue::from_str(&format!("wait={}", self.0)).expect("digits are a header value")
    }
}

/// Names and values of one header's preferences, without their parameters.
fn preferences(list: &str) -> impl Iterator<Item = (&str, &str)> {
    unquoted(list, ',').map(|preference| {
        let preference = unquoted(preference, ';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        let value = value.trim();
        let word = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(value);
        (name.trim(), word)
    })
}

/// Splits at each `separator` outside quoted strings.
fn unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |c: char| {
        let literal = escaped;
        escaped = quoted && !literal && c == '\\';
        if c == '"' && !literal {
            quoted = !quoted;
        }
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wait(values: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        PreferWait::of(&headers).map(|PreferWait(seconds)| seconds)
    }

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        for (values, expected) in [
            (&["wait=10"][..], 10),
            (&["WAIT = 1"], 1),
            (&["wait=\"5\""], 5),
            (&["respond-async, wait=30"], 30),
            (&["wait=7; because=\"a, b; c\""], 7),
            (&["note=\"x, wait=3, \\\", wait=4\", wait=9"], 9),
            (&["handling=lenient", "wait=2"], 2),
            (&["wait=8, wait=3"], 8),
            (&["ü", "wait=6"], 6),
            (&["wait=31"], 30),
            (&["wait=99999999999999999999999"], 30),
        ] {
            assert_eq!(wait(values), Some(expected), "{values:?}");
        }
    }

    #[test]
    fn what_is_no_wait_is_no_preference() {
        for values in [
            &[][..],
            &[""],
            &["wait"],
            &["wait="],
            &["wait=0"],
            &["wait=-1"],
            &["wait=1.5"],
            &["wait=10s"],
            &["wait=\"1"],
            &["waiting=5"],
            &["x=\"wait=5\""],
            &["respond-async"],
            &["wait=soon, wait=5"],
        ] {
            assert_eq!(wait(values), None, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_within_its_bounds_whatever_is_sent(text in "[wait=0-9,;\" \\\\-]{0,40}") {
            prop_assert!(wait(&[&text]).is_none_or(|seconds| (1..=LONGEST).contains(&seconds)));
        }
    }

    #[test]
    fn the_applied_wait_is_named() {
        assert_eq!(PreferWait(30).applied(), "wait=30");
    }
}
