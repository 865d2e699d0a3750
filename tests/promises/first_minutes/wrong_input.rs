//! Input, keys and addresses that are wrong.

use std::fs;
use std::path::Path;

use harness::{DevtrailUp, event};

use super::{devtrail, refused};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_absent_key_is_reported_with_how_to_get_one() {
    let up = DevtrailUp::start().await;
    let folder = up.path("");
    fs::write(up.path("events"), event("e1").to_string()).unwrap();
    fs::write(up.path("other"), "11111111-1111-4111-8111-111111111111\n").unwrap();
    fs::write(up.path("empty"), "\n").unwrap();
    let send = |key: &[&str]| {
        let mut command = devtrail(&folder);
        command.args(["send", "events", "--data", "."]).args(key);
        command
    };
    let unknown = [
        "401",
        "The API key is unknown or revoked",
        "`devtrail keys create`",
    ];
    refused(&mut send(&["--key-file", "other"]), 1, &unknown).await;
    refused(
        &mut send(&["--key-file", "nothing"]),
        1,
        &["nothing cannot be read", "--key-file", "No such file"],
    )
    .await;
    refused(
        &mut send(&["--key-file", "empty"]),
        1,
        &["empty holds no key"],
    )
    .await;
    fs::remove_file(up.path("api-key")).unwrap();
    refused(
        &mut send(&[]),
        1,
        &["./api-key cannot be read", "`devtrail up` writes one"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_is_none_is_named() {
    let up = DevtrailUp::start().await;
    let folder = up.path("");
    let write = |name: &str, bytes: &[u8]| fs::write(up.path(name), bytes).unwrap();
    write("empty", b"");
    write("blank", b"\n \n");
    write("text", b"{\"id\":\"1\"}\n");
    for (file, parts) in [
        (
            "missing",
            ["The file missing cannot be read", "- for stdin"],
        ),
        ("nats", ["nats is a folder", "Name a file"]),
        ("empty", ["empty holds no events", "at least one"]),
        ("blank", ["blank holds no events", "at least one"]),
    ] {
        refused(
            devtrail(&folder).args(["send", file, "--data", "."]),
            1,
            &parts,
        )
        .await;
    }
    for (flag, value) in [
        ("--batch-size", "0"),
        ("--clients", "0"),
        ("--url", "nonsense"),
        ("--give-up-after", "5"),
    ] {
        refused(
            devtrail(&folder).args(["send", "text", flag, value]),
            2,
            &[flag, value],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_nobody_listens_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("events"), event("e1").to_string()).unwrap();
    fs::write(
        folder.path().join("key"),
        "11111111-1111-4111-8111-111111111111",
    )
    .unwrap();
    let mut send = devtrail(folder.path());
    send.args([
        "send",
        "events",
        "--key-file",
        "key",
        "--url",
        "http://127.0.0.1:1",
        "--give-up-after",
        "10ms",
    ]);
    let parts = [
        "no answer from http://127.0.0.1:1/",
        "refused",
        "See whether `devtrail up` runs",
        "nothing is stored twice",
    ];
    refused(&mut send, 1, &parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_needs_an_up_names_a_folder_without() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("events"), event("e1").to_string()).unwrap();
    for command in [
        &["send", "events"][..],
        &["status"],
        &["keys", "list"],
        &["streams", "diff"],
    ] {
        let mut asked = devtrail(folder.path());
        asked.args(command);
        let parts = [
            "No `devtrail up` runs on elsewhere",
            "Start it, name its folder with --data",
        ];
        refused(asked.args(["--data", "elsewhere"]), 1, &parts).await;
    }
    for command in [
        &["metrics", "show", "me"][..],
        &["trace", "x"],
        &["alerts", "list"],
        &["verify"],
    ] {
        let mut asked = devtrail(folder.path());
        asked.args(command);
        refused(
            asked.args(["--data", "elsewhere"]),
            1,
            &["There is no database elsewhere/devtrail.db", "--data"],
        )
        .await;
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    if repository.join("../.git").exists() {
        let mut import = devtrail(folder.path());
        import
            .args(["import", "git", "--all-authors", "--data", "elsewhere"])
            .arg(repository);
        refused(&mut import, 1, &["elsewhere"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_addresses_are_reported_with_how_to_renew_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("addresses.json"), "{\"collector\":\"htt").unwrap();
    fs::write(folder.path().join("events"), event("e1").to_string()).unwrap();
    for command in [
        &["send", "events"][..],
        &["status"],
        &["metrics", "show", "me"],
    ] {
        let mut asked = devtrail(folder.path());
        asked.args(command);
        refused(
            asked.args(["--data", "."]),
            1,
            &["addresses.json is damaged", "start it again"],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_developer_without_metrics_learns_how_to_get_some() {
    let up = DevtrailUp::start().await;
    let mut show = devtrail(&up.path(""));
    refused(
        show.args(["metrics", "show", "me", "--data", "."]),
        1,
        &["no metrics of \"me\"", "`devtrail import git .`"],
    )
    .await;
}
