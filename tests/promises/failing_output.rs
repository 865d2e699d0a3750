//! Logs that cannot be written: nobody reads them, their reader has gone, the disk is full.

use std::fs::File;
use std::io::{PipeReader, Read as _, pipe};
use std::process::{Child, Command, ExitStatus, Stdio};

use harness::{Client, Deployment, Engine, envelope, event, program, stderr_of, until, up_command};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// What is wrong with the output of a program.
#[derive(Debug, Clone, Copy)]
enum Output {
    Full,
    Closed,
    Unread,
}

const ALL: [Output; 3] = [Output::Full, Output::Closed, Output::Unread];

/// A process whose stdout and stderr are one such output; killed when dropped.
struct Running {
    child: Child,
    /// Open, so that the pipe is not closed.
    reader: Option<PipeReader>,
}

impl Running {
    fn start(mut command: Command, output: Output) -> Self {
        let (stdout, stderr, reader): (Stdio, Stdio, _) = match output {
            Output::Full => {
                let full = File::options().write(true).open("/dev/full").unwrap();
                (full.try_clone().unwrap().into(), full.into(), None)
            }
            Output::Closed => {
                let (_, writer) = pipe().unwrap();
                (writer.try_clone().unwrap().into(), writer.into(), None)
            }
            Output::Unread => {
                let (reader, writer) = pipe().unwrap();
                (
                    writer.try_clone().unwrap().into(),
                    writer.into(),
                    Some(reader),
                )
            }
        };
        // 64 KiB are full in a moment.
        command.env("DEVTRAIL_LOG", "trace,async_nats=trace");
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, reader }
    }

    async fn stopped(mut self) -> ExitStatus {
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )
        .unwrap();
        until("it stops", async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Batches go in by this collector and are stored.
async fn takes(client: &Client, name: &str) {
    for number in 0..20 {
        let batch = envelope(
            &format!("{name}-{number}"),
            &[event(&format!("{name}-{number}"))],
        );
        let reply = client.send_waiting(&batch, 30).await;
        assert_eq!(
            (reply.status, &reply.body["durability"]),
            (200, &"stored".into()),
            "{name}"
        );
    }
}

/// Contract: commands.logs-lost
#[tokio::test(flavor = "multi_thread")]
async fn up_works_and_stops_in_order_whatever_reads_its_logs() {
    for output in ALL {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut up = Running::start(up_command(&data), output);
        let address = until("it listens", async || {
            let ended = up.child.try_wait().unwrap();
            assert!(ended.is_none(), "{output:?}: it ended with {ended:?}");
            let text = std::fs::read(data.join("addresses.json")).ok()?;
            let addresses: Value = serde_json::from_slice(&text).ok()?;
            Some(addresses["collector"].as_str()?.to_owned())
        })
        .await;
        let key = std::fs::read_to_string(data.join("api-key")).unwrap();
        takes(&Client::new(&address, key.trim()), "up").await;
        let nats: i32 = std::fs::read_to_string(data.join("nats-server.pid"))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let status = up.stopped().await;
        assert_eq!(status.code(), Some(0), "{output:?}");
        assert!(
            kill(Pid::from_raw(nats), None).is_err(),
            "{output:?}: nats-server is left behind"
        );
    }
}

async fn collector_and_worker_work_whatever_reads_their_logs(engine: Engine) {
    for output in ALL {
        let mut deployment = Deployment::start(engine).await;
        let address = harness::free_address();
        let collector = deployment.command("devtrail-collector", &["--listen", &address]);
        let collector = Running::start(collector, output);
        let workers: Vec<Running> = match engine {
            Engine::Sqlite => vec![Running::start(
                deployment.command("devtrail-worker", &["all"]),
                output,
            )],
            Engine::Postgres => harness::ROLES
                .map(|role| Running::start(deployment.command("devtrail-worker", &[role]), output))
                .into(),
        };
        let client = Client::new(&format!("http://{address}"), &deployment.key("ada"));
        until("the collector knows the key", async || {
            (client.post(&Value::Null).await.ok()?.status() == 400).then_some(())
        })
        .await;
        takes(&client, "batch").await;
        deployment.completed(20).await;
        for running in [collector].into_iter().chain(workers) {
            assert_eq!(running.stopped().await.code(), Some(0), "{output:?}");
        }
        let _ = deployment.stop("nats").await;
    }
}

harness::on_both_stores!(collector_and_worker_work_whatever_reads_their_logs);

/// Contract: commands.logs-counted
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_were_lost_are_counted_once_somebody_reads() {
    let deployment = Deployment::start(Engine::Sqlite).await;
    let address = harness::free_address();
    let command = deployment.command("devtrail-collector", &["--listen", &address]);
    let mut collector = Running::start(command, Output::Unread);
    let mut reader = collector.reader.take().unwrap();
    let client = Client::new(&format!("http://{address}"), &deployment.key("ada"));
    let is_ready = async || (client.post(&Value::Null).await.ok()?.status() == 400).then_some(());
    until("the collector knows the key", is_ready).await;
    // Ten lines for each, as no worker answers: more than the pipe and the queue behind it take.
    for _ in 0..1_500 {
        let asked = client.get_with_key("/v1/batches/b").await;
        assert_eq!(asked.status(), 503);
    }
    let (found, mut lines) = tokio::sync::mpsc::channel::<()>(1);
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut part = [0; 8192];
        while let Ok(count @ 1..) = reader.read(&mut part) {
            text.extend_from_slice(&part[..count]);
            if text
                .windows(24)
                .any(|some| some == b"log lines were lost: std")
            {
                let _ = found.blocking_send(());
            }
        }
    });
    until("the lost lines are counted", async || lines.try_recv().ok()).await;
    assert_eq!(collector.stopped().await.code(), Some(0));
}

