//! A full disk: clients are told, nothing acknowledged is lost, and service comes back once there is room (R2.4).
//!
//! Each test runs itself again in a mount namespace of its own, where it may mount a small disk.

use std::path::Path;
use std::process::Command;

use harness::{Database, Engine, Site, Up, envelope, event, until};

use crate::survives::{Load, assert_each_stored_once};

/// Set where the test runs in the namespace.
const INSIDE: &str = "DEVTRAIL_TEST_OWN_MOUNTS";

/// Runs the test of this name in a mount namespace; gives whether this is the run inside.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    // As root a mount namespace will do; else one of users makes root of anybody.
    let works = |flags: &&&str| {
        let script = "d=$(mktemp -d) && mount -t tmpfs -o size=1m tmpfs \"$d\" && umount \"$d\"; s=$?; rmdir \"$d\"; exit $s";
        Command::new("unshare")
            .args([**flags, "sh", "-c", script])
            .output()
            .is_ok_and(|tried| tried.status.success())
    };
    let Some(flags) = ["-m", "-Urm"].iter().find(works) else {
        eprintln!("left out: no small disk can be mounted here, neither as root nor with `unshare -Urm`");
        return false;
    };
    let mut command = Command::new("unshare");
    command.arg(flags).arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let status = command.env(INSIDE, "yes").status().unwrap();
    assert!(status.success(), "{test} failed in its namespace");
    false
}

/// A disk of its own with so many MiB.
fn mount(mib: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
        .arg(folder.path())
        .status();
    assert!(mounted.unwrap().success());
    folder
}

/// Takes all that is free.
fn fill(disk: &Path) {
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    let mut filler = std::fs::File::create(disk.join("filler")).unwrap();
    let full = std::io::copy(&mut std::io::BufReader::new(zeros), &mut filler).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
}

/// Frees it again.
fn free(disk: &Path) {
    std::fs::remove_file(disk.join("filler")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_load_loses_nothing_and_service_comes_back_by_itself() {
    if !is_inside("full_disk::a_full_disk_under_load_loses_nothing_and_service_comes_back_by_itself") {
        return;
    }
    let disk = mount(400);
    let up = Up::start_in(disk.path(), &[]).await;
    let load = Load::start(&up.client(), "full");
    up.until("the load runs", || (load.count() > 300).then_some(())).await;
    fill(disk.path());
    let said = |text: &str| std::fs::read_to_string(up.path("up.log")).unwrap_or_default().contains(text);
    up.until("clients get 503", || (load.refused() > 0).then_some(())).await;
    up.until("the full disk is said", || {
        said("is full: batches get 503 until 64 MiB are free").then_some(())
    })
    .await;
    let (_, before) = up.pids();
    free(disk.path());
    up.until("nats-server is restarted", || {
        (said("the disk has room again") && up.pids().1 != before).then_some(())
    })
    .await;
    let then = load.count();
    up.until("batches are taken again", || (load.count() > then + 300).then_some(())).await;
    let acknowledged = load.finish().await;
    let completed = "SELECT count(*) FROM batches WHERE state <> 'completed'";
    up.until("all is completed", || (up.count(completed) == 0).then_some(())).await;
    assert_each_stored_once(&up, &acknowledged);
    assert_eq!(up.count("SELECT count(*) FROM refused"), 0, "nothing is quarantined for a full disk");
    assert_eq!(up.verify()["dead"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_database_delays_storing_and_gives_nothing_up() {
    if !is_inside("full_disk::a_full_disk_under_the_database_delays_storing_and_gives_nothing_up") {
        return;
    }
    const BATCHES: i64 = 60;
    let disk = mount(32);
    let mut site = Site::start(Engine::Sqlite).await;
    site.database = Database::Sqlite(disk.path().join("devtrail.db"));
    let url = site.collector("collector").await;
    let client = site.client(&url, "ada").await;
    site.workers(1);
    client.send(&envelope("first", &[event("first")])).await;
    site.completed(1).await;
    fill(disk.path());
    for number in 0..BATCHES {
        let events: Vec<_> = (0..20).map(|index| event(&format!("e{number}-{index}"))).collect();
        client.send(&envelope(&format!("b{number}"), &events)).await;
    }
    until("the worker meets the full disk", async || site.log("all").contains("disk is full").then_some(()))
        .await;
    let stored = site.database.count("SELECT count(*) FROM batches").await;
    assert!(stored <= BATCHES, "{stored} of {BATCHES} were stored: the disk was not full");
    free(disk.path());
    site.completed(BATCHES + 1).await;
    let report = site.verify();
    assert_eq!((&report["dead"], &report["quarantined"]), (&0.into(), &0.into()), "{report}");
    assert_eq!(site.database.count("SELECT count(*) FROM events").await, BATCHES * 20 + 1);
}
