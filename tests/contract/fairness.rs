//! One key or one address cannot stop the others: its places are bounded, and what is over is told so or closed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use harness::{Deployment, Engine, RawConnection, until};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::time::timeout;

use crate::support::{RawClient, good};

/// Good requests whose times are compared.
const SAMPLES: usize = 200;
/// A machine that is busy with other tests gets so many tries at a fair comparison.
const TRIES: usize = 4;
/// Its p99 may be so many times that of the same run without the attack.
const SLOWER: u32 = 3;

/// Opens so many files as there are connections here.
fn with_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(
        hard >= 12_000,
        "this test needs a hard limit of 12,000 open files, not {hard} (ulimit -Hn)"
    );
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

async fn site() -> (Deployment, RawClient, RawClient) {
    with_descriptors();
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment
        .collector_with(
            "collector",
            &["--body-timeout", "120s", "--header-timeout", "120s"],
        )
        .await;
    let good = RawClient::with(&deployment.client(&url, "good").await);
    let bad = RawClient::with(&deployment.client(&url, "mallory").await);
    (deployment, good, bad)
}

/// The p99 of good batches, each on a connection of its own, and every one of them taken.
async fn p99(client: &RawClient) -> Duration {
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let began = Instant::now();
        let answer = client.ask(client.post(&[], good())).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        times.push(began.elapsed());
    }
    times.sort();
    times[SAMPLES * 99 / 100 - 1]
}

/// Good batches are taken while `attack` goes on, and as fast as in `baseline`.
async fn unharmed(
    mut baseline: impl AsyncFnMut() -> Duration,
    mut attack: impl AsyncFnMut() -> Duration,
) {
    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let before = baseline().await;
        let during = attack().await;
        eprintln!("p99 {before:?} without the attack, {during:?} during it");
        if during <= SLOWER * before {
            return;
        }
        seen.push((before, during));
    }
    panic!("slower in every try: {seen:?}");
}

/// The addresses that attack.
fn attacker(number: usize, of: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number % of).unwrap())
}

/// So many connections from so many addresses, each with these bytes sent.
async fn opened(url: &str, count: usize, addresses: usize, bytes: &[u8]) -> Vec<RawConnection> {
    let one = |number: usize| async move {
        let mut wire = RawConnection::open_from(attacker(number, addresses), url)
            .await
            .ok()?;
        // Who is refused may be cut off while still sending.
        wire.offer(bytes).await.ok().map(|()| wire)
    };
    let opened = stream::iter(0..count).map(one).buffer_unordered(64);
    opened.filter_map(async |wire| wire).collect().await
}

/// How many of the connections are answered, with which status; the others wait or are closed.
async fn refusals(wires: &mut [RawConnection]) -> Vec<u16> {
    let answers = wires.iter_mut().map(async |wire| {
        timeout(Duration::from_millis(500), wire.answer_or_end())
            .await
            .ok()
            .flatten()
    });
    let answers = join_all(answers).await;
    answers
        .into_iter()
        .flatten()
        .map(|answer| answer.status)
        .collect()
}

fn slow_body(client: &RawClient) -> Vec<u8> {
    let mut head = client.post_head(&[], &[("content-length", "1000")]);
    head.push(b' ');
    head
}

/// Contract: fairness.keys, fairness.addresses, fairness.refusals, fairness.others
/// Contract: limits.address-share, limits.key-share
#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_of_one_key_do_not_stop_others() {
    let (deployment, client, bad) = site().await;
    let slow = slow_body(&bad);
    for (count, addresses) in [(1_100, 1), (3_000, 3)] {
        unharmed(
            async || p99(&client).await,
            async || {
                let mut wires = opened(&bad.url, count, addresses, &slow).await;
                let statuses = refusals(&mut wires).await;
                assert!(statuses.iter().all(|status| *status == 429), "{statuses:?}");
                assert!(statuses.len() >= 200, "{} were refused", statuses.len());
                let during = p99(&client).await;
                drop(wires);
                during
            },
        )
        .await;
    }
    let log = deployment.log("collector");
    let line = log
        .lines()
        .find(|line| line.contains("a sender has its share"))
        .expect("a line");
    assert!(
        line.contains("mallory") && line.contains("127.0.0."),
        "{line}"
    );
    let metrics = client.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for whose in [
        r#"what="batches",whose="key""#,
        r#"what="connections",whose="address""#,
    ] {
        let counted = metrics
            .lines()
            .any(|line| line.contains(whose) && !line.ends_with(" 0"));
        assert!(counted, "{whose}: {metrics}");
    }
    // Once it behaves, the key is as good as any.
    until("the key is served again", async || {
        (bad.ask(bad.post(&[], good())).await.status == 202).then_some(())
    })
    .await;
}

/// Contract: fairness.addresses, fairness.idle
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_opened_at_once_do_not_stop_others() {
    let (_deployment, client, bad) = site().await;
    // What 8,000 connections cost this machine by themselves is in both times: the baseline has them elsewhere.
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", elsewhere.local_addr().unwrap());
    let accepts = tokio::spawn(async move {
        while let Ok((stream, _)) = elsewhere.accept().await {
            drop(stream);
        }
    });
    let reopened = async |url: &str| {
        drop(opened(url, 8_000, 8, b"").await);
        let (kept, p99) = tokio::join!(opened(url, 8_000, 8, b""), p99(&client));
        drop(kept);
        p99
    };
    unharmed(
        async || reopened(&url).await,
        async || reopened(&bad.url).await,
    )
    .await;
    accepts.abort();
    // Headers that do not come are bounded by address alone: no key is known yet.
    let kept = opened(
        &bad.url,
        3_000,
        2,
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\n",
    )
    .await;
    client.still_fine().await;
    drop(kept);
}

/// Many requests on one connection are as many bodies.
///
/// Contract: fairness.http2
#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_http2_connection_count_as_bodies() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment
        .collector_with("collector", &["--max-in-flight", "16"])
        .await;
    let client = RawClient::with(&deployment.client(&url, "good").await);
    let bad = RawClient::with(&deployment.client(&url, "mallory").await);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((attacker(0, 1), 0).into()).unwrap();
    let address = url.trim_start_matches("http://").parse().unwrap();
    let stream = socket.connect(address).await.unwrap();
    let (send, connection): (h2::client::SendRequest<bytes::Bytes>, _) =
        h2::client::handshake(stream).await.unwrap();
    let served = tokio::spawn(connection);
    let mut bodies = Vec::new();
    let mut refused = 0;
    for _ in 0..20 {
        let request = http::Request::post(format!("{url}/v1/events"))
            .header("authorization", format!("Bearer {}", bad.key))
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        let mut send = send.clone().ready().await.unwrap();
        let (response, body) = send.send_request(request, false).unwrap();
        match timeout(Duration::from_millis(300), response).await {
            Ok(response) => {
                assert_eq!(response.unwrap().status(), 429);
                refused += 1;
            }
            Err(_) => bodies.push(body),
        }
    }
    assert_eq!((bodies.len(), refused), (4, 16));
    client.still_fine().await;
    drop((bodies, send));
    served.abort();
}
