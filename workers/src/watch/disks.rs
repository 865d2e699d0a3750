//! How full the disks are: under the database, under the nats-servers, and JetStream's own limit.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use async_nats::jetstream;
use bus::monitor::{self, JetStream};
use futures_util::future::join_all;
use runtime::disk::Disk;

use super::facts::{Disks, Room};
use super::gather::asked;

const ACCOUNT: &str = "JetStream account";
const DATABASE: &str = "database";

/// Where disks are known from. Each is asked on its own: what one does not tell hides no other.
pub struct Sources {
    /// The account whose limit counts.
    pub js: jetstream::Context,
    /// The folder of a SQLite file.
    pub folder: Option<PathBuf>,
    /// Addresses of the nats-servers' monitors.
    pub monitors: Vec<String>,
}

impl Sources {
    /// Looks at all of them. Two folders on one disk are one disk, the first one's.
    pub async fn look(&self) -> Disks {
        let servers = join_all(self.monitors.iter().map(|url| async move {
            let name = format!("nats-server at {url}");
            let told = asked(&name, async {
                room_of(&name, url, &monitor::jetstream(url).await?)
            })
            .await;
            (name, told)
        }));
        let (servers, account) = tokio::join!(servers, asked("JetStream's limit", self.account()));
        let (mut seen, mut devices) = (Disks::default(), BTreeSet::new());
        if let Some(folder) = &self.folder {
            let database =
                asked("the disk of the database", async { disk(DATABASE, folder) }).await;
            add(&mut seen, &mut devices, DATABASE, database);
        }
        for (name, told) in servers {
            add(&mut seen, &mut devices, &name, told);
        }
        match account {
            Some(account) => seen.rooms.extend(account),
            None => seen.unread.push(ACCOUNT.to_owned()),
        }
        seen
    }

    async fn account(&self) -> anyhow::Result<Option<Room>> {
        let account = self.js.query_account().await?;
        let limit = account
            .limits
            .max_storage
            .and_then(|bytes| u64::try_from(bytes).ok());
        Ok(limit.map(|size| Room {
            name: ACCOUNT.to_owned(),
            used: account.storage,
            size,
        }))
    }
}

/// A room, and the device it is on where that is one of this machine.
type Found = (Room, Option<u64>);

fn add(seen: &mut Disks, devices: &mut BTreeSet<u64>, name: &str, found: Option<Found>) {
    match found {
        Some((room, device)) if device.is_none_or(|device| devices.insert(device)) => {
            seen.rooms.push(room)
        }
        Some(_) => {}
        None => seen.unread.push(name.to_owned()),
    }
}

/// The disk under a server of this machine; of another machine's what JetStream takes of what it may.
fn room_of(name: &str, url: &str, told: &JetStream) -> anyhow::Result<Found> {
    let folder = Path::new(&told.config.store_dir);
    if is_here(url) && folder.is_dir() {
        return disk(name, folder);
    }
    Ok((
        Room {
            name: name.to_owned(),
            used: told.storage,
            size: told.config.max_storage,
        },
        None,
    ))
}

/// Whether an address is of this machine: the same folder on another one is another disk.
fn is_here(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"]
        .iter()
        .any(|here| host.starts_with(here))
}

/// The disk that a folder is on.
fn disk(name: &str, folder: &Path) -> anyhow::Result<Found> {
    let unreadable = || format!("the free space of {} cannot be read", folder.display());
    let device = folder.metadata().with_context(unreadable)?.dev();
    let Disk { size, free } = Disk::under(folder).with_context(unreadable)?;
    Ok((
        Room {
            name: name.to_owned(),
            used: size.saturating_sub(free),
            size,
        },
        Some(device),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::monitor::Setup;

    #[test]
    fn of_another_machine_only_jetstreams_own_word_counts() {
        let here = tempfile::tempdir().unwrap();
        let setup = Setup {
            store_dir: here.path().display().to_string(),
            max_storage: 100,
            ..Setup::default()
        };
        let told = JetStream {
            server_id: String::new(),
            storage: 7,
            config: setup,
        };
        let of = |url| room_of("n", url, &told).unwrap();
        let (far, device) = of("http://nats.example:8222");
        assert_eq!(
            (far, device),
            (
                Room {
                    name: "n".to_owned(),
                    used: 7,
                    size: 100
                },
                None
            )
        );
        for url in [
            "http://127.0.0.1:8222",
            "http://localhost:8222",
            "http://[::1]:8222",
        ] {
            let (near, device) = of(url);
            assert_eq!(
                (near.size, device),
                (disk("n", here.path()).unwrap().0.size, device),
                "{url}"
            );
            assert!(device.is_some() && near.size != 100, "{url}");
        }
    }

    #[test]
    fn two_folders_on_one_disk_are_one_and_what_is_not_told_is_unread() {
        let here = tempfile::tempdir().unwrap();
        let (mut seen, mut devices) = (Disks::default(), BTreeSet::new());
        for name in ["database", "nats-server"] {
            add(&mut seen, &mut devices, name, disk(name, here.path()).ok());
        }
        add(&mut seen, &mut devices, "other", None);
        assert_eq!(
            seen.rooms
                .iter()
                .map(|room| &*room.name)
                .collect::<Vec<_>>(),
            ["database"]
        );
        assert_eq!(seen.unread, ["other"]);
    }
}
