//! The nats-server of a deployment: its configuration, how it is started, and what it has on disk.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::programs::nats_server;
use crate::wait::until;

/// How a nats-server asks who one is, and what its clients are told for it.
#[derive(Default)]
pub struct NatsGuard {
    /// What the server's configuration has more.
    pub conf: String,
    /// What stands in `--nats-url` before the host, such as `user:password@`.
    pub url_login: String,
    /// What every program has more in its environment.
    pub environment: BTreeMap<&'static str, String>,
}

/// A nats-server that has its files in a folder. What it has is changed only while it is stopped.
pub struct NatsServer {
    folder: PathBuf,
    /// What it is started under: a program with its arguments, such as strace. Empty: nothing.
    pub under: Vec<&'static str>,
}

/// Where a nats-server listens.
pub struct NatsAddresses {
    pub nats: String,
    pub monitor: String,
}

impl NatsServer {
    /// With the configuration that Devtrail gives to administrators, edited.
    pub fn configured(folder: &Path, edit: impl FnOnce(&str) -> String) -> Self {
        let server = Self {
            folder: folder.to_owned(),
            under: Vec::new(),
        };
        let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats/server.conf");
        let given = std::fs::read_to_string(given).expect("the server's configuration");
        // Streams reserve their bounds, by default within what the disk has free: little, on a machine that builds.
        let roomy = "sync_interval: always\n  max_file_store: 64GB";
        let conf = edit(&given).replace("sync_interval: always", roomy);
        std::fs::write(server.configuration(), conf).expect("a file");
        server
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("server.conf")
    }

    fn streams(&self) -> PathBuf {
        self.folder.join("nats")
    }

    fn backup(&self) -> PathBuf {
        self.folder.join("nats.backup")
    }

    /// Starts it on this port, with its monitor on that one; -1 takes a free one.
    pub fn command(&self, port: &str, monitor: &str) -> Command {
        let mut command = match &self.under[..] {
            [] => Command::new(nats_server()),
            [under, arguments @ ..] => {
                let mut command = Command::new(under);
                command.args(arguments).arg(nats_server());
                command
            }
        };
        command.arg("-c").arg(self.configuration());
        command.args(["-a", "127.0.0.1", "-p", port, "-m", monitor]);
        command.arg("--ports_file_dir").arg(&self.folder);
        command.arg("-sd").arg(self.streams());
        command
    }

    /// Where the process `pid` listens, once it says so.
    pub async fn addresses(&self, pid: u32) -> NatsAddresses {
        let file = self.folder.join(format!("nats-server_{pid}.ports"));
        let read = async || serde_json::from_slice::<Value>(&std::fs::read(&file).ok()?).ok();
        let ports = until("nats-server tells its ports", read).await;
        let one = |kind: &str| ports[kind][0].as_str().expect("an address").to_owned();
        NatsAddresses {
            nats: one("nats"),
            monitor: one("monitoring"),
        }
    }

    /// Replaces a text of its configuration.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let conf = std::fs::read_to_string(self.configuration()).expect("the configuration");
        std::fs::write(self.configuration(), conf.replace(from, to)).expect("a file");
    }

    /// Copies what it has on disk.
    pub fn back_up(&self) {
        copy_folder(&self.streams(), &self.backup());
    }

    /// Puts the copy back.
    pub fn restore(&self) {
        std::fs::remove_dir_all(self.streams()).expect("the folder of the streams");
        copy_folder(&self.backup(), &self.streams());
    }

    /// Moves what it has on disk into `folder`, where it goes on.
    pub fn move_to(&self, folder: &Path) {
        let new = folder.join("nats");
        copy_folder(&self.streams(), &new);
        std::fs::remove_dir_all(self.streams())
            .and_then(|()| symlink(&new, self.streams()))
            .expect("another folder");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(
        copied.expect("cp runs").success(),
        "{} cannot be copied",
        from.display()
    );
}
