//! The programs under test: where they are, and what they print.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A program of the workspace, built by `cargo build` before the tests run.
///
/// # Panics
/// If it is not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("a test knows its own program");
    // target/PROFILE/deps/promises-… (a test) or target/PROFILE/devtrail-bench
    let folder = tests.parent().expect("a program lies in a folder");
    let folder = if folder.ends_with("deps") {
        folder.parent().expect("cargo's folders")
    } else {
        folder
    };
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build --workspace --bins`, or `make test`",
        path.display()
    );
    path
}

/// The nats-server of the suite: `DEVTRAIL_NATS_SERVER`, `.tools/`, or PATH.
#[must_use]
pub fn nats_server() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tools = root.join(".tools/nats-server");
    match std::env::var_os("DEVTRAIL_NATS_SERVER") {
        Some(path) => path.into(),
        None if tools.exists() => tools,
        None => "nats-server".into(),
    }
}

/// `devtrail up` on a folder, with free ports and the suite's nats-server.
#[must_use]
pub fn up_command(data: &Path) -> Command {
    let mut command = Command::new(program("devtrail"));
    let arguments = ["up", "--listen", "127.0.0.1:0", "--nats-port", "0"];
    command.args(arguments).arg("--data").arg(data);
    command.arg("--nats-server").arg(nats_server());
    command
}

/// What a program wrote to stderr.
#[must_use]
pub fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
