//! Group commit: batches and jobs go to their streams in groups, and each is there once, whatever dies inside a group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream;
use bus::atomic_group::{self, GroupError, GroupMessage};
use harness::{
    Client, Deployment, Engine, envelope, event, events_of, sequence_of, until, wait_until_stopped,
};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Enough for groups, and too few for a measurement of what single publishes cost.
const BURST: usize = 7;
const LIMIT: Duration = Duration::from_secs(10);

fn messages(name: &str, count: usize) -> Vec<GroupMessage> {
    let message = |number: usize| GroupMessage {
        subject: "events.batch.ada".to_owned(),
        message_id: format!("{name}-{number}"),
        headers: HeaderMap::new(),
        payload: format!("{name} {number}").into(),
    };
    (0..count).map(message).collect()
}

/// Each of these messages is in EVENTS, at its sequence.
async fn are_at(js: &jetstream::Context, messages: &[GroupMessage], sequences: &[u64]) {
    let stream = js.get_stream(&events_of("ada")).await.unwrap();
    assert_eq!(messages.len(), sequences.len());
    for (message, sequence) in messages.iter().zip(sequences) {
        let stored = stream.get_raw_message(*sequence).await.unwrap();
        assert_eq!(stored.payload, message.payload);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_stored_whole_and_each_member_knows_its_place() {
    let deployment = Deployment::start(Engine::Sqlite).await;
    let js = deployment.js().await;
    let streams = deployment.streams().await;
    js.publish("events.batch.ada", "before".into())
        .await
        .unwrap()
        .await
        .unwrap();
    let first = messages("first", 5);
    let committed = atomic_group::publish(&js.client(), first.clone(), LIMIT).await;
    let sequences: Vec<u64> = committed.unwrap().sequences().collect();
    assert_eq!(sequences, [2, 3, 4, 5, 6]);
    are_at(&js, &first, &sequences).await;
    // As if the reply had been lost: the whole group again, then its members.
    let again = atomic_group::publish(&js.client(), first.clone(), LIMIT).await;
    assert_eq!(again, Err(GroupError::Duplicate));
    for (message, sequence) in first.iter().zip(sequences) {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", message.message_id.as_str());
        let ack = js
            .publish_with_headers(message.subject.clone(), headers, message.payload.clone())
            .await;
        let ack = ack.unwrap().await.unwrap();
        assert_eq!((ack.sequence, ack.duplicate), (sequence, true));
    }
    // One old message among new ones: none is stored.
    let mut mixed = messages("new", 5);
    mixed[2] = first[0].clone();
    let refused = atomic_group::publish(&js.client(), mixed, LIMIT).await;
    assert_eq!(refused, Err(GroupError::Duplicate));
    assert_eq!(streams.messages(&events_of("ada")).await, 6);
}

/// A stream that an older version made: the commands say so, and make it as it should be.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_groups_is_served_and_named() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let streams = deployment.streams().await;
    for stream in [&*events_of("ada"), "JOBS"] {
        streams
            .edit(stream, |config| config.allow_atomic_publish = false)
            .await;
    }
    let js = deployment.js().await;
    let refused = atomic_group::publish(&js.client(), messages("no", 5), LIMIT).await;
    assert!(
        matches!(refused, Err(GroupError::Unsupported(_))),
        "{refused:?}"
    );
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let mut bursts = Bursts::of(&client);
    let unsupported = "devtrail_publish_groups_total{outcome=\"unsupported\"}";
    let refused = async || at_least(&url, unsupported, 1.0).await;
    bursts
        .until(&deployment, "a group is refused", refused)
        .await;
    bursts.settle().await;
    bursts.send_the_rest(&client).await;
    deployment.workers(1);
    bursts.are_there_once(&deployment).await;
    let log = deployment.log("collector");
    let events = events_of("ada");
    let logged = format!("{events} takes no atomic batches");
    assert_eq!(log.matches(&logged).count(), 1);
    let status = |arguments: &[&str]| {
        let output = deployment.run("devtrail", arguments);
        String::from_utf8(output.stdout).unwrap()
    };
    let told = "takes no atomic batches (allow_atomic is off)";
    assert_eq!(status(&["status"]).matches(told).count(), 2);
    let applied = status(&["streams", "apply"]);
    let repaired = format!("repair  stream {events}: allow_atomic");
    assert!(applied.contains(&repaired), "{applied}");
    assert!(!status(&["status"]).contains(told));
    let taken = atomic_group::publish(&js.client(), messages("yes", 5), LIMIT).await;
    assert!(taken.is_ok(), "{taken:?}");
}

/// A batch that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Ack {
    batch: String,
    sequence: u64,
    duplicate: bool,
}

