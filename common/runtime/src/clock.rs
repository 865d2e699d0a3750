//! The machine's clock, read in one place. Code that decides by the time takes it as an argument.

use types::time::Micros;

/// The present instant.
#[must_use]
pub fn now() -> Micros {
    jiff::Timestamp::now().as_microsecond()
}
