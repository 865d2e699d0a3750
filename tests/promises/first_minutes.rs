//! A newcomer's first minutes: each mistake gets one message that names the remedy.

mod failed_start;
mod help;
mod quick_start;
mod terminal;
mod wrong_input;

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use harness::{nats_server, program, stderr_of};
use tokio::process::Command;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// `devtrail` in `folder`, with nothing of the environment but what a test adds.
fn devtrail(folder: &Path) -> Command {
    let mut command = Command::new(program("devtrail"));
    command
        .current_dir(folder)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DEVTRAIL_") {
            command.env_remove(name);
        }
    }
    command
}

/// `devtrail up` on a folder of `folder` and free ports.
fn up(folder: &Path, data: &str) -> Command {
    up_at(folder, data, "127.0.0.1:0", "0")
}

/// The same on given ports.
fn up_at(folder: &Path, data: &str, listen: &str, nats_port: &str) -> Command {
    let mut command = devtrail(folder);
    command.args([
        "up",
        "--data",
        data,
        "--listen",
        listen,
        "--nats-port",
        nats_port,
        "--nats-server",
    ]);
    command.arg(nats_server());
    command
}

/// What the command prints until it ends by itself.
async fn ended(command: &mut Command) -> Output {
    timeout(PATIENCE, command.output())
        .await
        .expect("it ends")
        .expect("it runs")
}

/// Asserts that the command is refused with `code`, by one message for people that has all of `parts`.
async fn refused(command: &mut Command, code: i32, parts: &[&str]) {
    let output = ended(command).await;
    let all = stderr_of(&output);
    // Without a terminal, logs are lines of JSON.
    let reported: Vec<&str> = all.lines().filter(|line| !line.starts_with('{')).collect();
    let reported = reported.join("\n");
    let asked = format!("{:?}", command.as_std());
    assert_eq!(output.status.code(), Some(code), "{asked}: {all}");
    assert!(
        reported.starts_with("error: ") && reported.matches("error: ").count() == 1,
        "{asked}: {all}"
    );
    for part in parts {
        assert!(
            reported.contains(part),
            "{asked}: {part:?} is not in: {reported}"
        );
    }
    for noise in [
        "panicked",
        "RUST_BACKTRACE",
        "stack backtrace",
        "Os {",
        "Err(",
        "Some(",
    ] {
        assert!(!all.contains(noise), "{asked}: {noise:?} is in: {all}");
    }
    let links: Vec<&str> = reported.split(": ").collect();
    assert!(
        links.windows(2).all(|pair| pair[0] != pair[1]),
        "{asked}: says the same twice: {reported}"
    );
}
