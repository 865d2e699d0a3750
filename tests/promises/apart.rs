//! Collector, worker and nats-server as separate processes, as an administrator runs them.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use harness::{Client, envelope, event, nats_server, program};
use serde_json::Value;

/// A process that ends with its test.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn spawn(command: &mut Command) -> Running {
    Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

pub(super) async fn until<T>(mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.expect("it happens in time")
}

pub(super) struct Site {
    pub(super) folder: tempfile::TempDir,
    pub(super) nats: String,
    monitor: String,
    _server: Running,
}

impl Site {
    pub(super) async fn start() -> Self {
        Self::with(str::to_owned).await
    }

    /// With a changed configuration of the server.
    pub(super) async fn with(edit: impl FnOnce(&str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats/server.conf");
        let config = folder.path().join("server.conf");
        std::fs::write(&config, edit(&std::fs::read_to_string(given).unwrap())).unwrap();
        let mut command = Command::new(nats_server());
        command.arg("-c").arg(config).args(["-a", "127.0.0.1", "-p", "-1", "-m", "-1", "--ports_file_dir"]);
        let server = spawn(command.arg(folder.path()).arg("-sd").arg(folder.path()));
        let file = folder.path().join(format!("nats-server_{}.ports", server.0.id()));
        let ports: Value = until(async || serde_json::from_slice(&std::fs::read(&file).ok()?).ok()).await;
        let one = |kind: &str| ports[kind][0].as_str().unwrap().to_owned();
        Self { nats: one("nats"), monitor: one("monitoring"), folder, _server: server }
    }

    pub(super) fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(name));
        command.args(arguments).current_dir(&self.folder).env("DEVTRAIL_NATS_URL", &self.nats);
        command.env("DEVTRAIL_NATS_MONITOR_URL", &self.monitor).env("DEVTRAIL_DATABASE_URL", "sqlite:d.db");
        command
    }

    pub(super) fn run(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(name, arguments).output().unwrap()
    }
}

pub(super) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn separate_processes_store_a_batch_and_a_second_writer_is_refused() {
    let site = Site::start().await;
    let too_early = site.run("devtrail-worker", &["all"]);
    assert!(
        too_early.status.code() == Some(1) && said(&too_early).contains("devtrail streams apply"),
        "{}",
        said(&too_early)
    );
    assert!(site.run("devtrail", &["streams", "apply"]).status.success());
    assert!(site.run("devtrail", &["streams", "diff"]).status.success());
    let key = String::from_utf8(site.run("devtrail", &["keys", "create", "ada"]).stdout).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _collector = spawn(&mut site.command("devtrail-collector", &["--listen", &port.to_string()]));
    let _worker = spawn(&mut site.command("devtrail-worker", &["all"]));
    let client = Client::new(&format!("http://{port}"), key.trim());
    let batch = envelope("b1", &[event("e1"), event("e2")]);
    until(async || client.post(&batch).await.ok().filter(|reply| reply.status() == 202)).await;
    let verified = site.run("devtrail", &["verify", "--json"]);
    let report: Value = serde_json::from_slice(&verified.stdout).expect("a report");
    assert!(verified.status.success() && report["stored"] == 2, "{report}");
    let second = site.run("devtrail-worker", &["all"]);
    assert!(second.status.code() == Some(1) && said(&second).contains("Postgres"), "{}", said(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_a_changed_safety_field_is_refused_until_apply_mends_it() {
    let site = Site::start().await;
    assert!(site.run("devtrail", &["streams", "apply"]).status.success());
    let js = async_nats::jetstream::new(async_nats::connect(&site.nats).await.unwrap());
    let mut config = js.get_stream("EVENTS").await.unwrap().cached_info().config.clone();
    config.discard = async_nats::jetstream::stream::DiscardPolicy::Old;
    config.max_bytes = 1 << 30;
    js.update_stream(config).await.unwrap();
    let refused = site.run("devtrail-collector", &["--listen", "127.0.0.1:0"]);
    assert!(refused.status.code() == Some(1) && said(&refused).contains("discard"), "{}", said(&refused));
    assert_eq!(site.run("devtrail", &["streams", "diff"]).status.code(), Some(1));
    assert!(site.run("devtrail", &["streams", "apply"]).status.success());
    // The safety field is mended, the administrator's size is kept.
    let config = js.get_stream("EVENTS").await.unwrap().cached_info().config.clone();
    assert_eq!(config.discard, async_nats::jetstream::stream::DiscardPolicy::New);
    assert_eq!(config.max_bytes, 1 << 30);
    assert!(site.run("devtrail", &["streams", "diff"]).status.success());
}
