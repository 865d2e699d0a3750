//! The envelope's members in headers, and the batch id, which several places may name.

use crate::reference::id;
use crate::reference::json::shorten;
use crate::reference::time::{self, Micros};
use http::HeaderMap;

use super::submission::{BadEnvelope, SentAt, invalid};

/// The header that carries `batch_id`.
pub(crate) const BATCH_ID: &str = "Devtrail-Batch-Id";
/// The header that carries `sent_at`.
pub(crate) const SENT_AT: &str = "Devtrail-Sent-At";
/// The header that carries `schema_version`.
pub(crate) const SCHEMA_VERSION: &str = "Devtrail-Schema-Version";
/// Another header that may carry `batch_id`.
pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// A header's value; what is no UTF-8 in it is replaced, which makes it no id and no time.
pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The value of a header that may occur once: nothing tells which of two was meant.
fn single(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, BadEnvelope> {
    if headers.get_all(name).iter().nth(1).is_some() {
        return Err(BadEnvelope::Header {
            name,
            detail: format!("The header {name} occurs more than once."),
        });
    }
    Ok(header(headers, name))
}

/// The batch id that body and headers name; `None` if none does.
///
/// # Errors
/// Returns [`BadEnvelope`] if two of them differ, or the id is not valid.
pub(crate) fn batch_id(
    in_body: Option<String>,
    headers: &HeaderMap,
) -> Result<Option<String>, BadEnvelope> {
    let at = |place: Option<&'static str>, detail: String| match place {
        None => invalid("/batch_id", detail),
        Some(name) => BadEnvelope::Header { name, detail },
    };
    let in_header = |name: &'static str| Ok(single(headers, name)?.map(|id| (Some(name), id)));
    let body = in_body.map(|id| (None, id));
    let mut named = [body, in_header(BATCH_ID)?, in_header(IDEMPOTENCY_KEY)?]
        .into_iter()
        .flatten();
    let Some((place, id)) = named.next() else {
        return Ok(None);
    };
    let name = place.unwrap_or("batch_id");
    if let Some((Some(other), _)) = named.find(|(_, other)| *other != id) {
        // If the body's member is one of the two, the pointer to it says most.
        return Err(at(
            place.and(Some(other)),
            format!("{name} and the header {other} name different batches."),
        ));
    }
    if id::is_id(&id) {
        return Ok(Some(id));
    }
    Err(at(
        place,
        format!("{name} must have 1 to 128 characters from 0x21 to 0x7E."),
    ))
}

/// The instant of a `sent_at`, or why it is none.
pub(crate) fn sent_at(text: &str) -> Result<Micros, String> {
    let written = time::parse_rfc3339(text).ok_or_else(|| {
        format!(
            "{:?} is no RFC 3339 time with an offset or Z.",
            shorten(text, 64)
        )
    })?;
    // Beyond the last instant there is: as fast as a clock can be.
    Ok(written.at.unwrap_or(Micros::MAX))
}

/// What the headers say; for some formats each may be absent.
pub(crate) struct Fields {
    pub(crate) batch_id: Option<String>,
    pub(crate) sent_at: Option<SentAt>,
    pub(crate) schema_version: Option<String>,
}

impl Fields {
    /// Reads the headers.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, BadEnvelope> {
        let sent_at = match single(headers, SENT_AT)? {
            None => None,
            Some(text) => match sent_at(&text) {
                Ok(at) => Some(SentAt { at, text }),
                Err(detail) => {
                    return Err(BadEnvelope::Header {
                        name: SENT_AT,
                        detail,
                    });
                }
            },
        };
        let schema_version = single(headers, SCHEMA_VERSION)?;
        Ok(Self {
            batch_id: batch_id(None, headers)?,
            sent_at,
            schema_version,
        })
    }
}
