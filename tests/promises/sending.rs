//! `devtrail send` sends what it reads as it comes, whatever it is written in; a bad line costs only itself.

mod addresses;
mod kinds;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use harness::{DevtrailUp, event, program, stderr_of};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// A `devtrail send -` that reads from a pipe.
struct Sender {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Sender {
    fn start(up: &DevtrailUp, arguments: &[&str]) -> Self {
        let mut command = Command::new(program("devtrail"));
        command
            .args(["send", "-", "--json", "--data"])
            .arg(up.path(""))
            .args(arguments)
            .env("DEVTRAIL_LOG", "error");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = child.stdin.take();
        Self { child, pipe }
    }

    fn write(&mut self, text: &str) {
        let pipe = self.pipe.as_mut().unwrap();
        pipe.write_all(text.as_bytes()).unwrap();
        pipe.flush().unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// A number of its `/proc/PID/status`, in kB.
    fn memory(&self, name: &str) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let digits = line.unwrap().split_whitespace().next();
        digits.unwrap().parse().unwrap()
    }

    /// What it printed, after the end of its input.
    fn ended(mut self) -> Output {
        self.pipe = None;
        self.child.wait_with_output().unwrap()
    }
}

fn lines(ids: impl IntoIterator<Item = String>) -> String {
    ids.into_iter()
        .map(|id| format!("{}\n", event(&id)))
        .collect()
}

/// Ids of the stored events.
fn stored(up: &DevtrailUp) -> BTreeSet<String> {
    let database = up.database();
    let mut statement = database.prepare("SELECT event_id FROM events").unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap();
    ids.map(Result::unwrap).collect()
}

/// Runs `devtrail send FILE --json`, and gives the exit code, what it sent, and what it said.
fn send(up: &DevtrailUp, file: &str, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let path = up.path(file).to_string_lossy().into_owned();
    let output = up.devtrail(&[&["send", &path, "--json"], arguments].concat());
    let summary = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), summary, stderr_of(&output))
}

/// Contract: send.streams, send.partial-batches
#[tokio::test(flavor = "multi_thread")]
async fn a_live_log_is_sent_while_its_pipe_is_open() {
    let up = DevtrailUp::start().await;
    let mut sender = Sender::start(&up, &[]);
    sender.write(&lines((0..120).map(|id| format!("e{id}"))));
    up.until("what is in the pipe is stored", || {
        (stored(&up).len() == 120).then_some(())
    })
    .await;
    // Two that come apart wait for each other, no longer than a second; half a line waits for its other half.
    let last = lines(["last".to_owned()]);
    sender.write(&lines(["one".to_owned()]));
    sender.write(&last[..last.len() / 2]);
    up.until("a single event is stored", || {
        stored(&up).contains("one").then_some(())
    })
    .await;
    assert!(sender.child.try_wait().unwrap().is_none(), "it goes on");
    sender.write(&last[last.len() / 2..]);
    up.until("the half line is whole", || {
        stored(&up).contains("last").then_some(())
    })
    .await;
    let output = sender.ended();
    assert!(output.status.success(), "{}", stderr_of(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["received"], 122, "{summary}");
    assert!(
        (5..=6).contains(&summary["batches"].as_u64().unwrap()),
        "two full ones, and the rest as it came: {summary}"
    );
    assert_eq!(up.verify()["stored"], 122);
}

/// Contract: send.signal, commands.stopped
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_sends_what_was_read_and_says_so() {
    /// What a pipe holds: whoever has written twice as much knows that half of it was read.
    const PIPE: usize = 64 * 1024;
    let up = DevtrailUp::start().await;
    let mut all = 0;
    for (signal, name) in [(Signal::SIGINT, "int"), (Signal::SIGTERM, "term")] {
        let mut text = String::new();
        let mut count = 0;
        while text.len() < 2 * PIPE {
            text += &lines([format!("{name}-{count}")]);
            count += 1;
        }
        // No batch is full.
        let mut sender = Sender::start(&up, &["--batch-size", "1000"]);
        sender.write(&text);
        sender.signal(signal);
        let output = sender.child.wait_with_output().unwrap();
        drop(sender.pipe);
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let sent = summary["accepted"].as_u64().unwrap_or_default();
        assert!(
            sent as usize >= count / 2 - 1 && summary["passed_over"] == 0,
            "{summary} {}",
            stderr_of(&output)
        );
        assert!(
            output.status.code() == Some(1)
                && stderr_of(&output).contains("what had been read until then was sent"),
            "{}",
            stderr_of(&output)
        );
        all += sent as usize;
        up.until("all that it said is stored", || {
            (stored(&up).len() == all).then_some(())
        })
        .await;
    }
}

/// Contract: send.memory
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_whatever_the_length_of_the_input() {
    const EVENTS: usize = 1000;
    const PADDING: usize = 16 * 1024;
    let up = DevtrailUp::start().await;
    let mut sender = Sender::start(&up, &["--clients", "2"]);
    let padding = "x".repeat(PADDING);
    let large = |id: usize| {
        let mut event = event(&format!("e{id}"));
        event["data"]["padding"] = padding.clone().into();
        format!("{event}\n")
    };
    sender.write(&large(0));
    up.until("the first is stored", || {
        (!stored(&up).is_empty()).then_some(())
    })
    .await;
    let before = sender.memory("VmHWM:");
    for id in 1..EVENTS {
        sender.write(&large(id));
    }
    let grown = sender.memory("VmHWM:") - before;
    let output = sender.ended();
    assert!(output.status.success(), "{}", stderr_of(&output));
    let input = (EVENTS * PADDING / 1024) as u64;
    assert!(grown < input / 2, "{grown} kB more for {input} kB");
}
