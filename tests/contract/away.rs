//! What is refused while a collector stops, or while nobody answers for the store.

use harness::{Engine, Site, until};
use nix::sys::signal::Signal;

use crate::problem::problem;
use crate::talk::{Talk, good};

/// Contract: stored.unavailable, errors.store_unavailable
#[tokio::test(flavor = "multi_thread")]
async fn without_a_worker_questions_are_refused_and_batches_taken() {
    let mut site = Site::start(Engine::Sqlite).await;
    let url = site.collector("collector").await;
    let talk = Talk::with(&site.client(&url, "ada").await);
    for target in ["/v1/batches/b1", "/v1/metrics/daily"] {
        talk.refused(talk.request("GET", target), "store_unavailable")
            .await;
        talk.still_fine().await;
    }
}

/// A request that began before the stop is refused when its rest comes: its batch is not in the stream.
///
/// Contract: errors.shutting_down, commands.signals
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_stops_refuses_what_comes_late() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut site = Site::start(Engine::Sqlite).await;
        let url = site.collector("collector").await;
        let talk = Talk::with(&site.client(&url, "ada").await);
        let request = talk.post(&[], good());
        let mut late = talk.wire().await;
        late.send(&request[..20]).await;
        // Answered on a connection accepted after the late one's.
        talk.still_fine().await;
        site.signal("collector", signal);
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
        assert_eq!(site.ended("collector").await.code(), Some(0));
        // The one that was acknowledged, and no other.
        site.worker("all", "all", None);
        site.completed(1).await;
        assert_eq!(site.verify()["messages"], 1);
    }
}
