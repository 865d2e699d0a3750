//! A reply means "on disk": fsync comes before the PubAck, and a server that does not sync is refused (R2.3).

use std::io::BufRead;
use std::process::{Command, Stdio};

use harness::{DevtrailUp, envelope, event, leave_out, nats_server, program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn the_server_reports_that_it_syncs_always() {
    let up = DevtrailUp::start().await;
    let client = harness::Client::new(&up.address("monitor"), "");
    let jsz: Value = client.get("/jsz").await.json().await.unwrap();
    assert_eq!(jsz["config"]["sync_always"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn fsync_is_seen_before_the_puback() {
    if Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        leave_out("strace is not installed");
        return;
    }
    let up = DevtrailUp::start().await;
    let (_, nats) = up.pids();
    let trace = up.path("trace");
    let mut strace = Command::new("strace")
        .args([
            "-f",
            "-p",
            &nats.to_string(),
            "-e",
            "trace=fsync,fdatasync,write,writev,pwrite64",
            "-s",
            "400",
            "-o",
        ])
        .arg(&trace)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = String::new();
    std::io::BufReader::new(strace.stderr.as_mut().unwrap())
        .read_line(&mut stderr)
        .unwrap();
    if stderr.contains("Operation not permitted") || stderr.contains("ptrace") {
        strace.wait().unwrap();
        leave_out(&format!(
            "strace may not look at other processes here: {stderr}"
        ));
        return;
    }
    assert!(stderr.contains("attached"), "{stderr}");
    up.client().send(&envelope("b1", &[event("e1")])).await;
    // strace writes its file out when it ends.
    kill(Pid::from_raw(strace.id().cast_signed()), Signal::SIGINT).unwrap();
    strace.wait().unwrap();
    let text = std::fs::read_to_string(&trace).unwrap();
    let acknowledged =
        |line: &&str| line.contains("write") && line.contains("\\\"stream\\\":\\\"EVENTS\\\"");
    let lines: Vec<&str> = text.lines().collect();
    let puback = lines.iter().position(acknowledged).unwrap();
    // The message's block is written, synced, and only then acknowledged.
    let block = |line: &&str| line.contains("Nats-Msg-Id") && !line.contains("HMSG"); // no delivery to the worker
    let written = lines[..puback].iter().rposition(block).unwrap();
    let synced = lines[written..puback]
        .iter()
        .any(|line| line.contains("sync(") && !line.contains("= -1"));
    assert!(synced, "{}", lines[written..=puback].join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_sync_is_refused_unless_allowed() {
    let folder = tempfile::tempdir().unwrap();
    // By default the streams may have three quarters of what is free, which may be less than theirs come to.
    let config = folder.path().join("nats.conf");
    std::fs::write(&config, "jetstream { max_file_store: 64GB }").unwrap();
    let mut server = Command::new(nats_server())
        .args(["-a", "127.0.0.1", "-p", "-1", "-m", "-1", "-c"])
        .arg(&config)
        .arg("--ports_file_dir")
        .arg(folder.path())
        .arg("-sd")
        .arg(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ports = folder
        .path()
        .join(format!("nats-server_{}.ports", server.id()));
    let ports: Value = loop {
        if let Some(ports) = std::fs::read(&ports)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        {
            break ports;
        }
        tokio::task::yield_now().await;
    };
    let nats = ports["nats"][0].as_str().unwrap();
    let monitor = ports["monitoring"][0].as_str().unwrap();
    let apply = |more: &[&str]| {
        let mut command = Command::new(program("devtrail"));
        command
            .args([
                "streams",
                "apply",
                "--nats-url",
                nats,
                "--nats-monitor-url",
                monitor,
            ])
            .args(more);
        command.output().unwrap()
    };
    let refused = apply(&[]);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && stderr.contains("sync_interval: always"),
        "{stderr}"
    );
    let collector = Command::new(program("devtrail-collector"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--nats-url",
            nats,
            "--nats-monitor-url",
            monitor,
        ])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&collector.stderr).into_owned();
    assert!(
        collector.status.code() == Some(1) && stderr.contains("--allow-unsafe-sync"),
        "{stderr}"
    );
    let allowed = apply(&["--allow-unsafe-sync"]);
    let stderr = String::from_utf8_lossy(&allowed.stderr).into_owned();
    assert!(allowed.status.success(), "{stderr}");
    server.kill().unwrap();
    server.wait().unwrap();
}
