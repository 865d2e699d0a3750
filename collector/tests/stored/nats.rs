//! A real nats-server on a folder and ports of its own, killed when the test ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A start that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running nats-server.
pub struct Nats {
    ports: Value,
    child: Child,
    _folder: TempDir,
}

/// `DEVTRAIL_NATS_SERVER`, `.tools/`, or PATH.
fn program(root: &Path) -> PathBuf {
    let tools = root.join(".tools/nats-server");
    match std::env::var_os("DEVTRAIL_NATS_SERVER") {
        Some(path) => path.into(),
        None if tools.exists() => tools,
        None => "nats-server".into(),
    }
}

impl Nats {
    /// Starts one with the project's own configuration.
    pub async fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let folder = tempfile::tempdir().expect("a folder");
        let child = Command::new(program(&root))
            .arg("-c")
            .arg(root.join("nats/server.conf"))
            .args([
                "-a",
                "127.0.0.1",
                "-p",
                "-1",
                "-m",
                "-1",
                "--ports_file_dir",
            ])
            .arg(folder.path())
            .arg("-sd")
            .arg(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .expect("a nats-server: set DEVTRAIL_NATS_SERVER, or run scripts/nats-server.sh");
        let file = folder
            .path()
            .join(format!("nats-server_{}.ports", child.id()));
        let mut nats = Self {
            ports: Value::Null,
            child,
            _folder: folder,
        };
        let start = Instant::now();
        let mut polls = tokio::time::interval(Duration::from_millis(10));
        nats.ports = loop {
            polls.tick().await;
            let bytes = std::fs::read(&file).unwrap_or_default();
            if let Ok(ports) = serde_json::from_slice(&bytes) {
                break ports;
            }
            assert!(start.elapsed() < TIMEOUT, "the nats-server does not start");
        };
        nats
    }

    /// One of its addresses: `nats` or `monitoring`.
    pub fn address(&self, name: &str) -> String {
        self.ports[name][0].as_str().expect("an address").to_owned()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
