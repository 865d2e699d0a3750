//! A site whose processes are killed and come back at the same places.

use std::process::Command;

use super::Site;
use crate::{Database, Engine, nats_server};

impl Site {
    /// A site with its streams on a Postgres server of the caller's own.
    ///
    /// # Panics
    /// Where the streams cannot be made.
    pub async fn start_on_postgres(url: String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::Postgres(url);
        Self::bare_on(database, Engine::Postgres, folder, str::to_owned).await.with_streams()
    }

    /// Starts nats-server on this port, with its monitor on that one; -1 takes a free one.
    pub(super) fn spawn_nats(&mut self, port: &str, monitor: &str) {
        let folder = self.folder.path().to_owned();
        let mut command = Command::new(nats_server());
        command.arg("-c").arg(self.path("server.conf")).args(["-a", "127.0.0.1", "-p", port, "-m", monitor]);
        command.arg("--ports_file_dir").arg(&folder).arg("-sd").arg(folder.join("nats"));
        self.spawn("nats", &mut command);
    }

    /// Starts the nats-server again where it was, without waiting until it answers.
    ///
    /// # Panics
    /// Where it runs, or never did.
    pub fn nats_again(&mut self) {
        let port = |address: &str| {
            let (_, port) = address.rsplit_once(':').expect("an address with a port");
            port.trim_end_matches('/').to_owned()
        };
        let (port, monitor) = (port(&self.nats), port(&self.monitor));
        self.spawn_nats(&port, &monitor);
    }

    /// Whether the process of this name runs; one that has ended is forgotten, and `false`.
    ///
    /// # Panics
    /// Where it cannot be asked.
    pub fn runs(&mut self, name: &str) -> bool {
        let Some(child) = self.processes.get_mut(name) else { return false };
        if child.try_wait().expect("it can be asked").is_some() {
            self.processes.remove(name);
            return false;
        }
        true
    }
}
