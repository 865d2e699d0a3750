//! What the operating system says about this process.

use std::sync::LazyLock;

use super::series::set;
use super::table::{BUILD, MEMORY, OPEN_FDS, START};
use crate::clock;
use types::time::{Micros, SECOND};

/// When the recorder was installed: within milliseconds of the start.
static STARTED: LazyLock<Micros> = LazyLock::new(clock::now);

/// Remembers the moment of the start.
pub fn begin() {
    LazyLock::force(&STARTED);
}

/// Reads them into their gauges: memory and descriptors only if there is a `/proc` (Linux).
pub fn read() {
    set(&BUILD, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    set(&START, &[], *STARTED as f64 / SECOND as f64);
    if let Some(bytes) = resident_bytes() {
        set(&MEMORY, &[], bytes as f64);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // The one that lists them is among them.
        set(&OPEN_FDS, &[], open.count().saturating_sub(1) as f64);
    }
}

/// `VmRSS` of proc(5), which is in KiB.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
