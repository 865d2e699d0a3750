//! A full disk: clients learn of it, nothing acknowledged is lost, and service comes back once there is room (R2.4).
//!
//! Each test runs itself again in a mount namespace of its own, where it may mount a small disk.

use harness::{
    Database, Deployment, DevtrailUp, Disk, Engine, Mounts, envelope, event, own_mounts, until,
};

use crate::kill_and_restart::{Load, assert_each_stored_once};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_load_loses_nothing_and_recovers() {
    if own_mounts(
        "full_disk::a_full_disk_under_load_loses_nothing_and_recovers",
        false,
    ) != Mounts::Here
    {
        return;
    }
    let disk = Disk::mount(400);
    let up = DevtrailUp::start_in(disk.path(), &[]).await;
    let load = Load::start(&up.client(), "full");
    up.until("the load runs", || (load.count() > 300).then_some(()))
        .await;
    disk.fill();
    let stderr_of = |text: &str| up.whole_log().contains(text);
    up.until("clients get 503", || (load.refused() > 0).then_some(()))
        .await;
    up.until("the full disk is reported", || {
        stderr_of("is full: batches get 503 until 64 MiB are free").then_some(())
    })
    .await;
    let (_, before) = up.pids();
    disk.free();
    up.until("nats-server is restarted", || {
        (stderr_of("the disk has room again") && up.pids().1 != before).then_some(())
    })
    .await;
    let then = load.count();
    up.until("batches are taken again", || {
        (load.count() > then + 300).then_some(())
    })
    .await;
    let acknowledged = load.finish().await;
    let completed = "SELECT count(*) FROM batches WHERE state <> 'completed'";
    up.until("all is completed", || {
        (up.count(completed) == 0).then_some(())
    })
    .await;
    assert_each_stored_once(&up, &acknowledged);
    assert_eq!(
        up.count("SELECT count(*) FROM refused"),
        0,
        "nothing is quarantined for a full disk"
    );
    assert_eq!(up.verify()["dead"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_database_dead_letters_nothing() {
    if own_mounts(
        "full_disk::a_full_disk_under_the_database_dead_letters_nothing",
        false,
    ) != Mounts::Here
    {
        return;
    }
    const BATCHES: i64 = 60;
    let disk = Disk::mount(32);
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    deployment.database = Database::Sqlite(disk.path().join("devtrail.db"));
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    deployment.workers(1);
    client.send(&envelope("first", &[event("first")])).await;
    deployment.completed(1).await;
    disk.fill();
    for number in 0..BATCHES {
        let events: Vec<_> = (0..20)
            .map(|index| event(&format!("e{number}-{index}")))
            .collect();
        client.send(&envelope(&format!("b{number}"), &events)).await;
    }
    until("the worker meets the full disk", async || {
        deployment.log("all").contains("disk is full").then_some(())
    })
    .await;
    let stored = deployment
        .database
        .count("SELECT count(*) FROM batches")
        .await;
    assert!(
        stored <= BATCHES,
        "{stored} of {BATCHES} were stored: the disk was not full"
    );
    disk.free();
    deployment.completed(BATCHES + 1).await;
    let report = deployment.verify();
    assert_eq!(
        (&report["dead"], &report["quarantined"]),
        (&0.into(), &0.into()),
        "{report}"
    );
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM events")
            .await,
        BATCHES * 20 + 1
    );
}
