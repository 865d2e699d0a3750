//! File descriptors: each connection takes one, and so do NATS and the log.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use http_server::serve::MAX_TURNED_AWAY;

/// Descriptors for all that serves no client, with room to spare: NATS, the log, `--admin-listen`, and connections
/// that are turned away.
const OTHERS: u64 = 128 + MAX_TURNED_AWAY as u64;

/// How many connections the process can serve, of those that are wanted. It raises its soft limit as far as needed.
/// Without a descriptor left the collector could not reconnect to NATS either.
#[must_use]
pub fn connections(wanted: usize) -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    let needed = (wanted as u64).saturating_add(OTHERS);
    let raised = needed.min(hard);
    let is_raised = raised > soft && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok();
    let have = if is_raised { raised } else { soft };
    let bound = bound(wanted, have);
    if bound < wanted {
        tracing::warn!(
            wanted,
            bound,
            descriptors = have,
            "fewer connections than --max-connections are served: raise the limit of open files (ulimit -n)"
        );
    }
    bound
}

/// The connections that so many descriptors are enough for; one at least.
fn bound(wanted: usize, descriptors: u64) -> usize {
    let left = usize::try_from(descriptors.saturating_sub(OTHERS)).unwrap_or(usize::MAX);
    wanted.min(left).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_left_for_others() {
        assert_eq!(bound(4096, 1_000_000), 4096);
        assert_eq!(bound(4096, 4096 + OTHERS), 4096);
        assert_eq!(bound(4096, 1024), 1024 - 128 - MAX_TURNED_AWAY);
        assert_eq!(bound(4096, 10), 1);
    }
}
