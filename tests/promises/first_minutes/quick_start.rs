//! The path of README.md: from `up` to one's own commits as metrics, with what `up` prints.

use std::process::Stdio;

use harness::{DevtrailUp, stderr_of};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::up;

/// Contract: commands.up
#[tokio::test(flavor = "multi_thread")]
async fn what_up_prints_can_be_pasted_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = up(folder.path(), "data of ada")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let mut text = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let is_last = line.contains("Ctrl-C stops it");
        text.push(line);
        if is_last {
            break;
        }
    }
    assert!(
        text[0].starts_with("Devtrail listens on http://127.0.0.1:"),
        "{text:?}"
    );
    assert!(
        text[1].contains("A first API key, of developer me"),
        "{text:?}"
    );
    let paste = |from: &str| {
        let start = text
            .iter()
            .position(|line| line.trim_start().starts_with(from))
            .unwrap();
        let end = start
            + text[start..]
                .iter()
                .position(|line| !line.ends_with('\\'))
                .unwrap();
        text[start..=end].join("\n")
    };
    let shell = async |line: String| {
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir("/")
            .output()
            .await
            .unwrap();
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr_of(&output),
        )
    };
    let sent = shell(paste("NOW=")).await;
    assert!(sent.0.contains("\"accepted\":1"), "{sent:?}");
    // There is no repository at the root: the command itself is fine.
    let imported = shell(paste(
        text.iter()
            .find(|line| line.contains("import git"))
            .unwrap()
            .trim(),
    ))
    .await;
    assert!(imported.1.contains("is no git repository"), "{imported:?}");
    let shown = text
        .iter()
        .find(|line| line.contains("metrics show"))
        .unwrap()
        .clone();
    let mut polls = tokio::time::interval(std::time::Duration::from_millis(20));
    tokio::time::timeout(super::PATIENCE, async {
        while !shell(shown.clone()).await.0.contains("total, 1 day") {
            polls.tick().await;
        }
    })
    .await
    .expect("metrics of the event");
    let pid = nix::unistd::Pid::from_raw(up.id().unwrap().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(up.wait().await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_start_does_not_speak_of_a_first_key() {
    let mut up = DevtrailUp::start().await;
    assert_eq!(up.stop().await, Some(0));
    let mut again = super::up(&up.path(""), ".")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(again.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap();
    assert!(
        lines
            .next_line()
            .await
            .unwrap()
            .unwrap()
            .starts_with("The first API key is in ")
    );
    let pid = nix::unistd::Pid::from_raw(again.id().unwrap().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(again.wait().await.unwrap().code(), Some(0));
}
