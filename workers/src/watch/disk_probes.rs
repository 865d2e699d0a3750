//! How full the disks are: under the database, under the nats-servers, and JetStream's own limit.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use async_nats::jetstream;
use bus::monitor::{self, JetStreamStatus};
use futures_util::future::join_all;
use runtime::disk::Disk;
use runtime::settings::Address;

use super::probe::probe;
use super::readings::{Capacity, DiskReadings};

const ACCOUNT: &str = "JetStreamStatus account";
const DATABASE: &str = "database";

/// What disks are read from. Each is probed on its own: a probe that fails hides no other.
pub struct DiskProbes {
    /// The account that JetStream's limit applies to.
    pub js: jetstream::Context,
    /// The folder of a SQLite file.
    pub folder: Option<PathBuf>,
    /// Addresses of the nats-servers' monitors.
    pub monitors: Vec<Address>,
    /// The file of authorities that their certificates are checked with.
    pub ca: Option<PathBuf>,
}

impl DiskProbes {
    /// Reads all of them. Two folders on one disk are one disk, the first one's.
    pub async fn read(&self) -> DiskReadings {
        let servers = join_all(self.monitors.iter().map(|url| async move {
            let name = format!("nats-server at {url}");
            let read = async {
                server_disk(
                    &name,
                    url,
                    &monitor::jetstream(url, self.ca.as_deref()).await?,
                )
            };
            let found = probe(&name, read).await;
            (name, found)
        }));
        let (servers, account) = tokio::join!(servers, probe("JetStream's limit", self.account()));
        let mut found = FoundDisks::default();
        if let Some(folder) = &self.folder {
            let read = async { disk(DATABASE, folder) };
            found.add(DATABASE, probe("the disk of the database", read).await);
        }
        for (name, server) in servers {
            found.add(&name, server);
        }
        let mut readings = found.readings;
        match account {
            Some(account) => readings.capacities.extend(account),
            None => readings.unread.push(ACCOUNT.to_owned()),
        }
        readings
    }

    async fn account(&self) -> anyhow::Result<Option<Capacity>> {
        let account = self.js.query_account().await?;
        let limit = account
            .limits
            .max_storage
            .and_then(|bytes| u64::try_from(bytes).ok());
        Ok(limit.map(|size| Capacity {
            name: ACCOUNT.to_owned(),
            used: account.storage,
            size,
        }))
    }
}

/// A disk that was read.
#[derive(Debug, PartialEq)]
struct FoundDisk {
    capacity: Capacity,
    /// The device, if it is one of this machine.
    device: Option<u64>,
}

/// The disks that were read, each device once.
#[derive(Default)]
struct FoundDisks {
    readings: DiskReadings,
    devices: BTreeSet<u64>,
}

impl FoundDisks {
    fn add(&mut self, name: &str, found: Option<FoundDisk>) {
        match found {
            Some(FoundDisk { capacity, device }) => {
                if device.is_none_or(|device| self.devices.insert(device)) {
                    self.readings.capacities.push(capacity);
                }
            }
            None => self.readings.unread.push(name.to_owned()),
        }
    }
}

/// The disk under a server of this machine; for another machine's, how much JetStreamStatus uses of what it may.
fn server_disk(name: &str, url: &Address, server: &JetStreamStatus) -> anyhow::Result<FoundDisk> {
    let folder = Path::new(&server.config.store_dir);
    if is_local(url.expose()) && folder.is_dir() {
        return disk(name, folder);
    }
    Ok(FoundDisk {
        capacity: Capacity {
            name: name.to_owned(),
            used: server.storage,
            size: server.config.max_storage,
        },
        device: None,
    })
}

/// Whether an address is of this machine: the same folder on another one is another disk.
fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    ["127.", "localhost", "[::1]"]
        .iter()
        .any(|local| host.starts_with(local))
}

/// The disk that a folder is on.
fn disk(name: &str, folder: &Path) -> anyhow::Result<FoundDisk> {
    let unreadable = || format!("the free space of {} cannot be read", folder.display());
    let device = folder.metadata().with_context(unreadable)?.dev();
    let Disk { size, free } = Disk::under(folder).with_context(unreadable)?;
    Ok(FoundDisk {
        capacity: Capacity {
            name: name.to_owned(),
            used: size.saturating_sub(free),
            size,
        },
        device: Some(device),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::monitor::JetStreamConfig;

    #[test]
    fn of_another_machine_only_jetstreams_own_figures_count() {
        let folder = tempfile::tempdir().unwrap();
        let setup = JetStreamConfig {
            store_dir: folder.path().display().to_string(),
            max_storage: 100,
            ..JetStreamConfig::default()
        };
        let server = JetStreamStatus {
            server_id: String::new(),
            storage: 7,
            config: setup,
        };
        let of = |url| server_disk("n", &Address::new(url), &server).unwrap();
        let capacity = Capacity {
            name: "n".to_owned(),
            used: 7,
            size: 100,
        };
        assert_eq!(
            of("http://nats.example:8222"),
            FoundDisk {
                capacity,
                device: None
            }
        );
        for url in [
            "http://127.0.0.1:8222",
            "http://localhost:8222",
            "http://[::1]:8222",
        ] {
            let near = of(url);
            let direct = disk("n", folder.path()).unwrap();
            assert_eq!(near.capacity.size, direct.capacity.size, "{url}");
            assert_eq!(near.device, direct.device, "{url}");
            assert!(near.device.is_some() && near.capacity.size != 100, "{url}");
        }
    }

    #[test]
    fn folders_on_one_disk_count_once_and_a_failed_probe_is_unread() {
        let folder = tempfile::tempdir().unwrap();
        let mut found = FoundDisks::default();
        for name in ["database", "nats-server"] {
            found.add(name, disk(name, folder.path()).ok());
        }
        found.add("other", None);
        assert_eq!(
            found
                .readings
                .capacities
                .iter()
                .map(|capacity| &*capacity.name)
                .collect::<Vec<_>>(),
            ["database"]
        );
        assert_eq!(found.readings.unread, ["other"]);
    }
}
