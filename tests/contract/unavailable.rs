//! What is refused while a collector stops, or while no worker answers.

use harness::{Deployment, Engine, until};
use nix::sys::signal::Signal;

use crate::problem::problem;
use crate::support::{RawClient, good};

/// Contract: stored.unavailable, errors.store_unavailable
#[tokio::test(flavor = "multi_thread")]
async fn without_a_worker_queries_fail_and_batches_are_accepted() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment.collector("collector").await;
    let client = RawClient::with(&deployment.client(&url, "ada").await);
    for target in ["/v1/batches/b1", "/v1/metrics/daily"] {
        client
            .refused(client.request("GET", target), "store_unavailable")
            .await;
        client.still_fine().await;
    }
}

/// A request that began before the stop is refused when its rest comes: its batch is not in the stream.
///
/// Contract: errors.shutting_down, commands.signals
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_stops_refuses_what_comes_late() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut deployment = Deployment::start(Engine::Sqlite).await;
        let url = deployment.collector("collector").await;
        let client = RawClient::with(&deployment.client(&url, "ada").await);
        let request = client.post(&[], good());
        let mut late = client.wire().await;
        late.send(&request[..20]).await;
        // Answered on a connection accepted after the late one's.
        client.still_fine().await;
        deployment.signal("collector", signal);
        let address = url.trim_start_matches("http://").to_owned();
        let closed = async || {
            std::net::TcpStream::connect(&address)
                .is_err()
                .then_some(())
        };
        until("nothing is accepted any more", closed).await;
        late.send(&request[20..]).await;
        let answer = late.answer().await;
        problem(&answer, "shutting_down");
        assert!(late.rest().await.is_empty());
        assert_eq!(deployment.ended("collector").await.code(), Some(0));
        // The one that was acknowledged, and no other.
        deployment.worker("all", "all", None);
        deployment.completed(1).await;
        assert_eq!(deployment.verify()["messages"], 1);
    }
}
