//! On a terminal, whoever drops is asked first.

use std::io::Write as _;
use std::process::{Output, Stdio};

use harness::{Engine, Site, said};

use super::{dropped::publish, letters, running};

/// Drops the letter with a terminal as its input, on which this is typed.
fn drop_typing(site: &Site, letter: &str, typed: &str) -> Output {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = site.command(
        "devtrail",
        &["dead", "drop", letter, "--reason", "broken client"],
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
    let (site, _) = running(Engine::Sqlite).await;
    publish(&site, "events.batch.ada", b"garbage", &[]).await;
    let letter = letters(&site, 1).await[0]["sequence"].to_string();
    // 4 is Ctrl-D: the end of what is typed.
    for typed in ["n\n", "\n", "\u{4}"] {
        let kept = drop_typing(&site, &letter, typed);
        assert!(
            said(&kept).contains(&format!("Drop dead letter {letter} for good")),
            "{}",
            said(&kept)
        );
        assert_eq!(
            (kept.stdout.as_slice(), kept.status.code()),
            (&b"Nothing was dropped.\n"[..], Some(0))
        );
    }
    letters(&site, 1).await;
    let dropped = drop_typing(&site, &letter, "y\n");
    assert!(dropped.status.success(), "{}", said(&dropped));
    letters(&site, 0).await;
}
