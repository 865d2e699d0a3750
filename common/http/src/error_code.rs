//! The closed list of reasons for which a request is refused, each with its status, name and title.

use http::StatusCode;

/// The reason for which a request is refused.
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

/// What a code implies.
struct Row {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
}

const fn row(status: StatusCode, name: &'static str, title: &'static str) -> Row {
    Row {
        status,
        name,
        title,
    }
}

impl ErrorCode {
    /// Every code, in the order of its status.
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

    const fn row(self) -> Row {
        use StatusCode as S;
        const TOO_LARGE: S = S::PAYLOAD_TOO_LARGE;
        const UNSUPPORTED: S = S::UNSUPPORTED_MEDIA_TYPE;
        const UNAVAILABLE: S = S::SERVICE_UNAVAILABLE;
        match self {
            Self::MalformedRequest => row(
                S::BAD_REQUEST,
                "malformed_request",
                "The request is not HTTP",
            ),
            Self::MalformedJson => row(
                S::BAD_REQUEST,
                "malformed_json",
                "The body cannot be parsed",
            ),
            Self::InvalidEnvelope => row(
                S::BAD_REQUEST,
                "invalid_envelope",
                "The envelope is invalid",
            ),
            Self::InvalidParameter => row(
                S::BAD_REQUEST,
                "invalid_parameter",
                "A parameter is invalid",
            ),
            Self::Unauthenticated => row(
                S::UNAUTHORIZED,
                "unauthenticated",
                "A valid API key is required",
            ),
            Self::WrongDeveloper => row(
                S::FORBIDDEN,
                "wrong_developer",
                "The key is another developer's",
            ),
            Self::ScopeMissing => row(S::FORBIDDEN, "scope_missing", "The key may not do this"),
            Self::NotFound => row(S::NOT_FOUND, "not_found", "There is nothing here"),
            Self::BatchUnknown => row(S::NOT_FOUND, "batch_unknown", "No such batch is stored"),
            Self::MethodNotAllowed => row(
                S::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "The method is not allowed here",
            ),
            Self::HeaderTimeout => row(
                S::REQUEST_TIMEOUT,
                "header_timeout",
                "The header came too slowly",
            ),
            Self::BodyTimeout => row(
                S::REQUEST_TIMEOUT,
                "body_timeout",
                "The body came too slowly",
            ),
            Self::LengthRequired => row(
                S::LENGTH_REQUIRED,
                "length_required",
                "A length is required",
            ),
            Self::BodyTooLarge => row(TOO_LARGE, "body_too_large", "The body is too large"),
            Self::TooManyEvents => row(TOO_LARGE, "too_many_events", "Too many events in a batch"),
            Self::BatchTooLarge => row(TOO_LARGE, "batch_too_large", "The batch is too large"),
            Self::UnsupportedMediaType => row(
                UNSUPPORTED,
                "unsupported_media_type",
                "The media type is not supported",
            ),
            Self::UnsupportedEncoding => row(
                UNSUPPORTED,
                "unsupported_encoding",
                "The encoding is not supported",
            ),
            Self::RateLimited => row(
                S::TOO_MANY_REQUESTS,
                "rate_limited",
                "Too much from one sender",
            ),
            Self::HeadersTooLarge => row(
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                "The header is too large",
            ),
            Self::Internal => row(S::INTERNAL_SERVER_ERROR, "internal", "The collector failed"),
            Self::StreamUnavailable => row(
                UNAVAILABLE,
                "stream_unavailable",
                "The stream cannot be reached",
            ),
            Self::StreamFull => row(UNAVAILABLE, "stream_full", "The stream is full"),
            Self::ShuttingDown => row(
                UNAVAILABLE,
                "shutting_down",
                "The collector is shutting down",
            ),
            Self::StoreUnavailable => row(
                UNAVAILABLE,
                "store_unavailable",
                "The store cannot be reached",
            ),
            Self::CircuitOpen => row(
                UNAVAILABLE,
                "circuit_open",
                "The stream fails and is left alone",
            ),
            Self::Overloaded => row(
                UNAVAILABLE,
                "overloaded",
                "The collector has too much to do",
            ),
        }
    }

    /// The HTTP status of the response.
    pub const fn status(self) -> StatusCode {
        self.row().status
    }

    /// The stable name: the body's `code`.
    pub const fn as_str(self) -> &'static str {
        self.row().name
    }

    /// Whether the same request may succeed later: a batch that is in the stream is stored soon.
    pub const fn retryable(self) -> bool {
        matches!(self.status().as_u16(), 408 | 429 | 500 | 503)
            || matches!(self, Self::BatchUnknown)
    }

    /// Whether the reply names a time after which to try again; 1 s unless set.
    pub const fn names_retry_after(self) -> bool {
        matches!(self.status().as_u16(), 429 | 503) || matches!(self, Self::BatchUnknown)
    }

    /// The meaning, the same for every occurrence.
    pub const fn title(self) -> &'static str {
        self.row().title
    }
}
