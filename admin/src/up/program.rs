//! Which nats-server `devtrail up` starts: the first one found that is new enough.

use std::path::{Path, PathBuf};

use anyhow::bail;
use tokio::process::Command;

/// The oldest version with everything Devtrail uses.
const OLDEST: (u32, u32) = (2, 12);

/// Finds a nats-server that is new enough.
///
/// # Errors
/// Where there is none.
pub async fn find(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let candidates = match given {
        Some(path) => vec![path.to_owned()],
        None => vec![
            PathBuf::from(".tools/nats-server"),
            PathBuf::from("nats-server"),
        ],
    };
    let mut too_old = None;
    for candidate in candidates {
        // A bare name is looked up on PATH; a path that is not there is no candidate.
        let Ok(output) = Command::new(&candidate).arg("--version").output().await else {
            continue;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let text = text.lines().next().unwrap_or_default().trim().to_owned();
        match version(&text) {
            Some(version) if version >= OLDEST => return Ok(candidate),
            _ => too_old = Some(format!("{} says {text:?}", candidate.display())),
        }
    }
    let (major, minor) = OLDEST;
    let found = too_old.or_else(|| given.map(|path| format!("{} cannot be run", path.display())));
    bail!(
        "No nats-server {major}.{minor} or newer was found{}. `make run` gets one into .tools/; or install it from \
         https://nats.io/download and put it on PATH, or name it with --nats-server PATH.",
        found.map(|found| format!(" ({found})")).unwrap_or_default()
    )
}

/// Reads `nats-server: v2.15.1`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("nats-server: v")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_server_prints() {
        assert_eq!(version("nats-server: v2.15.1"), Some((2, 15)));
        assert_eq!(version("nats-server: v2.12.0-RC.1"), Some((2, 12)));
        assert_eq!(version("something else"), None);
    }
}
