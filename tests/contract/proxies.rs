//! Clients behind a proxy, and whom its word makes them.

use std::net::Ipv4Addr;

use harness::{Answer, Deployment, Engine, RawConnection, until};
use serde_json::json;

use crate::problem::problem;
use crate::support::{RawClient, good};

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 8);

/// A batch from `address` that stays in flight, if it is admitted: its body has not come.
async fn begun(client: &RawClient, address: Ipv4Addr, forwarded: &str) -> (RawConnection, Answer) {
    let mut wire = RawConnection::open_from(address, &client.url)
        .await
        .unwrap();
    let headers = [("expect", "100-continue"), ("x-forwarded-for", forwarded)];
    wire.send(client.post_head(&headers, &[("content-length", "1000")]))
        .await;
    let answer = wire.answer().await;
    (wire, answer)
}

/// Contract: fairness.proxies, fairness.bad-proxy, fairness.others-header
#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_says_whose_request_it_is() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    // Two batches for one address.
    let arguments = [
        "--trusted-proxy",
        "127.0.0.9/32",
        "--max-in-flight",
        "8",
        "--key-share",
        "100",
    ];
    let url = deployment.collector_with("collector", &arguments).await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    for (address, one, other) in [
        (PROXY, "192.0.2.1", Some("192.0.2.2")),
        (PROXY, "192.0.2.1, 127.0.0.9", Some("10.1.1.1, 192.0.2.2")),
        (PROXY, "2001:db8::1", Some("2001:db8:0:1::1")),
        // What tells nothing counts as the proxy's own address, whatever it says.
        (PROXY, "unknown", None),
        (OTHER, "192.0.2.1", None),
    ] {
        let mut held = Vec::new();
        for _ in 0..2 {
            let (wire, answer) = begun(&client, address, one).await;
            assert_eq!(answer.status, 100, "{one}: {answer:?}");
            held.push(wire);
        }
        let (_wire, refused) = begun(&client, address, one).await;
        assert_eq!(
            problem(&refused, "rate_limited")["limit"],
            json!(2),
            "{one}"
        );
        match other {
            Some(other) => {
                let (wire, answer) = begun(&client, address, other).await;
                assert_eq!(answer.status, 100, "{other}: {answer:?}");
                drop(wire);
            }
            None => {
                let (_wire, refused) = begun(&client, address, "whoever").await;
                problem(&refused, "rate_limited");
            }
        }
        drop(held);
        until("all have ended", async || {
            (client.ask(client.post(&[], good())).await.status == 202).then_some(())
        })
        .await;
    }
    let text = deployment.log("collector");
    assert!(
        text.contains("192.0.2.1") && text.contains("2001:db8::/64"),
        "{text}"
    );
}

/// Contract: fairness.proxy-connections, limits.connections, fairness.connections
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_has_as_many_connections_as_there_are() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let arguments = ["--trusted-proxy", "127.0.0.9", "--max-connections", "40"];
    let url = deployment.collector_with("collector", &arguments).await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    let live = client.request("GET", "/health/live");
    let opened = async |address: Ipv4Addr, count: usize| {
        let mut kept = Vec::new();
        let mut refused = Vec::new();
        for _ in 0..count {
            let mut wire = RawConnection::open_from(address, &url).await.unwrap();
            if wire.offer(&live).await.is_err() {
                continue;
            }
            match wire.answer_or_end().await {
                Some(answer) if answer.status == 200 => kept.push(wire),
                Some(answer) => refused.push(answer),
                None => {}
            }
        }
        (kept, refused)
    };
    let (of_proxy, refused) = opened(PROXY, 20).await;
    assert_eq!((of_proxy.len(), refused.len()), (20, 0));
    let (of_other, refused) = opened(OTHER, 20).await;
    assert!((1..=10).contains(&of_other.len()), "{}", of_other.len());
    assert!(!refused.is_empty());
    for answer in &refused {
        problem(answer, "rate_limited");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    // Somebody else gets in.
    client.still_fine().await;
    for bad in ["proxy", "10.0.0.0/40", "10.0.0.1/8"] {
        let output = deployment.run("devtrail-collector", &["--trusted-proxy", bad]);
        assert_eq!(output.status.code(), Some(2), "{bad}");
    }
}
