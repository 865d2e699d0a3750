//! Bodies at and over their limits.

use std::io::Write;

use futures_util::{StreamExt, stream};

use super::*;
use http_server::client_address::ClientAddress;

use crate::admission_control::OverloadSettings;
use crate::api_keys::Caller;

const KIB: usize = 1024;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).unwrap()
}

/// Bytes that hardly compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let step = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

/// Reads a body under a bound of the bytes of all bodies together.
async fn with(
    headers: &HeaderMap,
    body: Body,
    limits: &BodyLimits,
    bytes: usize,
) -> Result<Bytes, Problem> {
    let settings = OverloadSettings {
        max_connections: 1,
        max_in_flight: 1,
        max_in_flight_bytes: bytes,
        ..OverloadSettings::DEFAULT
    };
    let admission = AdmissionControl::new(&settings, bytes);
    let caller = Caller {
        developer: "ada".parse().unwrap(),
        epoch: 0,
        zone: None,
        scopes: Vec::new(),
        rate_limiter: None,
        key: "k1".into(),
        address: ClientAddress::of(std::net::Ipv4Addr::LOCALHOST.into()),
    };
    let permit = Arc::new(admission.admit(&caller, 0)?);
    read(headers, body, limits, &admission, &permit).await
}

async fn sent(encoding: &'static str, body: impl Into<Body>) -> Result<Bytes, Problem> {
    with(
        &headers(&[("content-encoding", encoding)]),
        body.into(),
        &BodyLimits::default(),
        usize::MAX,
    )
    .await
}

#[test]
fn encodings() {
    let of = |value| ContentEncoding::of(&headers(&[("content-encoding", value)]));
    assert_eq!(
        ContentEncoding::of(&HeaderMap::new()),
        Ok(ContentEncoding::Identity)
    );
    assert_eq!(of("Identity"), Ok(ContentEncoding::Identity));
    assert_eq!(of("X-GZip"), Ok(ContentEncoding::Gzip));
    assert_eq!(of(" zstd "), Ok(ContentEncoding::Zstd));
    for bad in ["br", "gzip, zstd", "gzip, identity", "gzip\u{e9}", "\u{e9}"] {
        assert_eq!(
            of(bad).unwrap_err().code,
            ErrorCode::UnsupportedEncoding,
            "{bad}"
        );
    }
    let mut twice = headers(&[("content-encoding", "gzip")]);
    twice.append(CONTENT_ENCODING, "gzip".parse().unwrap());
    assert_eq!(
        ContentEncoding::of(&twice).unwrap_err().code,
        ErrorCode::UnsupportedEncoding
    );
}

#[tokio::test]
async fn inflates() {
    for data in [
        b"{}".to_vec(),
        vec![b' '; 60 * KIB],
        noise(200 * KIB),
        vec![],
    ] {
        assert_eq!(sent("identity", data.clone()).await.unwrap(), data);
        assert_eq!(sent("gzip", gzip(&data)).await.unwrap(), data);
        assert_eq!(sent("zstd", zstd(&data)).await.unwrap(), data);
        let halves = [&data[..data.len() / 2], &data[data.len() / 2..]];
        assert_eq!(
            sent("x-gzip", halves.map(gzip).concat()).await.unwrap(),
            data
        );
        assert_eq!(sent("zstd", halves.map(zstd).concat()).await.unwrap(), data);
    }
}

#[tokio::test]
async fn corrupt_is_malformed() {
    let whole = gzip(&noise(300));
    let framed = zstd(&noise(300));
    let mut flipped = whole.clone();
    flipped[200] ^= 0xff;
    let trailing = [&whole[..], b"garbage"].concat();
    for (encoding, bytes) in [
        ("gzip", whole[..200].to_vec()),
        ("gzip", whole[..whole.len() - 1].to_vec()),
        ("gzip", flipped),
        ("gzip", trailing),
        ("gzip", b"{}".to_vec()),
        ("gzip", vec![]),
        ("zstd", framed[..200].to_vec()),
        ("zstd", framed[..framed.len() - 1].to_vec()),
        ("zstd", b"{}".to_vec()),
        ("zstd", vec![]),
    ] {
        let problem = sent(encoding, bytes.clone()).await.unwrap_err();
        assert_eq!(
            problem.code,
            ErrorCode::MalformedJson,
            "{encoding} {}: {problem}",
            bytes.len()
        );
    }
}

