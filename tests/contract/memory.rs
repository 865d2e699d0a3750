//! A collector's memory stays bounded under whatever costs most.

use futures_util::future::join_all;
use harness::{Deployment, Engine};

use crate::compression::{bomb, coarse};
use crate::support::{RawClient, body_of, fresh, good};

/// Connections of a storm.
const AT_ONCE: usize = 16;
pub const MIB: usize = 1 << 20;

/// What a connection may hold: its body as sent (4 MiB), inflated into a buffer that doubles (8 MiB), and the
/// decoder's window (8 MiB, RFC 9659).
const BYTES: usize = 20 * MIB;
/// What a body is read into: 100,000 values, half of them objects of 632 bytes, or a reference of 16 bytes to
/// each of two million events, in a list that doubles.
const VALUES: usize = 64 * MIB;
/// The program itself.
const SLACK: usize = 64 * MIB;

/// The most memory a process ever had, in bytes: `VmHWM` of `/proc/PID/status`.
pub fn peak(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024
}

/// An event around this text, whatever that is.
fn around(text: &str) -> String {
    let id = fresh("e");
    let time = "2026-03-01T09:14:58Z";
    format!(
        r#"[{{"id":"{id}","type":"file.saved","occurred_at":"{time}","data":{{"path":"a","x":{text}}}}}]"#
    )
}

/// As many of `one` as nearly fill a body.
fn many(one: &str) -> String {
    vec![one; (4 * MIB - 1000) / (one.len() + 1)].join(",")
}

/// A good batch of a client that says this much of itself.
fn with_client(text: &str) -> String {
    good().replacen('{', &format!(r#"{{"client":{{"x":{text}}},"#), 1)
}

/// Requests that cost a collector the most, by name.
fn costly(client: &RawClient) -> Vec<(&'static str, Vec<u8>)> {
    let packed =
        |encoding: &str| client.post(&[("content-encoding", encoding)], bomb(encoding, 1 << 30));
    let post = |events: &str| client.post(&[], body_of(&fresh("b"), events));
    let mut cut_off = client.post_head(&[], &[("content-length", "4194304")]);
    cut_off.extend(vec![b' '; 4 * MIB - 1]);
    vec![
        ("a bomb of 1 GiB by gzip", packed("gzip")),
        ("a bomb of 1 GiB by zstd", packed("zstd")),
        ("a body that does not end", cut_off),
        ("a full body", client.post(&[], coarse(4 * MIB))),
        (
            "two million levels",
            post(&around(&format!(
                "{}{}",
                "[".repeat(2_000_000),
                "]".repeat(2_000_000)
            ))),
        ),
        ("two million events", post(&format!("[{}]", many("7")))),
        (
            "objects of 7 bytes",
            post(&around(&format!("[{}]", many("{\"\":0}")))),
        ),
        (
            "a client of objects",
            client.post(&[], with_client(&format!("[{}]", many("{\"\":0}")))),
        ),
        (
            "as many values as may be",
            post(&around(&format!(
                "[{}]",
                vec!["{\"\":0}"; 49_990].join(",")
            ))),
        ),
    ]
}

/// Contract: limits.body
#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_within_the_limits_whatever_is_sent_at_once() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment
        .collector_with("collector", &["--body-timeout", "2s"])
        .await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    let pid = deployment.pid("collector");
    let mut seen = Vec::new();
    for (what, request) in costly(&client) {
        let storm = (0..AT_ONCE).map(|_| async {
            let mut wire = client.wire().await;
            // Who is refused early may be cut off while still sending.
            let _ = wire.offer(&request).await;
            let answer = wire.answer().await;
            assert!(answer.status < 500, "{what}: {answer:?}");
        });
        join_all(storm).await;
        seen.push(format!("{what}: {} MiB", peak(pid) / MIB));
    }
    let bound = AT_ONCE * (BYTES + VALUES) + SLACK;
    assert!(
        peak(pid) <= bound,
        "more than {} MiB:\n{}",
        bound / MIB,
        seen.join("\n")
    );
    println!("of {} MiB:\n{}", bound / MIB, seen.join("\n"));
    client.still_fine().await;
}
