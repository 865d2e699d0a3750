//! What a collector still answers while it stops.

use harness::{DevtrailUp, RawConnection, envelope, event};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// A connection to the collector on which these bytes have been sent.
async fn sent(up: &DevtrailUp, text: &str) -> RawConnection {
    let mut wire = RawConnection::open(&up.address("collector")).await;
    wire.send(text).await;
    wire
}

/// The head of a request with the first key, up to and without its last header.
fn head(up: &DevtrailUp) -> String {
    let client = up.client();
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         authorization: Bearer {}\r\n",
        client.key()
    )
}

/// Begins two requests, asks the whole to stop, and ends both requests only then.
///
/// Contract: errors.shutting_down, commands.signals
#[tokio::test(flavor = "multi_thread")]
async fn in_flight_requests_are_answered_and_late_ones_are_503() {
    let mut up = DevtrailUp::start().await;
    let body = envelope("b1", &[event("e1")]).to_string();
    let (first, rest) = body.split_at(body.len() / 2);
    let length = format!("content-length: {}\r\n\r\n", body.len());
    let mut in_flight = sent(&up, &format!("{}{length}{first}", head(&up))).await;
    let mut late = sent(&up, &head(&up)).await;
    for _ in 0..5 {
        // Answered on connections of their own, accepted after the two.
        let live = "GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        assert_eq!(sent(&up, live).await.answer().await.status, 200);
    }
    let address = up
        .address("collector")
        .trim_start_matches("http://")
        .to_owned();
    kill(Pid::from_raw(up.pids().0), Signal::SIGTERM).unwrap();
    up.until("nothing is accepted any more", || {
        std::net::TcpStream::connect(&address)
            .is_err()
            .then_some(())
    })
    .await;
    late.send(format!("{length}{body}")).await;
    let problem = late.answer().await;
    assert_eq!(
        (problem.status, &problem.json()["code"]),
        (503, &json!("shutting_down"))
    );
    in_flight.send(rest).await;
    let reply = in_flight.answer().await;
    assert_eq!(
        (reply.status, &reply.json()["stream_sequence"]),
        (202, &json!(1)),
        "{reply:?}"
    );
    assert_eq!(up.ended().await, Some(0));
    up.restart().await;
    assert_eq!(up.verify()["stored"], 1);
}
