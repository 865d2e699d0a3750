//! The closed list of reasons for which a request is refused.

use http::StatusCode;

/// The closed list of reasons for which the collector refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    MalformedRequest,
    MalformedJson,
    InvalidEnvelope,
    InvalidParameter,
    Unauthenticated,
    WrongDeveloper,
    ScopeMissing,
    NotFound,
    BatchUnknown,
    MethodNotAllowed,
    HeaderTimeout,
    BodyTimeout,
    LengthRequired,
    BodyTooLarge,
    TooManyEvents,
    BatchTooLarge,
    UnsupportedMediaType,
    UnsupportedEncoding,
    RateLimited,
    HeadersTooLarge,
    Internal,
    StreamUnavailable,
    StreamFull,
    ShuttingDown,
    StoreUnavailable,
    CircuitOpen,
    Overloaded,
}

impl ErrorCode {
    /// The whole list.
    pub const ALL: [Self; 27] = [
        Self::MalformedRequest,
        Self::MalformedJson,
        Self::InvalidEnvelope,
        Self::InvalidParameter,
        Self::Unauthenticated,
        Self::WrongDeveloper,
        Self::ScopeMissing,
        Self::NotFound,
        Self::BatchUnknown,
        Self::MethodNotAllowed,
        Self::HeaderTimeout,
        Self::BodyTimeout,
        Self::LengthRequired,
        Self::BodyTooLarge,
        Self::TooManyEvents,
        Self::BatchTooLarge,
        Self::UnsupportedMediaType,
        Self::UnsupportedEncoding,
        Self::RateLimited,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::StreamUnavailable,
        Self::StreamFull,
        Self::ShuttingDown,
        Self::StoreUnavailable,
        Self::CircuitOpen,
        Self::Overloaded,
    ];

    /// Status, `code`, title.
    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        const TOO_LARGE: S = S::PAYLOAD_TOO_LARGE;
        const UNSUPPORTED: S = S::UNSUPPORTED_MEDIA_TYPE;
        const UNAVAILABLE: S = S::SERVICE_UNAVAILABLE;
        match self {
            Self::MalformedRequest => (
                S::BAD_REQUEST,
                "malformed_request",
                "The request is not HTTP",
            ),
            Self::MalformedJson => (
                S::BAD_REQUEST,
                "malformed_json",
                "The body cannot be parsed",
            ),
            Self::InvalidEnvelope => (
                S::BAD_REQUEST,
                "invalid_envelope",
                "The envelope is invalid",
            ),
            Self::InvalidParameter => (
                S::BAD_REQUEST,
                "invalid_parameter",
                "A parameter is invalid",
            ),
            Self::Unauthenticated => (
                S::UNAUTHORIZED,
                "unauthenticated",
                "A valid API key is required",
            ),
            Self::WrongDeveloper => (
                S::FORBIDDEN,
                "wrong_developer",
                "The key is another developer's",
            ),
            Self::ScopeMissing => (S::FORBIDDEN, "scope_missing", "The key may not do this"),
            Self::NotFound => (S::NOT_FOUND, "not_found", "There is nothing here"),
            Self::BatchUnknown => (S::NOT_FOUND, "batch_unknown", "No such batch is stored"),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "The method is not allowed here",
            ),
            Self::HeaderTimeout => (
                S::REQUEST_TIMEOUT,
                "header_timeout",
                "The header came too slowly",
            ),
            Self::BodyTimeout => (
                S::REQUEST_TIMEOUT,
                "body_timeout",
                "The body came too slowly",
            ),
            Self::LengthRequired => (
                S::LENGTH_REQUIRED,
                "length_required",
                "A length is required",
            ),
            Self::BodyTooLarge => (TOO_LARGE, "body_too_large", "The body is too large"),
            Self::TooManyEvents => (TOO_LARGE, "too_many_events", "Too many events in a batch"),
            Self::BatchTooLarge => (TOO_LARGE, "batch_too_large", "The batch is too large"),
            Self::UnsupportedMediaType => (
                UNSUPPORTED,
                "unsupported_media_type",
                "The media type is not supported",
            ),
            Self::UnsupportedEncoding => (
                UNSUPPORTED,
                "unsupported_encoding",
                "The encoding is not supported",
            ),
            Self::RateLimited => (
                S::TOO_MANY_REQUESTS,
                "rate_limited",
                "Too many events a second",
            ),
            Self::HeadersTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                "The header is too large",
            ),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "The collector failed"),
            Self::StreamUnavailable => (
                UNAVAILABLE,
                "stream_unavailable",
                "The stream cannot be reached",
            ),
            Self::StreamFull => (UNAVAILABLE, "stream_full", "The stream is full"),
            Self::ShuttingDown => (
                UNAVAILABLE,
                "shutting_down",
                "The collector is shutting down",
            ),
            Self::StoreUnavailable => (
                UNAVAILABLE,
                "store_unavailable",
                "The store cannot be reached",
            ),
            Self::CircuitOpen => (
                UNAVAILABLE,
                "circuit_open",
                "The stream fails and is left alone",
            ),
            Self::Overloaded => (
                UNAVAILABLE,
                "overloaded",
                "The collector has too much to do",
            ),
        }
    }

    /// The HTTP status it is answered with.
    pub const fn status(self) -> StatusCode {
        self.row().0
    }

    /// Its stable name, as in the contract: the body's `code`.
    pub const fn as_str(self) -> &'static str {
        self.row().1
    }

    /// Whether the same request may succeed later: a batch that is in the stream is stored soon.
    pub const fn retryable(self) -> bool {
        matches!(self.status().as_u16(), 408 | 429 | 500 | 503)
            || matches!(self, Self::BatchUnknown)
    }

    /// Whether the client is told when to try again, in 1 s unless set.
    pub const fn names_pause(self) -> bool {
        matches!(self.status().as_u16(), 429 | 503) || matches!(self, Self::BatchUnknown)
    }

    /// What it means, the same for every occurrence.
    pub const fn title(self) -> &'static str {
        self.row().2
    }
}
