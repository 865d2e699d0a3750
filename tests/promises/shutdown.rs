//! Every program that is stopped, or cannot go on, ends with its reason and leaves nothing behind.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use futures_util::StreamExt;
use harness::{Deployment, DevtrailUp, Engine, events_of, program, until, up_command};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(child: &Child) {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
}

/// The exit code and its stderr, once it has ended.
async fn ended(running: &mut Running) -> (Option<i32>, String) {
    let status = until("it ends", async || running.0.try_wait().unwrap()).await;
    let mut stderr_of = String::new();
    if let Some(stderr) = &mut running.0.stderr {
        stderr.read_to_string(&mut stderr_of).unwrap();
    }
    (status.code(), stderr_of)
}

/// Starts `devtrail up` on `folder`.
fn up_on(folder: &Path) -> Running {
    let mut command = up_command(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Running(command.stderr(Stdio::piped()).spawn().unwrap())
}

/// The pid of the folder's nats-server, once it has written it.
fn server_pid(folder: &Path) -> Option<i32> {
    std::fs::read_to_string(folder.join("nats-server.pid"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn assert_no_server(folder: &Path) {
    let command =
        |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let left = server_pid(folder).map(command).unwrap_or_default();
    assert!(
        !left.contains(&*folder.to_string_lossy()),
        "a nats-server is left: {left}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn up_ends_with_the_reason_if_a_part_cannot_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("devtrail.db"),
        "no database ".repeat(1000),
    )
    .unwrap();
    let (code, stderr_of) = ended(&mut up_on(folder.path())).await;
    assert!(
        code == Some(1) && stderr_of.contains("cannot be used as database"),
        "{code:?}: {stderr_of}"
    );
    assert_no_server(folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn up_shuts_down_cleanly_before_it_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = up_on(folder.path());
    until("its nats-server runs", async || server_pid(folder.path())).await;
    signal(&up.0);
    let (code, stderr_of) = ended(&mut up).await;
    assert_eq!(code, Some(0), "{stderr_of}");
    assert_no_server(folder.path());
}

/// Contract: commands.stopped
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_waits_for_its_input_ends_at_a_signal() {
    let up = DevtrailUp::start().await;
    let mut command = Command::new(program("devtrail"));
    command
        .args(["send", "-", "--data"])
        .arg(up.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut send = Running(command.stderr(Stdio::piped()).spawn().unwrap());
    let status = format!("/proc/{}/status", send.0.id());
    // It waits once it catches SIGTERM: the bit of signal 15 in the mask of caught ones.
    until("it catches SIGTERM", async || {
        let status = std::fs::read_to_string(&status).ok()?;
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))?;
        (u64::from_str_radix(caught.trim(), 16).ok()? & (1 << 14) != 0).then_some(())
    })
    .await;
    signal(&send.0);
    let (code, stderr_of) = ended(&mut send).await;
    assert!(
        code == Some(1) && stderr_of.contains("Stopped by a signal"),
        "{code:?}: {stderr_of}"
    );
}

const BATCHES: u64 = 2000;

/// No message waits for its `ack_wait`: each is stored, or there at once for the next worker.
///
/// Contract: commands.signals
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_returns_what_it_has_not_begun() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment.collector("collector").await;
    let key = deployment.client(&url, "ada").await.key().to_owned();
    std::fs::write(deployment.path("key"), key).unwrap();
    let events: String = (0..BATCHES)
        .map(|id| format!("{}\n", harness::event(&id.to_string())))
        .collect();
    std::fs::write(deployment.path("events"), events).unwrap();
    let send = [
        "send",
        "events",
        "--url",
        &url,
        "--key-file",
        "key",
        "--batch-size",
        "1",
        "--clients",
        "32",
    ];
    let sent = deployment.run("devtrail", &send);
    assert!(sent.status.success(), "{}", harness::stderr_of(&sent));
    deployment.worker("worker", "all", None);
    let stored = async || {
        if !deployment.has_tables().await {
            return BTreeSet::new();
        }
        let rows = deployment.database.rows("SELECT seq FROM batches").await;
        rows.iter()
            .map(|row| row[0].parse::<u64>().unwrap())
            .collect::<BTreeSet<u64>>()
    };
    until("some are stored", async || {
        Some(stored().await).filter(|seqs| !seqs.is_empty())
    })
    .await;
    let ended = deployment.stop("worker").await;
    assert_eq!(ended.code(), Some(0), "{}", deployment.log("worker"));
    let stored = deployment.database.rows("SELECT seq FROM batches").await;
    let stored: BTreeSet<u64> = stored.iter().map(|row| row[0].parse().unwrap()).collect();
    assert!(
        (stored.len() as u64) < BATCHES,
        "the backlog was too small to be stopped under"
    );
    let js = deployment.js().await;
    let consumer: async_nats::jetstream::consumer::PullConsumer = js
        .get_stream(&events_of("ada"))
        .await
        .unwrap()
        .get_consumer("persist")
        .await
        .unwrap();
    // Without waiting: what has not been handed back would come after 30 s only.
    let mut there = stored;
    let mut messages = consumer
        .fetch()
        .max_messages(5000)
        .messages()
        .await
        .unwrap();
    while let Some(message) = messages.next().await {
        there.insert(message.unwrap().info().unwrap().stream_sequence);
    }
    let missing: Vec<u64> = (1..=BATCHES).filter(|seq| !there.contains(seq)).collect();
    assert!(
        missing.is_empty(),
        "{} messages wait for their ack_wait, such as {:?}",
        missing.len(),
        missing.first()
    );
}
