//! Tests that need more than a developer's machine may have.

/// Whether this is a run of continuous integration: `CI=true` in the environment, as `.ci/run` sets it.
#[must_use]
pub fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// Says that a test is left out, and why.
///
/// # Panics
/// In continuous integration, which has all that tests need: there no promise goes untested in silence.
pub fn leave_out(reason: &str) {
    assert!(!in_ci(), "with CI=true no test may be left out: {reason}");
    eprintln!("left out: {reason}");
}
