//! HTTP/2 by prior knowledge: many requests on a connection, and what is hostile there.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::SendRequest;
use harness::{Answer, RawConnection};
use http::{Request, Response};
use serde_json::json;

use crate::problem::problem;
use crate::support::{RawClient, good, shared};

/// A connection, served until the requests' handle is dropped.
async fn connected(client: &RawClient) -> SendRequest<Bytes> {
    let address = client.url.trim_start_matches("http://");
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    // It ends with an error if the other side says so; the requests see that.
    tokio::spawn(async move { drop(connection.await) });
    send
}

fn request(client: &RawClient, method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", client.url));
    request = request.header("authorization", format!("Bearer {}", client.key));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/json");

async fn read(response: Response<h2::RecvStream>) -> Answer {
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend(data);
    }
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    Answer::new(parts.status.as_u16(), headers, bytes)
}

async fn ask(send: &SendRequest<Bytes>, request: Request<()>, body: Option<&str>) -> Answer {
    let mut send = send.clone().ready().await.unwrap();
    let (response, mut stream) = send.send_request(request, body.is_none()).unwrap();
    if let Some(body) = body {
        stream
            .send_data(Bytes::copy_from_slice(body.as_bytes()), true)
            .unwrap();
    }
    let answer = tokio::time::timeout(Duration::from_secs(60), response)
        .await
        .expect("an answer in time");
    read(answer.unwrap()).await
}

/// Contract: connections.versions
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_concurrent_requests_are_each_answered() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let send = connected(&client).await;
    let asked = (0..100).map(|number| {
        let send = &send;
        let client = &client;
        async move {
            let (body, expected) = if number % 2 == 0 {
                (good(), 202)
            } else {
                ("{".to_owned(), 400)
            };
            let answer = ask(
                send,
                request(client, "POST", "/v1/events", &[JSON]),
                Some(&body),
            )
            .await;
            assert_eq!(answer.status, expected);
            if expected == 400 {
                problem(&answer, "malformed_json");
            }
        }
    });
    join_all(asked).await;
}

/// Contract: errors.format
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_the_same_and_the_connection_is_kept() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let send = connected(&client).await;
    let empty = [JSON, ("content-length", "0")];
    for (method, path, headers, body, code) in [
        ("GET", "/nothing", &[][..], None, "not_found"),
        ("PUT", "/v1/events", &[], None, "method_not_allowed"),
        ("POST", "/v1/events", &[JSON], None, "length_required"),
        ("POST", "/v1/events", &empty, None, "malformed_json"),
        (
            "POST",
            "/v1/events",
            &[JSON],
            Some("[]"),
            "invalid_envelope",
        ),
        (
            "POST",
            "/v1/events",
            &[],
            Some("{}"),
            "unsupported_media_type",
        ),
        ("GET", "/v1/batches/%FF", &[], None, "invalid_parameter"),
        (
            "GET",
            "/v1/metrics/daily?to=x",
            &[],
            None,
            "invalid_parameter",
        ),
        (
            "POST",
            "/v1/events",
            &[JSON, ("content-length", "4194305")],
            Some(""),
            "body_too_large",
        ),
    ] {
        if code == "body_too_large" {
            // The announced body never comes.
            let mut ready = send.clone().ready().await.unwrap();
            let (response, stream) = ready
                .send_request(request(&client, method, path, headers), false)
                .unwrap();
            let body = problem(&read(response.await.unwrap()).await, code);
            assert_eq!(body["actual"], 4_194_305);
            drop(stream);
            continue;
        }
        problem(
            &ask(&send, request(&client, method, path, headers), body).await,
            code,
        );
    }
    let answer = ask(&send, request(&client, "GET", "/health/live", &[]), None).await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"status": "live"}))
    );
}

