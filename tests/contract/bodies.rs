//! How a body comes: absent, in chunks, after `100 Continue`, truncated.

use serde_json::json;

use crate::framing::closed;
use crate::problem::problem;
use crate::support::{RawClient, body_of, fresh, good, shared};

/// Contract: errors.length_required
#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_announces_no_body_has_forgotten_it() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let mut wire = client.wire().await;
    for _ in 0..2 {
        wire.send(client.post_head(&[], &[])).await;
        problem(&wire.answer().await, "length_required");
    }
    // An announced one that is empty is no JSON.
    client.body_refused("", "malformed_json").await;
    client
        .refused(
            client
                .post_head(&[], &[("transfer-encoding", "chunked")])
                .into_iter()
                .chain(*b"0\r\n\r\n")
                .collect::<Vec<u8>>(),
            "malformed_json",
        )
        .await;
    wire.send(client.post(&[], good())).await;
    assert_eq!(wire.answer().await.status, 202);
}

/// Chunks are put together; what is none breaks the request off.
///
/// Contract: errors.malformed_request
#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_is_read_and_a_bad_chunk_is_refused() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let head = client.post_head(&[], &[("transfer-encoding", "chunked")]);
    let chunked = |body: &str| {
        let chunks: String = body
            .as_bytes()
            .chunks(7)
            .map(|chunk| {
                format!(
                    "{:x};note=1\r\n{}\r\n",
                    chunk.len(),
                    String::from_utf8_lossy(chunk)
                )
            })
            .collect();
        [&head[..], chunks.as_bytes(), b"0\r\ntrailer: x\r\n\r\n"].concat()
    };
    let mut wire = client.wire().await;
    for _ in 0..2 {
        wire.send(chunked(&good())).await;
        assert_eq!(wire.answer().await.status, 202);
    }
    for bad in [
        "zz\r\n{}\r\n0\r\n\r\n",
        "5\r\n{}xyzw\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n{}",
        "-1\r\n{}\r\n",
        "\r\n\r\n",
    ] {
        let mut wire = client.wire().await;
        wire.send([&head[..], bad.as_bytes()].concat()).await;
        let answer = wire.answer().await;
        problem(&answer, "malformed_request");
        closed(&mut wire).await;
    }
    client.still_fine().await;
}

/// RFC 9110, section 10.1.1: who will refuse says so before the body is sent.
///
/// Contract: connections.expect
#[tokio::test(flavor = "multi_thread")]
async fn expect_100_continue_is_answered_or_refused_before_the_body() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let body = good();
    let expect = ("expect", "100-continue");
    let length = body.len().to_string();
    let mut wire = client.wire().await;
    wire.send(client.post_head(&[], &[expect, ("content-length", &length)]))
        .await;
    assert_eq!(wire.answer().await.status, 100);
    wire.send(&body).await;
    assert_eq!(wire.answer().await.status, 202);
    for (headers, code) in [
        (
            [
                ("authorization", "Bearer nobody"),
                ("content-length", length.as_str()),
            ],
            "unauthenticated",
        ),
        (
            [("content-type", "text/plain"), ("content-length", &length)],
            "unsupported_media_type",
        ),
        (
            [("x", "y"), ("content-length", "4194305")],
            "body_too_large",
        ),
    ] {
        let mut wire = client.wire().await;
        wire.send(client.post_head(&headers, &[expect])).await;
        let answer = wire.answer().await;
        problem(&answer, code);
        assert_eq!(answer.header("connection"), Some("close"));
        closed(&mut wire).await;
    }
}

/// A body that is cut off is nobody's batch; the next one is taken.
///
/// Contract: errors.malformed_request
#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_body_is_no_batch() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let id = fresh("b");
    let whole = client.post(
        &[],
        body_of(&id, &format!("[{}]", harness::event(&fresh("e")))),
    );
    for cut in [1, 10, 150] {
        let mut wire = client.wire().await;
        wire.send(&whole[..whole.len() - cut]).await;
        wire.end().await;
        if let Some(answer) = wire.answer_or_end().await {
            problem(&answer, "malformed_request");
        }
        // Gone without a word.
        let mut wire = client.wire().await;
        wire.send(&whole[..whole.len() - cut]).await;
        drop(wire);
    }
    client.still_fine().await;
    let first = client.ask(&whole).await;
    assert_eq!(
        (first.status, &first.json()["duplicate_batch"]),
        (202, &json!(false))
    );
}
