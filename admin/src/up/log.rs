//! The log of the nats-server beside `devtrail up`: where it is, and what it says of a failed start.

use std::path::{Path, PathBuf};

/// The log of the server on `folder`.
pub fn log_file(folder: &Path) -> PathBuf {
    folder.join("nats-server.log")
}

/// What the server with this pid wrote of errors into its log, which those before it wrote as well.
pub fn complaints(folder: &Path, pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(log_file(folder)).unwrap_or_default();
    let own = format!("[{pid}] ");
    let bad = |line: &&str| {
        line.starts_with(&own) && (line.contains(" [FTL] ") || line.contains(" [ERR] "))
    };
    let said = |line: &str| {
        line.split_once("] ")
            .and_then(|(_, rest)| rest.split_once("] "))
            .map(|(_, said)| said.to_owned())
    };
    let all: Vec<String> = text.lines().filter(bad).filter_map(said).collect();
    all[all.len().saturating_sub(3)..].to_vec()
}

/// Why there is no server, and what to do.
pub fn ended(how: &str, complaints: &[String], log: &Path) -> String {
    let said = complaints.join("; ");
    if said.contains("address already in use") {
        return format!(
            "The port of the nats-server is taken, maybe by another `devtrail up`. Choose another with --nats-port, or 0 \
             for a free one. nats-server says: {said}"
        );
    }
    let said = if said.is_empty() {
        "nothing".to_owned()
    } else {
        said
    };
    format!(
        "nats-server did not start ({how}). It says: {said}. Its log is {}; another nats-server is named with \
         --nats-server PATH.",
        log.display()
    )
}