/// Contract: errors.headers_too_large
///
/// Contract: limits.header, connections.http2-header
#[tokio::test(flavor = "multi_thread")]
async fn a_header_beyond_64_kib_is_refused_and_other_requests_go_on() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let send = connected(&client).await;
    for (size, fine) in [(60 * 1024, true), (65 * 1024, false), (120 * 1024, false)] {
        let value = "y".repeat(size);
        let answer = ask(
            &send,
            request(&client, "GET", "/health/live", &[("x", &value)]),
            None,
        )
        .await;
        if fine {
            assert_eq!(answer.status, 200, "{size}");
        } else {
            assert_eq!(problem(&answer, "headers_too_large")["limit"], 64 * 1024);
        }
    }
    let value = "y".repeat(250 * 1024);
    let fields = [("x", value.as_str()), ("y", &value[..20 * 1024])];
    let answer = ask(
        &send,
        request(&client, "GET", "/health/live", &fields),
        None,
    )
    .await;
    assert_eq!((answer.status, answer.body.len()), (431, 0));
    let answer = ask(
        &send,
        request(&client, "POST", "/v1/events", &[JSON]),
        Some(&good()),
    )
    .await;
    assert_eq!(answer.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_reset_is_no_batch_and_hinders_no_other() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let send = connected(&client).await;
    let body = good();
    for _ in 0..10 {
        let mut ready = send.clone().ready().await.unwrap();
        let (response, mut stream) = ready
            .send_request(request(&client, "POST", "/v1/events", &[JSON]), false)
            .unwrap();
        stream
            .send_data(Bytes::copy_from_slice(&body.as_bytes()[..100]), false)
            .unwrap();
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
    }
    let answer = ask(
        &send,
        request(&client, "POST", "/v1/events", &[JSON]),
        Some(&body),
    )
    .await;
    assert_eq!(
        (answer.status, &answer.json()["duplicate_batch"]),
        (202, &json!(false))
    );
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_BOTH: u8 = 5;

/// Sends frames until the other side has had enough; gives how many it took, and its last words' reason.
async fn flooded(
    client: &RawClient,
    first: Vec<u8>,
    mut frames: impl FnMut(u32) -> Vec<u8>,
    most: u32,
) -> (u32, Option<u32>) {
    let mut wire = RawConnection::open(&client.url).await;
    wire.send([PREFACE, &first].concat()).await;
    let mut sent = 0;
    while sent < most && wire.offer(frames(sent)).await.is_ok() {
        sent += 1;
    }
    while let Some(head) = wire.take(9).await {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let Some(payload) = wire.take(length as usize).await else {
            break;
        };
        if head[3] == GOAWAY {
            return (
                sent,
                Some(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
            );
        }
    }
    (sent, None)
}

/// Headers without end (CVE-2024-27316 and its kin), and requests reset as soon as sent (CVE-2023-44487).
#[tokio::test(flavor = "multi_thread")]
async fn floods_of_headers_and_of_resets_end_the_connection_only() {
    let up = shared().await;
    let client = RawClient::to(&up);
    // A literal header without indexing: "x" with 1,000 bytes.
    let literal = [&[0, 1, b'x', 0x7f, 0xe9, 6][..], &[b'y'; 1000]].concat();
    let start = frame(HEADERS, 0, 1, &literal);
    let (sent, _) = flooded(
        &client,
        start,
        |_| frame(CONTINUATION, 0, 1, &literal),
        100_000,
    )
    .await;
    assert!(sent < 100_000, "100 MB of headers were read");
    client.still_fine().await;
    // :method GET, :scheme http, :path /, :authority x
    let get = [0x82, 0x86, 0x84, 0x41, 1, b'x'];
    let rapid = |number: u32| {
        let stream = 2 * number + 1;
        [
            frame(HEADERS, END_BOTH, stream, &get),
            frame(RESET, 0, stream, &8_u32.to_be_bytes()),
        ]
        .concat()
    };
    let (_, reason) = flooded(&client, Vec::new(), rapid, 100_000).await;
    // ENHANCE_YOUR_CALM, unless the connection was gone before it could be read.
    assert!(reason.is_none_or(|reason| reason == 0xb), "{reason:?}");
    client.still_fine().await;
}
