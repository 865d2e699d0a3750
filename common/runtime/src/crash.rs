//! Named crash points: places where a test kills the process, as `kill -9` would.
//!
//! Compiled in only with the feature `crash-points`, which no release has. `DEVTRAIL_CRASH_POINT`
//! names the point, such as `persist.after_commit`; `name:3` passes it twice and dies the third time;
//! `stop@name` stops there (SIGSTOP) until the test continues it; `panic@name` panics there each
//! time. `name=key` is the point for one thing alone, such as `persist=batch-7` for a batch.

/// Dies, panics or stops here, if this is the point that the environment names.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var("DEVTRAIL_CRASH_POINT") else {
        return;
    };
    let (how, wanted) = wanted.split_once('@').unwrap_or(("die", &wanted));
    let (point, times) = match wanted.rsplit_once(':') {
        Some((point, times)) => (point, times.parse().unwrap_or(1)),
        None => (wanted, 1),
    };
    assert!(
        !(point == name && how == "panic"),
        "a test wants a panic at {name}"
    );
    if point != name || PASSED.fetch_add(1, Ordering::SeqCst) + 1 != times {
        return;
    }
    if how == "stop" {
        // The child ends only when this process is stopped: sent alone, the signal arrives a moment
        // later, and this thread would be past the point by then, in the middle of what follows.
        let still =
            "kill -STOP $PPID; until grep -q '^State:[[:space:]]*T' /proc/$PPID/status; do :; done";
        let stopped = std::process::Command::new("sh")
            .args(["-c", still])
            .status();
        tracing::warn!(?stopped, name, "stood still at a crash point");
    } else {
        // No destructor, no flush, no signal handler runs: what is not on disk is lost.
        std::process::abort();
    }
}

/// The same for the thing of this name alone.
#[cfg(feature = "crash-points")]
pub fn point_of(name: &str, key: &str) {
    point(&format!("{name}={key}"));
}

/// Nothing: crash points are for tests.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_name: &str) {}

/// Nothing: crash points are for tests.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point_of(_name: &str, _key: &str) {}