/// Batches that arrive together while the server stands still: one is on its way, the others wait, and go as a group.
struct Bursts {
    client: Client,
    number: usize,
    sent: Vec<String>,
    acks: Vec<Ack>,
    on_their_way: JoinSet<Option<Ack>>,
}

impl Bursts {
    fn of(client: &Client) -> Self {
        Self {
            client: client.clone(),
            number: 0,
            sent: Vec::new(),
            acks: Vec::new(),
            on_their_way: JoinSet::new(),
        }
    }

    /// Sends bursts until the condition holds.
    async fn until(
        &mut self,
        deployment: &Deployment,
        what: &str,
        condition: impl AsyncFn() -> bool,
    ) {
        let bursts = async {
            loop {
                self.burst(deployment).await;
                let holds = async {
                    let mut polls = tokio::time::interval(Duration::from_millis(20));
                    while !condition().await {
                        polls.tick().await;
                    }
                };
                tokio::select! {
                    () = holds => return,
                    () = self.settle() => {}
                }
            }
        };
        let ended = tokio::time::timeout(LIMIT * 12, bursts).await;
        assert!(ended.is_ok(), "waited in vain until {what}");
    }

    async fn burst(&mut self, deployment: &Deployment) {
        deployment.signal("nats", Signal::SIGSTOP);
        wait_until_stopped(deployment.pid("nats")).await;
        self.number += 1;
        for number in 0..BURST {
            let batch = format!("burst-{}-{number}", self.number);
            self.sent.push(batch.clone());
            let client = Client::new(self.client.url(), self.client.key());
            self.on_their_way
                .spawn(async move { send(&client, &batch).await });
        }
        let arrived = async || {
            let arrived = series(self.client.url(), "devtrail_http_requests_in_flight").await?;
            (arrived >= BURST as f64).then_some(())
        };
        // If they take too long, this burst makes no group, and another one will.
        let _ =
            tokio::time::timeout(Duration::from_millis(700), until("they arrive", arrived)).await;
        deployment.signal("nats", Signal::SIGCONT);
    }

    /// Waits for all replies. None of these batches was sent before.
    async fn settle(&mut self) {
        while let Some(ack) = self.on_their_way.join_next().await {
            let ack = ack.unwrap();
            assert!(ack.as_ref().is_none_or(|ack| !ack.duplicate), "{ack:?}");
            self.acks.extend(ack);
        }
    }

    /// Sends what was refused or cut off again, its outcome being unknown, until it is acknowledged.
    async fn send_the_rest(&mut self, client: &Client) {
        let acked: BTreeSet<String> = self.acks.iter().map(|ack| ack.batch.clone()).collect();
        for batch in self.sent.iter().filter(|batch| !acked.contains(*batch)) {
            let ack = until("the batch is taken", async || send(client, batch).await).await;
            self.acks.push(ack);
        }
    }

    /// Each batch is in EVENTS once, at the sequence of its reply, and stored once.
    async fn are_there_once(&self, deployment: &Deployment) {
        assert_eq!(self.acks.len(), self.sent.len());
        let js = deployment.js().await;
        let stream = js.get_stream(&events_of("ada")).await.unwrap();
        for ack in &self.acks {
            let message = stream.get_raw_message(ack.sequence).await.unwrap();
            let batch = message.headers.get("Devtrail-Batch-Id").unwrap();
            assert_eq!(
                batch.as_str(),
                ack.batch,
                "the reply of {ack:?} is another's"
            );
        }
        assert_eq!(
            deployment.streams().await.messages(&events_of("ada")).await,
            self.acks.len() as u64
        );
        deployment.completed(self.acks.len() as i64).await;
        let report = deployment.verify();
        assert_eq!(
            (&report["stored"], &report["duplicates"]),
            (&self.acks.len().into(), &0.into())
        );
    }
}

/// `None`: refused or cut off, so nothing is promised.
async fn send(client: &Client, batch: &str) -> Option<Ack> {
    let reply = client.post(&envelope(batch, &[event(batch)])).await.ok()?;
    if reply.status() != 202 {
        return None;
    }
    let reply: serde_json::Value = reply.json().await.ok()?;
    Some(Ack {
        batch: batch.to_owned(),
        sequence: sequence_of(&reply),
        duplicate: reply["duplicate_batch"].as_bool()?,
    })
}

