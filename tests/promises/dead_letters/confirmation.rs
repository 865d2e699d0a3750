//! On a terminal, `dead drop` asks first.

use std::io::Write as _;
use std::process::{Output, Stdio};

use harness::{Deployment, Engine, stderr_of};

use super::{dead_letters, drop::publish, running};

/// Drops the dead letter with a terminal as its input, on which this is typed.
fn drop_typing(deployment: &Deployment, dead_letter: &str, typed: &str) -> Output {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = deployment.command(
        "devtrail",
        &["dead", "drop", dead_letter, "--reason", "broken client"],
    );
    let command = command
        .stdin(Stdio::from(terminal.slave))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    std::fs::File::from(terminal.master.try_clone().unwrap())
        .write_all(typed.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dropped_on_a_terminal_without_a_yes() {
    let (deployment, _) = running(Engine::Sqlite).await;
    publish(&deployment, "events.batch.ada", b"garbage", &[]).await;
    let dead_letter = dead_letters(&deployment, 1).await[0]["sequence"].to_string();
    // 4 is Ctrl-D: the end of what is typed.
    for typed in ["n\n", "\n", "\u{4}"] {
        let kept = drop_typing(&deployment, &dead_letter, typed);
        assert!(
            stderr_of(&kept).contains(&format!("Drop dead letter {dead_letter} for good")),
            "{}",
            stderr_of(&kept)
        );
        assert_eq!(
            (kept.stdout.as_slice(), kept.status.code()),
            (&b"Nothing was dropped.\n"[..], Some(0))
        );
    }
    dead_letters(&deployment, 1).await;
    let dropped = drop_typing(&deployment, &dead_letter, "y\n");
    assert!(dropped.status.success(), "{}", stderr_of(&dropped));
    dead_letters(&deployment, 0).await;
}
