//! How an export request may end: the answer to its sender, and the label by which it is counted.

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnd {
    /// All of it is durable.
    Accepted,
    /// It is durable but for spans that cannot be used.
    Partial,
    /// Its body is no OTLP request, or does not inflate.
    BadData,
    /// It is larger than the limit, as it came or inflated.
    TooLarge,
    /// Its content type is neither protobuf nor JSON.
    UnsupportedType,
    /// Its compression is not one that we know.
    UnsupportedEncoding,
    /// Its HTTP method is not POST.
    WrongMethod,
    /// It is for another path, signal or gRPC method.
    NotFound,
    /// Its body did not come in time.
    TimedOut,
    /// The client went away before its answer. What it sent whole may be durable, and counts then.
    Disconnected,
    /// Too many bytes are in flight, or the commit queue is full.
    Overloaded,
    /// The journal cannot be written.
    Storage,
    /// The server is stopping.
    Stopping,
    /// It names no tenant, or brings no token that is known.
    Unauthenticated,
    /// Its tenant is not one that may send here.
    Forbidden,
    /// Its tenant sends more than it may.
    RateLimited,
}

impl RequestEnd {
    /// Every value; the position is the index of its counter.
    pub const ALL: [Self; 16] = [
        Self::Accepted,
        Self::Partial,
        Self::BadData,
        Self::TooLarge,
        Self::UnsupportedType,
        Self::UnsupportedEncoding,
        Self::WrongMethod,
        Self::NotFound,
        Self::TimedOut,
        Self::Disconnected,
        Self::Overloaded,
        Self::Storage,
        Self::Stopping,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::RateLimited,
    ];

    /// The word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Partial => "partial",
            Self::BadData => "bad_data",
            Self::TooLarge => "too_large",
            Self::UnsupportedType => "unsupported_type",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::WrongMethod => "wrong_method",
            Self::NotFound => "not_found",
            Self::TimedOut => "timed_out",
            Self::Disconnected => "disconnected",
            Self::Overloaded => "overloaded",
            Self::Storage => "storage",
            Self::Stopping => "stopping",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
        }
    }
}