/// The value of a series without labels, or of one of the label `outcome`.
async fn series(url: &str, name: &str) -> Option<f64> {
    let text = reqwest::get(format!("{url}/metrics"))
        .await
        .ok()?
        .text()
        .await
        .ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

const COMMITTED: &str = "devtrail_publish_groups_total{outcome=\"committed\"}";

async fn at_least(url: &str, name: &str, count: f64) -> bool {
    series(url, name).await.is_some_and(|value| value >= count)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_group_get_their_own_replies() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let mut bursts = Bursts::of(&client);
    let committed = async || at_least(&url, COMMITTED, 3.0).await;
    bursts
        .until(&deployment, "groups are committed", committed)
        .await;
    bursts.settle().await;
    bursts.send_the_rest(&client).await;
    deployment.workers(1);
    bursts.are_there_once(&deployment).await;
}

/// A collector dies at `point` inside a group; its clients send again to the next one.
async fn collector_dies_at(engine: Engine, point: &str) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.dying_collector("dies", point).await;
    let client = deployment.client(&url, "ada").await;
    let mut bursts = Bursts::of(&client);
    let died = format!("/proc/{}/stat", deployment.pid("dies"));
    let is_dead = async || {
        let stat = std::fs::read_to_string(&died).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with('Z'))
    };
    bursts
        .until(&deployment, "the collector dies", is_dead)
        .await;
    bursts.settle().await;
    assert!(
        !deployment.ended("dies").await.success(),
        "it died at {point}"
    );
    let url = deployment.collector("lives").await;
    let client = deployment.client(&url, "ada").await;
    bursts.send_the_rest(&client).await;
    deployment.workers(1);
    bursts.are_there_once(&deployment).await;
}

async fn a_collector_killed_before_the_commit_doubles_nothing(engine: Engine) {
    collector_dies_at(engine, "group.before_commit").await;
}

async fn a_collector_killed_after_the_commit_doubles_nothing(engine: Engine) {
    collector_dies_at(engine, "group.after_commit").await;
}

/// nats-server is killed while a collector stands still at `point` inside a group.
async fn nats_dies_at(engine: Engine, point: &str) {
    let mut deployment = Deployment::start(engine).await;
    let point = format!("stop@{point}");
    let url = deployment.dying_collector("collector", &point).await;
    let client = deployment.client(&url, "ada").await;
    let mut bursts = Bursts::of(&client);
    let stat = format!("/proc/{}/stat", deployment.pid("collector"));
    let stands_still = async || {
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    bursts
        .until(&deployment, "the collector stands still", stands_still)
        .await;
    deployment.kill("nats");
    deployment.nats_again();
    deployment.signal("collector", Signal::SIGCONT);
    bursts.settle().await;
    bursts.send_the_rest(&client).await;
    deployment.workers(1);
    bursts.are_there_once(&deployment).await;
}

async fn a_server_killed_before_the_commit_doubles_nothing(engine: Engine) {
    nats_dies_at(engine, "group.before_commit").await;
}

async fn a_server_killed_after_the_commit_doubles_nothing(engine: Engine) {
    nats_dies_at(engine, "group.after_commit").await;
}

harness::on_both_stores!(
    a_collector_killed_before_the_commit_doubles_nothing,
    a_collector_killed_after_the_commit_doubles_nothing,
    a_server_killed_before_the_commit_doubles_nothing,
    a_server_killed_after_the_commit_doubles_nothing,
);

/// A proxy that cuts the connection instead of bringing the PubAck of the first group.
async fn cut_at_the_first_commit(server: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let cut = Arc::new(AtomicBool::new(false));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(&server).await else {
                continue;
            };
            tokio::spawn(carry(client, server, cut.clone()));
        }
    });
    address
}

async fn carry(client: TcpStream, server: TcpStream, cut: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there =
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from_server.read(&mut piece).await {
        let is_commit = piece[..length].windows(9).any(|at| at == b"\"batch\":\"");
        if is_commit && !cut.swap(true, Ordering::Relaxed) {
            break;
        }
        if to_client.write_all(&piece[..length]).await.is_err() {
            break;
        }
    }
    there.abort();
}

/// The group is stored, its reply is lost: the members are published singly, and the server knows them.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_lost_after_the_commit_doubles_nothing() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let server = deployment.nats.trim_start_matches("nats://").to_owned();
    let proxy = format!("nats://{}", cut_at_the_first_commit(server).await);
    let url = deployment
        .collector_with("collector", &["--nats-url", &proxy])
        .await;
    let client = deployment.client(&url, "ada").await;
    let mut bursts = Bursts::of(&client);
    let unconfirmed = "devtrail_publish_groups_total{outcome=\"unconfirmed\"}";
    let lost = async || at_least(&url, unconfirmed, 1.0).await;
    bursts
        .until(&deployment, "a group's reply is lost", lost)
        .await;
    bursts.settle().await;
    // No client has to send again, or sees that the collector did.
    assert_eq!(bursts.acks.len(), bursts.sent.len());
    let known = "devtrail_publishes_total{outcome=\"duplicate\"}";
    assert!(at_least(&url, known, 5.0).await);
    deployment.workers(1);
    bursts.are_there_once(&deployment).await;
}
