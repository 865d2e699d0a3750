//! Schema versions.

use std::fmt;
use std::str::FromStr;

/// A schema version, `major.minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes when old events no longer fit.
    pub major: u16,
    /// Changes when something is added.
    pub minor: u16,
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |part: &str| match part.as_bytes() {
            [b'0'] => Ok(0),
            [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
                part.parse().map_err(|_| ())
            }
            _ => Err(()),
        };
        let (major, minor) = text.split_once('.').ok_or(())?;
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_two_plain_numbers() {
        assert_eq!(
            "1.10".parse(),
            Ok(Version {
                major: 1,
                minor: 10
            })
        );
        for bad in [
            "", "1", "1.", "1.0.0", "01.0", "1.00", "+1.0", "1.x", "99999.0",
        ] {
            assert_eq!(bad.parse::<Version>(), Err(()), "{bad}");
        }
    }
}
