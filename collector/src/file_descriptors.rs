//! File descriptors: each connection takes one, and so do NATS and the log.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use http_server::serve::MAX_TURNED_AWAY;

/// Descriptors for all that serves no client, with room to spare: NATS, the log, `--admin-listen`, and connections
/// that are turned away.
const OTHERS: u64 = 128 + MAX_TURNED_AWAY as u64;

/// How many connections the process serves, and how many streams of alerts beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sockets {
    pub connections: usize,
    pub alert_streams: usize,
}

/// How many sockets the process can serve, of those that are wanted. It raises its soft limit as far as needed.
/// Without a descriptor left the collector could not reconnect to NATS either.
#[must_use]
pub fn sockets(wanted: Sockets) -> Sockets {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    let needed = (wanted.connections as u64)
        .saturating_add(wanted.alert_streams as u64)
        .saturating_add(OTHERS);
    let raised = needed.min(hard);
    let is_raised = raised > soft && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok();
    let have = if is_raised { raised } else { soft };
    let bound = bound(wanted, have);
    if bound != wanted {
        tracing::warn!(
            ?wanted,
            ?bound,
            descriptors = have,
            "fewer are served than --max-connections and --max-alert-streams: raise the limit of open files \
             (ulimit -n)"
        );
    }
    bound
}

/// The sockets that so many descriptors are enough for; one of each kind at least. Batches come first: of too few
/// descriptors, streams of alerts get a third.
fn bound(wanted: Sockets, descriptors: u64) -> Sockets {
    let left = usize::try_from(descriptors.saturating_sub(OTHERS)).unwrap_or(usize::MAX);
    let beside = left.saturating_sub(wanted.connections).max(left / 3);
    let alert_streams = wanted.alert_streams.min(beside).max(1);
    let connections = wanted.connections.min(left.saturating_sub(alert_streams));
    Sockets {
        connections: connections.max(1),
        alert_streams,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_left_for_others() {
        let bound = |connections, alert_streams, descriptors| {
            let bound = bound(
                Sockets {
                    connections,
                    alert_streams,
                },
                descriptors,
            );
            (bound.connections, bound.alert_streams)
        };
        assert_eq!(bound(4096, 4096, 1_000_000), (4096, 4096));
        assert_eq!(bound(4096, 4096, 8192 + OTHERS), (4096, 4096));
        assert_eq!(bound(4096, 100, 4196 + OTHERS), (4096, 100));
        assert_eq!(bound(4096, 4096, 6000 + OTHERS), (4000, 2000));
        assert_eq!(bound(10, 4096, 600 + OTHERS), (10, 590));
        assert_eq!(bound(4096, 10, 600 + OTHERS), (590, 10));
        assert_eq!(bound(4096, 4096, 10), (1, 1));
    }
}
