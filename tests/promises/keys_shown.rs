//! A key that nobody has seen is not valid.

use std::fs::File;
use std::process::Stdio;

use harness::{Deployment, Engine, stderr_of};

fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

fn closed() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// The developers that have a key.
fn owners(deployment: &Deployment) -> Vec<String> {
    let listed = deployment.run("devtrail", &["keys", "list", "--json"]);
    let keys: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let owner = |key: &serde_json::Value| key["key"]["developer"].as_str().unwrap().to_owned();
    keys.as_array().unwrap().iter().map(owner).collect()
}

/// Contract: keys.shown
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_could_not_be_shown_is_revoked_again() {
    let deployment = Deployment::start(Engine::Sqlite).await;
    let people: String = (0..200).map(|number| format!("dev{number:03}\n")).collect();
    std::fs::write(deployment.path("people.txt"), people).unwrap();
    let _kept = deployment.key("ada");
    for (stdout, reason) in [
        (full as fn() -> Stdio, "No space left on device"),
        (closed, "nothing reads stdout"),
    ] {
        for (arguments, words) in [
            (
                &["keys", "create", "bob"][..],
                "could not be shown, so it was revoked again",
            ),
            (
                &["keys", "create", "--from-file", "people.txt"],
                "could not be shown and were revoked again; the 0 above",
            ),
        ] {
            let mut command = deployment.command("devtrail", arguments);
            let output = command.stdout(stdout()).output().unwrap();
            let said = stderr_of(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(words) && said.contains(reason), "{said}");
            assert_eq!(owners(&deployment), ["ada"]);
        }
    }
}

/// A reader that takes a part of many keys.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_keys_only_those_that_were_shown_are_valid() {
    let deployment = Deployment::start(Engine::Sqlite).await;
    let people: String = (0..2_000)
        .map(|number| format!("dev{number:04}\n"))
        .collect();
    std::fs::write(deployment.path("people.txt"), people).unwrap();
    let limited = deployment.path("keys.txt");
    // A file that may hold ten keys and no more.
    let script = "ulimit -f 1; exec \"$@\" > \"$OUT\"";
    let create = deployment.command("devtrail", &["keys", "create", "--from-file", "people.txt"]);
    let mut command = deployment.command("devtrail", &[]);
    command = {
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", &format!("trap '' XFSZ; {script}"), "bash"]);
        shell
            .arg(create.get_program())
            .args(create.get_args())
            .env("OUT", &limited);
        shell.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        shell.current_dir(deployment.path(""));
        shell
    };
    let output = command.output().unwrap();
    let said = stderr_of(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("were revoked again") && said.contains("above are valid"),
        "{said}"
    );
    let text = std::fs::read_to_string(&limited).unwrap();
    // The last line may be cut.
    let whole = text.matches('\n').count();
    assert!(whole > 5, "{text}");
    assert_eq!(owners(&deployment).len(), whole);
}