#[tokio::test]
async fn bombs_are_too_large() {
    let zeros = vec![0; 64 * KIB * KIB];
    for (encoding, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros))] {
        let problem = sent(encoding, bomb).await.unwrap_err();
        assert_eq!(problem.code, ErrorCode::BodyTooLarge);
        assert!(problem.limit.is_some(), "{problem}");
    }
    let problem = sent("zstd", zstd(&zeros[..KIB * KIB])).await.unwrap_err();
    assert!(problem.detail.contains("100 times"), "{problem}");
    // A window of 16 MiB is more memory than a request may take.
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(24).unwrap();
    encoder.write_all(&zeros).unwrap();
    let problem = sent("zstd", encoder.finish().unwrap()).await.unwrap_err();
    assert_eq!(problem.code, ErrorCode::MalformedJson, "{problem}");
}

#[tokio::test]
async fn limit_is_exact() {
    let max = BodyLimits::default().max_inflated;
    let over = noise(max + 1);
    let chunks = || {
        over.chunks(60 * KIB)
            .map(|chunk| Ok::<_, io::Error>(chunk.to_vec()))
    };
    let whole = stream::iter(chunks().collect::<Vec<_>>());
    assert_eq!(
        sent("", Body::from_stream(whole)).await.unwrap_err().limit,
        Some(max as u64)
    );
    assert_eq!(sent("", over[..max].to_vec()).await.unwrap().len(), max);
    let halves = |data: &[u8]| {
        Body::from_stream(stream::iter([
            Ok::<_, io::Error>(data[..9].to_vec()),
            Ok(data[9..].to_vec()),
        ]))
    };
    assert_eq!(sent("", halves(&over[..max])).await.unwrap(), over[..max]);
    // Text of hex digits: about half its size as sent.
    let hex: Vec<u8> = over
        .iter()
        .map(|byte| b"0123456789abcdef"[usize::from(byte >> 4)])
        .collect();
    for compress in [gzip, zstd] {
        let encoding = if compress(b"")[0] == 0x1f {
            "gzip"
        } else {
            "zstd"
        };
        assert_eq!(
            sent(encoding, compress(&hex[..max])).await.unwrap().len(),
            max
        );
        let problem = sent(encoding, compress(&hex)).await.unwrap_err();
        assert_eq!(
            (problem.code, problem.limit),
            (ErrorCode::BodyTooLarge, Some(max as u64))
        );
    }
}

#[tokio::test]
async fn declared_length_is_checked_before_reading() {
    let never = Body::from_stream(stream::pending::<io::Result<Bytes>>());
    let headers = headers(&[("content-length", "4194305")]);
    let problem = with(&headers, never, &BodyLimits::default(), usize::MAX)
        .await
        .unwrap_err();
    assert_eq!(
        (problem.limit, problem.actual),
        (Some(4_194_304), Some(4_194_305))
    );
}

#[tokio::test]
async fn broken_body_is_malformed() {
    let broken = stream::iter([
        Ok(Bytes::from("{")),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ]);
    let problem = sent("identity", Body::from_stream(broken))
        .await
        .unwrap_err();
    assert_eq!(problem.code, ErrorCode::MalformedRequest);
}

#[tokio::test]
async fn slow_body_times_out_as_a_whole() {
    let limits = BodyLimits {
        timeout: Duration::from_millis(200),
        ..BodyLimits::default()
    };
    let drip = stream::repeat(()).then(async |()| {
        tokio::time::sleep(Duration::from_millis(20)).await; // sleep: a slow client
        Ok::<_, io::Error>(Bytes::from(" "))
    });
    let headers = HeaderMap::new();
    let reading = with(
        &headers,
        Body::from_stream(drip.boxed()),
        &limits,
        usize::MAX,
    );
    let problem = tokio::time::timeout(Duration::from_secs(5), reading)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(problem.code, ErrorCode::BodyTimeout);
}

#[tokio::test]
async fn bytes_are_counted_as_they_come_and_as_they_are_inflated() {
    let overloaded = |read: Result<Bytes, Problem>| read.unwrap_err().code == ErrorCode::Overloaded;
    let plain = HeaderMap::new();
    let data = noise(200 * KIB);
    let frames = || {
        let frames: Vec<_> = data
            .chunks(KIB)
            .map(|frame| Ok::<_, io::Error>(Bytes::copy_from_slice(frame)))
            .collect();
        Body::from_stream(stream::iter(frames))
    };
    let limits = BodyLimits::default();
    assert!(overloaded(
        with(&plain, frames(), &limits, 200 * KIB - 1).await
    ));
    assert_eq!(
        with(&plain, frames(), &limits, 200 * KIB).await.unwrap(),
        data
    );
    for (encoding, packed) in [("gzip", gzip(&data)), ("zstd", zstd(&data))] {
        // As sent and inflated: both are there at once.
        let headers = headers(&[("content-encoding", encoding)]);
        let both = packed.len() + data.len();
        assert!(
            overloaded(with(&headers, packed.clone().into(), &limits, both - 1).await),
            "{encoding}"
        );
        assert_eq!(
            with(&headers, packed.into(), &limits, both).await.unwrap(),
            data,
            "{encoding}"
        );
    }
}
