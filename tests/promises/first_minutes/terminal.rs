//! Logs, colours and progress: for people on a terminal, plain elsewhere.

use std::path::Path;
use std::process::{Command, Stdio};

use harness::{DevtrailUp, nats_server, program, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What a command prints on a terminal of its own; `None` if there is no `script` to make one.
fn on_a_terminal(line: &str, no_color: Option<&str>) -> Option<String> {
    let mut command = Command::new("script");
    command
        .args(["-qec", line, "/dev/null"])
        .stdin(Stdio::null())
        .env_remove("NO_COLOR");
    command
        .env("TERM", "xterm-256color")
        .env("DEVTRAIL_LOG", "info");
    command.envs(no_color.map(|value| ("NO_COLOR", value)));
    let output = command.output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn up_line(folder: &Path) -> String {
    let devtrail = program("devtrail");
    let nats = nats_server();
    let devtrail = devtrail.display();
    let nats = nats.display();
    let folder = folder.display();
    format!(
        "exec {devtrail} up --data {folder} --listen 127.0.0.1:0 --nats-port 0 --nats-server {nats}"
    )
}

/// What `devtrail up` prints on a terminal, from its start to its end by a signal.
async fn up_on_a_terminal(no_color: Option<&'static str>) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let line = up_line(folder.path());
    let printed = tokio::task::spawn_blocking(move || on_a_terminal(&line, no_color));
    let name = folder.path().to_str().unwrap().to_owned();
    until("it is ready or has ended", async || {
        (folder.path().join("addresses.json").exists() || printed.is_finished()).then_some(())
    })
    .await;
    if !printed.is_finished() {
        // The program itself, not the `script` around it.
        let of_folder = |pid: &i32| {
            let command =
                std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.contains(&name) && command.split('\0').nth(1) == Some("up")
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let pid = pids.into_iter().find(of_folder).expect("devtrail up runs");
        kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    }
    printed.await.unwrap()
}

/// Contract: commands.logs, commands.colours
#[tokio::test(flavor = "multi_thread")]
async fn logs_are_readable_lines_with_colours_unless_turned_off() {
    let (Some(coloured), Some(plain)) = (
        up_on_a_terminal(None).await,
        up_on_a_terminal(Some("1")).await,
    ) else {
        eprintln!("skipped: there is no `script` to make a terminal");
        return;
    };
    assert!(
        coloured.contains("\u{1b}[32mINFO\u{1b}[0m devtrail: "),
        "{coloured:?}"
    );
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let line = plain.lines().find(|line| line.contains("ready")).unwrap();
    assert!(
        line[8..].starts_with("Z INFO devtrail: ready url="),
        "{line:?}"
    );
    assert!(
        plain.contains("stopping: finishing what is in flight; a second signal stops at once"),
        "{plain}"
    );
    assert!(
        !plain.contains("{\"timestamp") && !plain.contains("async_nats"),
        "JSON on a terminal: {plain}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_shown_on_a_terminal_only() {
    let up = DevtrailUp::start().await;
    let events: String = (0..2000)
        .map(|id| format!("{}\n", harness::event(&id.to_string())))
        .collect();
    std::fs::write(up.path("events"), events).unwrap();
    let sent = up.devtrail(&[
        "send",
        up.path("events").to_str().unwrap(),
        "--batch-size",
        "1",
    ]);
    assert!(
        sent.status.success() && sent.stderr.is_empty(),
        "{}",
        harness::stderr_of(&sent)
    );
    assert!(
        !String::from_utf8_lossy(&sent.stdout).contains('\r'),
        "a bar without a terminal"
    );
    let devtrail = program("devtrail");
    let folder = up.path("");
    let line = format!(
        "{} send {}/events --batch-size 1 --data {1}",
        devtrail.display(),
        folder.display()
    );
    match on_a_terminal(&line, None) {
        Some(printed) => assert!(
            printed.contains("batches ·") && printed.contains("left"),
            "{printed:?}"
        ),
        None => eprintln!("skipped: there is no `script` to make a terminal"),
    }
}
