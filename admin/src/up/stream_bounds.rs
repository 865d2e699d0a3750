//! How much of the disk the streams of `devtrail up` may take. Pure.

use std::collections::BTreeMap;

use anyhow::ensure;
use bus::ResourceName;
use bus::topology::Config;
use serde_json::Value;
use types::event_streams::EventStream;

/// The most that `up` allows the event streams together (docs/protocol.md, Retention).
const MAX_EVENTS_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// With less free space a first start makes no sense: half of it is for events, the rest for all else.
const LEAST: u64 = 256 * 1024 * 1024;

/// Whether a first start has room enough.
///
/// # Errors
/// Returns an error if the disk has less than 256 MiB free.
pub fn ensure_enough(free: u64) -> anyhow::Result<()> {
    let mib = |bytes: u64| bytes / (1024 * 1024);
    ensure!(
        free >= LEAST,
        "The disk of the folder has {} MiB free, a first start needs {} MiB. Free some, or name a folder on \
         another disk with --data.",
        mib(free),
        mib(LEAST)
    );
    Ok(())
}

/// Bounds every stream on disk so that they have room together in `free` bytes.
///
/// The event streams get at most half, all others together at most a fifth, in the proportion they are declared
/// in: nothing, the database beside them included, can fill the disk. Streams without a bound are left alone.
pub fn fit(declared: &mut BTreeMap<ResourceName, Config>, free: u64) {
    let others: u64 = declared
        .iter()
        .filter(|(name, _)| EventStream::named(&name.stream).is_none())
        .filter_map(|(name, config)| bound(name, config))
        .sum();
    let room = free / 5;
    for (name, config) in declared.iter_mut() {
        let Some(wanted) = bound(name, config) else {
            continue;
        };
        let allowed = if let Some(stream) = EventStream::named(&name.stream) {
            let together = MAX_EVENTS_BYTES.min(free / 2);
            wanted.min(together / u64::from(stream.streams().number()))
        } else if others > room {
            u64::try_from(u128::from(wanted) * u128::from(room) / u128::from(others))
                .unwrap_or(wanted)
        } else {
            wanted
        };
        // 0 would mean no bound.
        config.insert("max_bytes".to_owned(), allowed.max(1).into());
    }
}

/// The bytes that a stream on disk is declared to take at most.
fn bound(name: &ResourceName, config: &Config) -> Option<u64> {
    let on_disk = config.get("storage").and_then(Value::as_str) == Some("file");
    let bytes = config
        .get("max_bytes")
        .and_then(Value::as_u64)
        .filter(|bytes| *bytes > 0);
    bytes.filter(|_| on_disk && name.consumer.is_none())
}

#[cfg(test)]
mod tests {
    use bus::topology;
    use serde_json::json;
    use types::event_streams::EventStreams;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn name(stream: &str) -> ResourceName {
        ResourceName {
            stream: stream.to_owned(),
            consumer: None,
        }
    }

    /// What is declared, and two more streams of 1 GiB and one in memory.
    fn fitted(free: u64) -> BTreeMap<ResourceName, Config> {
        fitted_of(EventStreams::ONE, free)
    }

    fn fitted_of(streams: EventStreams, free: u64) -> BTreeMap<ResourceName, Config> {
        let mut declared = topology::declared(streams);
        for (stream, storage, bytes) in [
            ("ONE", "file", GIB),
            ("TWO", "file", GIB),
            ("MEMORY", "memory", GIB),
        ] {
            let config = json!({"name": stream, "storage": storage, "max_bytes": bytes});
            declared.insert(name(stream), config.as_object().unwrap().clone());
        }
        fit(&mut declared, free);
        declared
    }

    fn bytes(streams: &BTreeMap<ResourceName, Config>, stream: &str) -> u64 {
        streams[&name(stream)]["max_bytes"].as_u64().unwrap()
    }

    #[test]
    fn all_streams_have_room_together_however_small_the_disk_is() {
        for free in [0, 1, 300 << 20, 3 * GIB, 12 * GIB, 100 * GIB, u64::MAX] {
            let streams = fitted(free);
            let bounds: Vec<u64> = streams
                .iter()
                .filter_map(|(name, config)| bound(name, config))
                .collect();
            let sum: u64 = bounds.iter().sum();
            assert!(free < 1000 || sum <= free / 2 + free / 5, "{sum} of {free}");
            assert!(bounds.iter().all(|bytes| *bytes > 0));
            assert_eq!(bytes(&streams, "MEMORY"), GIB);
            assert_eq!(streams[&name("KV_api_keys")]["max_bytes"], -1);
        }
        let small = fitted(3 * GIB);
        assert_eq!(bytes(&small, "EVENTS"), 3 * GIB / 2);
        assert_eq!(bytes(&small, "DEAD"), bytes(&small, "ONE"));
        assert!(bytes(&small, "ONE") > 100 << 20);
    }

    #[test]
    fn several_event_streams_share_what_one_gets() {
        let small = fitted_of("3".parse().unwrap(), 3 * GIB);
        for stream in ["EVENTS-0-of-3", "EVENTS-1-of-3", "EVENTS-2-of-3"] {
            assert_eq!(bytes(&small, stream), GIB / 2);
        }
    }

    #[test]
    fn a_large_disk_changes_nothing_that_is_declared() {
        let large = fitted(100 * GIB);
        assert_eq!(
            (bytes(&large, "EVENTS"), bytes(&large, "DEAD")),
            (10 * GIB, GIB)
        );
    }

    #[test]
    fn a_full_disk_is_reported() {
        assert!(ensure_enough(256 << 20).is_ok());
        assert!(
            ensure_enough(200 << 20)
                .unwrap_err()
                .to_string()
                .contains("has 200 MiB free")
        );
    }
}
