//! Reading a request's body: within a time, a size and a ratio of inflation.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::BodyExt;

use crate::admission_control::{AdmissionControl, BatchPermit};
use http_server::{ErrorCode, Problem};

/// Compressed bodies up to this many bytes are inflated in place, larger ones on a blocking thread.
const INLINE: usize = 64 * 1024;
/// Up to this many inflated bytes the ratio does not matter: small JSON compresses well.
const RATIO_FLOOR: usize = 64 * 1024;
/// What is reserved at most for a body before it has arrived, whatever length it claims.
const RESERVED: usize = 64 * 1024;
/// Inflated bytes are counted in pieces of this many.
const PIECE: u64 = 64 * 1024;
/// Zstandard windows up to 8 MiB, as RFC 9659 requires for HTTP: it bounds the decoder's memory.
const WINDOW_LOG_MAX: u32 = 23;

/// The limits of a body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bytes, both as sent and inflated.
    pub max_inflated: usize,
    /// How many times its size as sent a body may inflate to. Below 64 KiB inflated it does not apply.
    pub max_ratio: usize,
    /// How long the whole body may take to arrive.
    pub timeout: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            max_inflated: 4 * 1024 * 1024,
            max_ratio: 100,
            timeout: Duration::from_secs(30),
        }
    }
}

/// A body's content encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentEncoding {
    Identity,
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 8878, one frame or several.
    Zstd,
}

impl ContentEncoding {
    /// The encoding that `Content-Encoding` names; without the header, identity.
    ///
    /// # Errors
    /// Returns `unsupported_encoding` for any other than gzip (x-gzip), zstd and identity, and for several at once.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let Some(value) = values.next() else {
            return Ok(Self::Identity);
        };
        let encoding = value
            .to_str()
            .map(|value| value.trim().to_ascii_lowercase());
        match (encoding.as_deref(), values.next()) {
            (Ok("" | "identity"), None) => Ok(Self::Identity),
            (Ok("gzip" | "x-gzip"), None) => Ok(Self::Gzip),
            (Ok("zstd"), None) => Ok(Self::Zstd),
            _ => {
                let detail =
                    "Content-Encoding must be one of gzip, zstd or identity, and only one of them.";
                Err(Problem::new(ErrorCode::UnsupportedEncoding, detail))
            }
        }
    }
}

/// How many bytes a body announces, if it does.
#[must_use]
pub fn announced(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
}

/// Reads and inflates a body. Never holds more than `max_inflated` bytes of it as sent, nor twice that inflated.
/// `permit` holds the bytes of what is returned.
///
/// # Errors
/// Returns `unsupported_encoding`; `body_too_large`, at once if `Content-Length` tells; `body_timeout`; `overloaded`
/// if the bytes of all bodies at once are too many; `malformed_request` if the body breaks off (nobody is left to
/// read that); `malformed_json` if its compression is corrupt; `internal` if the process ends meanwhile.
pub async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: &BodyLimits,
    admission: &AdmissionControl,
    permit: &Arc<BatchPermit>,
) -> Result<Bytes, Problem> {
    let encoding = ContentEncoding::of(headers)?;
    let declared = announced(headers);
    if let Some(declared) = declared.filter(|declared| *declared > limits.max_inflated as u64) {
        let detail = format!(
            "The body has {declared} bytes, the limit is {}.",
            limits.max_inflated
        );
        return Err(too_large(limits.max_inflated, detail).actual(declared));
    }
    let sent = tokio::time::timeout(
        limits.timeout,
        collect(body, declared, limits.max_inflated, permit),
    );
    let sent = sent.await.map_err(|_| {
        let detail = format!(
            "The body did not arrive within {} ms.",
            limits.timeout.as_millis()
        );
        Problem::new(ErrorCode::BodyTimeout, detail)
    })??;
    let limits = *limits;
    let as_sent = sent.len();
    let inflated = match encoding {
        ContentEncoding::Identity => return Ok(sent),
        _ if as_sent <= INLINE => inflate(encoding, &sent, &limits, permit)?,
        _ => {
            let _large_body = admission.large_body().await;
            let permit = permit.clone();
            tokio::task::spawn_blocking(move || inflate(encoding, &sent, &limits, &permit))
                .await
                .map_err(|_| {
                    Problem::new(
                        ErrorCode::Internal,
                        "The body could not be inflated; send again.",
                    )
                })??
        }
    };
    permit.release(as_sent);
    Ok(inflated)
}

