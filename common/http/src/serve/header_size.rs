//! How large a request's header may be over HTTP/2: the protocol's own refusal has no body.

use http::Request;

use crate::error_code::ErrorCode;
use crate::problem::{CORRELATION_ID, Problem};

/// Headers up to this many times the limit are read, so that the refusal is a problem.
/// A larger one is refused by the protocol alone.
const READ: usize = 4;
/// What a field counts beyond its name and value (RFC 9113, section 6.5.2).
const FIELD: usize = 32;

/// How many bytes of a header HTTP/2 reads at all, for a limit of `max` bytes.
pub(super) fn http2_bound(max: usize) -> u32 {
    u32::try_from(max.saturating_mul(READ)).unwrap_or(u32::MAX)
}

/// The refusal of a header larger than `max` bytes, which are counted as HTTP/2 does.
pub(super) fn too_large<B>(request: &Request<B>, max: usize) -> Option<Problem> {
    let fields = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |path| path.as_str().len())
        + uri
            .authority()
            .map_or(0, |authority| authority.as_str().len());
    let size = fields.sum::<usize>() + target;
    let id = request
        .headers()
        .get(CORRELATION_ID)
        .and_then(|id| id.to_str().ok());
    (size > max).then(|| {
        let detail = format!("The request's header has {size} bytes, the limit is {max}.");
        let problem = Problem::new(ErrorCode::HeadersTooLarge, detail);
        problem
            .limit(max as u64)
            .actual(size as u64)
            .correlation_id(types::id::correlation_id(id))
    })
}
