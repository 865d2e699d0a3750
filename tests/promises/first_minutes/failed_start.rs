//! `devtrail up` that cannot start.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use harness::{Database, DevtrailUp, Engine, nats_server, program};
use tempfile::TempDir;
use tokio::process::Command;

use super::{devtrail, ended, refused, up, up_at};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Contract: commands.exit-codes, commands.errors
#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_with_the_flag_that_chooses_another() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (address, port) = (address.to_string(), address.port().to_string());
    let mut http = up_at(folder.path(), "data", &address, "0");
    refused(
        &mut http,
        1,
        &[
            &address,
            "choose another with --listen",
            "Address already in use",
        ],
    )
    .await;
    let mut nats = up_at(folder.path(), "data", "127.0.0.1:0", &port);
    refused(
        &mut nats,
        1,
        &["port of the nats-server is taken", &port, "--nats-port"],
    )
    .await;
}

/// A program that says a version and, started as a server, ends at once.
fn server(folder: &Path, name: &str, version: &str, then: &str) -> String {
    let path = folder.join(name);
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 'nats-server: v{version}' && exit\n{then}\n"
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_old_or_broken_nats_server_is_named_with_a_remedy() {
    let folder = folder();
    let start = |nats_server: Option<&str>| {
        let mut command = devtrail(folder.path());
        command
            .args(["up", "--listen", "127.0.0.1:0", "--nats-port", "0"])
            .env("PATH", "/bin/nothing");
        command.args(nats_server.iter().flat_map(|path| ["--nats-server", path]));
        command
    };
    let remedy = [
        "No nats-server 2.12 or newer was found",
        "https://nats.io/download",
        "--nats-server",
    ];
    refused(&mut start(None), 1, &remedy).await;
    refused(
        &mut start(Some("/nothing/here")),
        1,
        &["/nothing/here cannot be run", remedy[1]],
    )
    .await;
    let old = server(folder.path(), "old", "2.9.1", "exit 0");
    refused(
        &mut start(Some(&old)),
        1,
        &[remedy[0], &old, "v2.9.1", remedy[1]],
    )
    .await;
    let dies = server(folder.path(), "dies", "2.15.1", "exit 3");
    refused(
        &mut start(Some(&dies)),
        1,
        &[
            "did not start",
            "exit status: 3",
            "It says: nothing",
            "--nats-server PATH",
        ],
    )
    .await;
    let complains = server(
        folder.path(),
        "says",
        "2.15.1",
        "while [ \"$1\" != -l ]; do shift; done; echo \"[$$] 2026/01/01 [FTL] no licence\" > \"$2\"; exit 1",
    );
    refused(
        &mut start(Some(&complains)),
        1,
        &["It says: no licence.", "--nats-server"],
    )
    .await;
}

/// Contract: commands.up-failed
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_up_leaves_no_folder_that_it_made() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (address, port) = (address.to_string(), address.port().to_string());
    let dies = server(folder.path(), "dies", "2.15.1", "exit 3");
    let before = entries(folder.path());
    let with = |arguments: &[&str]| {
        let mut command = devtrail(folder.path());
        command.args(["up", "--data", "made/data"]).args(arguments);
        command
    };
    let free = ["--listen", "127.0.0.1:0", "--nats-port"];
    let nats = nats_server();
    let nats = nats.to_str().unwrap();
    for mut failing in [
        with(&["--listen", &address, "--nats-server", nats]),
        with(&[&free[..], &[&port, "--nats-server", nats]].concat()),
        with(&[&free[..], &["0", "--nats-server", &dies]].concat()),
        with(&[&free[..], &["0", "--nats-server", "/nothing/here"]].concat()),
        with(&["--nats-port", "nonsense"]),
        with(&["--schemas", "/nothing/here"]),
    ] {
        let output = ended(&mut failing).await;
        assert!(!output.status.success(), "{:?}", failing.as_std());
        assert_eq!(entries(folder.path()), before, "{:?}", failing.as_std());
    }
    // What was there before stays, whatever is in it.
    fs::create_dir_all(folder.path().join("made/data")).unwrap();
    fs::write(folder.path().join("made/data/mine"), "").unwrap();
    ended(&mut with(&["--listen", &address, "--nats-server", nats])).await;
    assert!(folder.path().join("made/data/mine").exists());
}

