//! Compressed bodies: members, truncation, bombs by ratio and by size.

use std::io::Write;

use serde_json::json;

use crate::support::{RawClient, good, shared};

/// Compressed by gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// Compressed by zstd, with a checksum, as gzip has one.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut zstd = zstd::Encoder::new(Vec::new(), 3).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.write_all(bytes).unwrap();
    zstd.finish().unwrap()
}

/// What would inflate to `size` spaces.
pub fn bomb(encoding: &str, size: usize) -> Vec<u8> {
    let spaces = vec![b' '; size.min(1 << 20)];
    let repeated = size / spaces.len();
    let one = if encoding == "gzip" {
        gzip(&spaces)
    } else {
        zstd(&spaces)
    };
    one.repeat(repeated)
}

type Pack = fn(&[u8]) -> Vec<u8>;
const ENCODINGS: [(&str, Pack); 2] = [("gzip", gzip), ("zstd", zstd)];
const FLOOR: usize = 64 * 1024;
const MOST: usize = 4 * 1024 * 1024;

/// A body of exactly `size` bytes that deflates less than 100 times, so that the size is what is checked.
pub fn coarse(size: usize) -> Vec<u8> {
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        b' ' + (seed >> 58) as u8
    };
    let body = good();
    let start = format!(
        "{{\"pad\":\"{}\",",
        "@".repeat(size - body.len() - "\"pad\":\"\",".len())
    );
    let mut body = body.replacen('{', &start, 1).into_bytes();
    assert_eq!(body.len(), size);
    for byte in body.iter_mut().filter(|byte| **byte == b'@') {
        *byte = Some(noise())
            .filter(|byte| !b"\"\\".contains(byte))
            .unwrap_or(b'x');
    }
    body
}

/// Contract: errors.body_too_large, limits.ratio
#[tokio::test(flavor = "multi_thread")]
async fn a_body_inflates_to_at_most_100_times_its_size() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for (encoding, pack) in ENCODINGS {
        let post = |body: &[u8]| client.post(&[("content-encoding", encoding)], body);
        // Spaces after the batch deflate a thousand times.
        let padded = |size: usize| {
            let mut body = good().into_bytes();
            body.resize(size, b' ');
            pack(&body)
        };
        let floor = padded(FLOOR);
        assert!(
            floor.len() * 100 < FLOOR,
            "{} bytes are no case of the ratio",
            floor.len()
        );
        assert_eq!(client.ask(post(&floor)).await.status, 202, "{encoding}");
        let body = client
            .refused(post(&padded(FLOOR + 1)), "body_too_large")
            .await;
        assert_eq!(body["limit"], 100, "{body}");
        assert!(
            body["detail"].as_str().unwrap().contains("100 times"),
            "{body}"
        );
        for size in [1 << 20, MOST, 64 << 20] {
            client
                .refused(post(&bomb(encoding, size)), "body_too_large")
                .await;
        }
        client.still_fine().await;
    }
}

/// Contract: limits.body
#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_up_to_4_mib_sent_and_inflated() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for (size, fine) in [(MOST - 1, true), (MOST, true), (MOST + 1, false)] {
        let body = coarse(size);
        let packed = ENCODINGS.map(|(encoding, pack)| (encoding, pack(&body)));
        let whole = [("", body.clone())].into_iter().chain(packed);
        for (encoding, sent) in whole {
            assert!(
                sent.len() <= size && sent.len() * 90 > size,
                "{encoding}: {}",
                sent.len()
            );
            let request = client.post(&[("content-encoding", encoding)], &sent);
            if fine {
                assert_eq!(client.ask(request).await.status, 202, "{encoding} {size}");
                continue;
            }
            let refused = client.refused(request, "body_too_large").await;
            let actual = if encoding.is_empty() {
                json!(size)
            } else {
                json!(null)
            };
            assert_eq!(
                (&refused["limit"], &refused["actual"]),
                (&json!(MOST), &actual),
                "{encoding}"
            );
        }
        // Without a length it is refused when the limit is passed.
        let mut wire = client.wire().await;
        let head = client.post_head(&[], &[("transfer-encoding", "chunked")]);
        let sent = [
            &head[..],
            format!("{:x}\r\n", body.len()).as_bytes(),
            &body,
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        let _ = wire.offer(sent).await;
        let answer = wire.answer().await;
        if fine {
            assert_eq!(answer.status, 202, "{size}");
        } else {
            crate::problem::problem(&answer, "body_too_large");
        }
    }
    client.still_fine().await;
}

/// Several members or frames are one body (RFC 1952, section 2.2; RFC 8878, section 3.1); what is cut off or
/// followed by something else is none.
#[tokio::test(flavor = "multi_thread")]
async fn broken_compression_is_refused() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for (encoding, pack) in ENCODINGS {
        let ask = async |body: Vec<u8>| {
            client
                .ask(client.post(&[("content-encoding", encoding)], body))
                .await
        };
        let body = good().into_bytes();
        let (front, back) = body.split_at(body.len() / 2);
        assert_eq!(
            ask([pack(front), pack(back)].concat()).await.status,
            202,
            "{encoding}"
        );
        let whole = pack(&body);
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0xff;
        let wrong = if encoding == "gzip" {
            zstd(&body)
        } else {
            gzip(&body)
        };
        for broken in [
            Vec::new(),
            whole[..1].to_vec(),
            whole[..whole.len() / 2].to_vec(),
            whole[..whole.len() - 1].to_vec(),
            [whole.clone(), b"trailing garbage".to_vec()].concat(),
            flipped,
            wrong,
            body.clone(),
            pack(&whole),
        ] {
            crate::problem::problem(&ask(broken).await, "malformed_json");
        }
        client.still_fine().await;
    }
}
