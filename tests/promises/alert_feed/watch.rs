//! `devtrail alerts watch`.

use std::process::{Child, Command, Stdio};

use harness::{DevtrailUp, envelope, program, stderr_of};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::forced_push;

/// A `devtrail alerts watch` that runs. Killed when it is dropped.
struct Watching(Child);

impl Watching {
    fn start(up: &DevtrailUp, arguments: &[&str]) -> Self {
        let file = |name: &str| std::fs::File::create(up.path(name)).unwrap();
        let child = Command::new(program("devtrail"))
            .args(["alerts", "watch", "--data"])
            .arg(up.path(""))
            .args(arguments)
            .env("DEVTRAIL_LOG", "warn")
            .current_dir(up.path(""))
            .stdin(Stdio::null())
            .stdout(file("watched"))
            .stderr(file("watched.err"))
            .spawn();
        Self(child.unwrap())
    }

    /// Its exit code after SIGINT.
    fn interrupt(mut self) -> Option<i32> {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGINT).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines that a file has by now.
fn lines(up: &DevtrailUp, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(up.path(name)).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_owned).collect()
}

/// Contract: commands.alerts-watch, alerts-watch.exec, alerts-watch.resumes, alerts-watch.ends
#[tokio::test(flavor = "multi_thread")]
async fn watch_goes_on_after_an_outage_and_runs_a_command() {
    let mut up = DevtrailUp::start().await;
    let exec = "cat >> had; echo \"$DEVTRAIL_ALERT_SEVERITY|$DEVTRAIL_ALERT_TITLE|$DEVTRAIL_ALERT_ID\" >> seen; false";
    let watching = Watching::start(&up, &["--json", "--after", "0", "--exec", exec]);
    let send = async |up: &DevtrailUp, id: &str, day: i64| {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * day);
        up.client()
            .send(&envelope(id, &[forced_push(id, &at.to_string())]))
            .await;
    };
    let watched = async |up: &DevtrailUp, count: usize| {
        up.until("the alert is shown", || {
            let pushes: Vec<Value> = lines(up, "watched")
                .iter()
                .map(|line| serde_json::from_str(line).unwrap())
                .filter(|alert: &Value| alert["rule"] == "force-push")
                .collect();
            (pushes.len() >= count).then_some(pushes)
        })
        .await
    };
    send(&up, "p1", 0).await;
    let first = watched(&up, 1).await;
    up.kill();
    up.until("it says that it goes on", || {
        let said = lines(&up, "watched.err").join("\n");
        let after = format!("alerts after {} come then", first[0]["sequence"]);
        said.contains(&after).then_some(())
    })
    .await;
    // On another port, which it finds by the folder.
    up.restart().await;
    // Yesterday's is news still: its day ended less than a day ago.
    send(&up, "p2", 1).await;
    let both = watched(&up, 2).await;
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!(both[0], first[0]);
    let of = |alert: &Value| alert["evidence"]["event_ids"][0].clone();
    assert_eq!([of(&both[0]), of(&both[1])], ["p1", "p2"]);
    assert!(
        lines(&up, "watched.err")
            .iter()
            .any(|line| line.starts_with("Connected to "))
    );
    // The command had each, whatever became of it.
    let seen = up
        .until("the command has run for both", || {
            let seen = lines(&up, "seen");
            (seen.len() >= 2).then_some(seen)
        })
        .await;
    for (line, alert) in seen.iter().zip(&both) {
        let text = |name: &str| alert[name].as_str().unwrap();
        let expected = [text("severity"), text("title"), text("alert_id")].join("|");
        assert_eq!(*line, expected);
    }
    let had: Vec<Value> = lines(&up, "had")
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(had, both);
    up.until("a command that fails is named", || {
        let said = lines(&up, "watched.err").join("\n");
        said.contains("The command of --exec failed: exit status: 1")
            .then_some(())
    })
    .await;
    assert_eq!(watching.interrupt(), Some(0));
}

/// Contract: alerts-watch.shown, alerts-watch.refused
#[tokio::test(flavor = "multi_thread")]
async fn watch_shows_an_alert_plainly_and_names_what_is_wrong() {
    let up = DevtrailUp::start().await;
    let watching = Watching::start(&up, &["--after", "0"]);
    let now = jiff::Timestamp::now().to_string();
    up.client()
        .send(&envelope("b1", &[forced_push("p1", &now)]))
        .await;
    let shown = up
        .until("the alert is shown", || {
            let lines = lines(&up, "watched");
            let at = lines.iter().position(|line| line.contains("forced push"))?;
            (lines.len() >= at + 3).then(|| lines[at..at + 3].to_vec())
        })
        .await;
    assert!(shown[0].contains("Z high: "), "{shown:?}");
    assert!(
        shown[1].starts_with("    why: ") && shown[2].starts_with("    do: "),
        "{shown:?}"
    );
    assert!(!shown.concat().contains('\u{1b}'), "no terminal, no colour");
    assert_eq!(watching.interrupt(), Some(0));
    let made = up.devtrail(&["keys", "create", "ada", "--scope", "events:write"]);
    std::fs::write(up.path("key"), &made.stdout).unwrap();
    let key = up.path("key");
    let refused = up.devtrail(&["alerts", "watch", "--key-file", key.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    let said = stderr_of(&refused);
    assert!(said.contains("alerts:read"), "{said}");
}