fn entries(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_up_on_a_folder_names_the_first() {
    let first = DevtrailUp::start().await;
    let data = first.path("").to_str().unwrap().to_owned();
    refused(
        &mut up(Path::new("/"), &data),
        1,
        &[
            "Another `devtrail up` runs on",
            &data,
            "name another folder with --data",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_is_named_with_its_reason() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").unwrap();
    for data in ["file", "file/in", "/proc/devtrail"] {
        refused(
            &mut up(folder.path(), data),
            1,
            &[data, "cannot be made; name another with --data"],
        )
        .await;
    }
}

/// Root may write everywhere: the program runs as nobody then.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_may_not_be_written_is_named() {
    let folder = folder();
    let set =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(folder.path(), 0o755);
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    set(&closed, 0o555);
    let is_root = fs::write(closed.join("probe"), "").is_ok();
    let as_nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let probe = Command::new("setpriv")
        .args(as_nobody)
        .arg(program("devtrail"))
        .arg("--version")
        .output()
        .await;
    if is_root && !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: nobody may not run this program");
        return;
    }
    for (data, what) in [
        ("closed", "cannot be written"),
        ("closed/in", "cannot be made"),
    ] {
        let mut command = up(folder.path(), data);
        if is_root {
            let mut wrapped = Command::new("setpriv");
            wrapped
                .args(as_nobody)
                .arg(program("devtrail"))
                .args(command.as_std().get_args());
            command = wrapped;
            command.current_dir(folder.path());
        }
        refused(
            &mut command,
            1,
            &[data, what, "name another with --data", "Permission denied"],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_found_before_anything_is_promised() {
    let folder = folder();
    let mount = format!(
        "mount -t tmpfs -o size=20m none '{}' && exec \"$@\"",
        folder.path().display()
    );
    let inside = |program: &Path| {
        let mut command = Command::new("unshare");
        command
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                &mount,
                "sh",
            ])
            .arg(program);
        command
    };
    if !inside(Path::new("true"))
        .output()
        .await
        .is_ok_and(|output| output.status.success())
    {
        eprintln!("skipped: nothing may be mounted here");
        return;
    }
    let mut command = inside(&program("devtrail"));
    command.args(
        up(folder.path(), folder.path().to_str().unwrap())
            .as_std()
            .get_args(),
    );
    refused(
        &mut command,
        1,
        &["MiB free", "needs 256 MiB", "another disk with --data"],
    )
    .await;
}

async fn a_database_of_a_newer_program_is_left_alone(engine: Engine) {
    let folder = folder();
    let database = Database::fresh(engine, folder.path()).await;
    let history = "CREATE TABLE refinery_schema_history(version INTEGER PRIMARY KEY, name VARCHAR(255), \
                   applied_on VARCHAR(255), checksum VARCHAR(255))";
    database.execute(history).await;
    let newer = "INSERT INTO refinery_schema_history VALUES (4711, 'tomorrow', '2030-01-01T00:00:00Z', '1')";
    database.execute(newer).await;
    let mut command = up(folder.path(), "data");
    command.args(["--database-url", &database.url()]);
    let parts = [
        "has another shape than this program needs",
        "it was made by V4711__tomorrow",
        "Start the program that made it, or rebuild it from the stream",
    ];
    refused(&mut command, 1, &parts).await;
    let mut read = devtrail(folder.path());
    refused(
        read.args(["metrics", "show", "me", "--database-url", &database.url()]),
        1,
        &parts,
    )
    .await;
    assert_eq!(
        database
            .count("SELECT count(*) FROM refinery_schema_history")
            .await,
        1,
        "it was changed"
    );
}

harness::on_both_stores!(a_database_of_a_newer_program_is_left_alone);

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_database_is_named() {
    let folder = folder();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(
        folder.path().join("data/devtrail.db"),
        "no database ".repeat(100),
    )
    .unwrap();
    let parts = [
        "devtrail.db cannot be used as database",
        "Put its backup back",
    ];
    refused(&mut up(folder.path(), "data"), 1, &parts).await;
    let mut read = devtrail(folder.path());
    refused(
        read.args(["metrics", "show", "me", "--data", "data"]),
        1,
        &parts,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn up_names_a_wrong_value_of_a_flag_and_what_it_must_be() {
    let folder = folder();
    for (flag, value, parts) in [
        ("--nats-port", "99999", ["--nats-port", "0..=65535"]),
        ("--listen", "nonsense", ["--listen", "write host:port"]),
        (
            "--shutdown-timeout",
            "5",
            ["--shutdown-timeout", "write 10s or 500ms"],
        ),
        (
            "--database-url",
            "mysql://x",
            ["--database-url", "write sqlite:PATH or postgres://"],
        ),
        ("--log", "a=b=c", ["--log", "use info, debug"]),
        (
            "--config",
            "nothing.toml",
            ["configuration file nothing.toml", "cannot be read"],
        ),
    ] {
        refused(devtrail(folder.path()).args(["up", flag, value]), 2, &parts).await;
    }
    fs::write(folder.path().join("typo.toml"), "lisen = \"127.0.0.1:1\"\n").unwrap();
    let mut command = devtrail(folder.path());
    refused(
        command.args(["up", "--config", "typo.toml"]),
        2,
        &["unknown key \"lisen\"", "listen"],
    )
    .await;
    assert!(
        !folder.path().join("devtrail-data").exists(),
        "it began all the same"
    );
    let fine = ended(devtrail(folder.path()).args(["up", "--print-config"])).await;
    assert_eq!(fine.status.code(), Some(0));
}