/// A closed pipe is a reader that has read enough; a full disk is an error.
///
/// Contract: commands.output
#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_prints_is_lost_in_silence_only_if_unwanted() {
    for (name, arguments) in [
        ("devtrail", &["schemas", "list"][..]),
        ("devtrail", &["rules", "list", "--json"]),
        ("devtrail", &["completions", "bash"]),
        ("devtrail", &["status", "--print-config"]),
        ("devtrail-worker", &["all", "--print-config"]),
        ("devtrail-collector", &["--print-config"]),
        ("devtrail-collector", &["--print-openapi"]),
    ] {
        let run = |stdout: Stdio| {
            let mut command = Command::new(program(name));
            command.args(arguments).stdout(stdout);
            command.output().unwrap()
        };
        let (_, writer) = pipe().unwrap();
        let closed = run(writer.into());
        assert_eq!(
            (closed.status.code(), &*stderr_of(&closed)),
            (Some(0), ""),
            "{arguments:?}"
        );
        let full = run(File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
            .into());
        assert_eq!(full.status.code(), Some(1), "{arguments:?}");
        assert!(
            stderr_of(&full).contains("stdout cannot be written: No space left"),
            "{arguments:?}"
        );
    }
}

/// Lines of a log that are warnings or worse.
fn troubles(log: &str) -> Vec<&str> {
    let quiet = [
        "\"level\":\"INFO\"",
        "\"level\":\"DEBUG\"",
        "\"level\":\"TRACE\"",
    ];
    let lines = log.lines();
    lines
        .filter(|line| !quiet.iter().any(|level| line.contains(level)))
        .collect()
}

/// Contract: commands.quiet-stop
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_of_up_warns_of_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut up = harness::DevtrailUp::start().await;
        up.client()
            .send_waiting(&envelope("b1", &[event("e1")]), 30)
            .await;
        kill(Pid::from_raw(up.pids().0), signal).unwrap();
        assert_eq!(up.ended().await, Some(0));
        let log = std::fs::read_to_string(up.path("up.log")).unwrap();
        assert!(
            log.contains("stopping: finishing") && troubles(&log).is_empty(),
            "{log}"
        );
    }
}

async fn a_clean_stop_of_separate_programs_warns_of_nothing(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    deployment.workers(1);
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    client.send(&envelope("b1", &[event("e1")])).await;
    deployment.completed(1).await;
    let names = deployment.names();
    let programs: Vec<&String> = names.iter().filter(|name| *name != "nats").collect();
    for name in &programs {
        assert!(deployment.stop(name).await.success());
    }
    for name in programs {
        let log = deployment.log(name);
        assert!(
            log.contains("stopping: finishing") && troubles(&log).is_empty(),
            "{name}: {log}"
        );
    }
}

mod clean_stop {
    use super::a_clean_stop_of_separate_programs_warns_of_nothing;

    harness::on_both_stores!(a_clean_stop_of_separate_programs_warns_of_nothing);
}