/// The body as sent, at most `max` bytes.
async fn collect(
    mut body: Body,
    declared: Option<u64>,
    max: usize,
    permit: &BatchPermit,
) -> Result<Bytes, Problem> {
    let reserved = declared
        .and_then(|declared| usize::try_from(declared).ok())
        .unwrap_or(0)
        .min(RESERVED);
    let mut collected = BytesMut::new();
    let mut only = Bytes::new();
    while let Some(frame) = body.frame().await {
        let broken = |error| {
            Problem::new(
                ErrorCode::MalformedRequest,
                format!("The body broke off or is framed wrongly: {error}."),
            )
        };
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        if collected.len() + only.len() + data.len() > max {
            return Err(too_large(
                max,
                format!("The body has more than {max} bytes, the limit."),
            ));
        }
        permit.hold(data.len())?;
        // A body of one frame, the usual one, is handed on without a copy.
        if collected.is_empty() && only.is_empty() {
            only = data;
            continue;
        }
        if collected.is_empty() {
            collected.reserve(reserved.max(only.len() + data.len()));
            collected.extend_from_slice(&std::mem::take(&mut only));
        }
        collected.extend_from_slice(&data);
    }
    Ok(if collected.is_empty() {
        only
    } else {
        collected.freeze()
    })
}

fn inflate(
    encoding: ContentEncoding,
    sent: &[u8],
    limits: &BodyLimits,
    permit: &BatchPermit,
) -> Result<Bytes, Problem> {
    let by_ratio = sent.len().saturating_mul(limits.max_ratio).max(RATIO_FLOOR);
    let max = limits.max_inflated.min(by_ratio);
    let inflated = match encoding {
        ContentEncoding::Identity => Ok(sent.to_vec()),
        // Neither decoder minds an empty input; as a member or a frame it is truncated all the same.
        _ if sent.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        ContentEncoding::Gzip => read_to(flate2::read::MultiGzDecoder::new(sent), max, permit),
        ContentEncoding::Zstd => {
            zstd::stream::read::Decoder::with_buffer(sent).and_then(|mut decoder| {
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                read_to(decoder, max, permit)
            })
        }
    };
    let inflated = inflated.map_err(|error| {
        if let Some(problem) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Problem>())
        {
            return problem.clone();
        }
        let detail = format!(
            "The body cannot be inflated, its compressed data is corrupt or cut off: {error}."
        );
        Problem::new(ErrorCode::MalformedJson, detail)
    })?;
    if inflated.len() <= max {
        return Ok(inflated.into());
    }
    if max == limits.max_inflated {
        return Err(too_large(
            max,
            format!("The body inflates to more than {max} bytes, the limit."),
        ));
    }
    let ratio = limits.max_ratio;
    let size = sent.len();
    let detail = format!(
        "The body inflates to more than {ratio} times its {size} bytes; the limit is {ratio} times."
    );
    Err(too_large(ratio, detail))
}

/// Reads to the end, or to the first byte after `max`, each piece counted before it is kept.
fn read_to(reader: impl Read, max: usize, permit: &BatchPermit) -> io::Result<Vec<u8>> {
    let mut reader = reader.take(max as u64 + 1);
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        reader.by_ref().take(PIECE).read_to_end(&mut bytes)?;
        if bytes.len() == before {
            return Ok(bytes);
        }
        permit
            .hold(bytes.len() - before)
            .map_err(io::Error::other)?;
    }
}

fn too_large(limit: usize, detail: String) -> Problem {
    Problem::new(ErrorCode::BodyTooLarge, detail).limit(limit as u64)
}

#[cfg(test)]
mod tests;
