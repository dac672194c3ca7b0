//! Why an event was rejected, or a whole batch refused: two closed lists.
//!
//! A [`Reason`] concerns one event and travels in a 200; a [`Refusal`] concerns a whole request and
//! decides its status. Names are part of the protocol: they never change, new ones may come.

/// Why one event is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not JSON by RFC 8259.
    InvalidJson,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// A `\u` escape of half a surrogate pair.
    LoneSurrogate,
    /// Nested deeper than 64.
    TooDeep,
    /// Longer than an event may be.
    TooLarge,
    /// Valid JSON, but not an object.
    NotObject,
    /// No `type`.
    NoType,
    /// A `type` that is no string of `[A-Za-z0-9_.:-]{1,128}`.
    BadType,
    /// An `id` that is no string of 1 to 128 printable ASCII characters without escapes.
    BadId,
    /// A `seq` that is no integer from 0 to 2^53-1.
    BadSeq,
    /// A `ts` that is no integer within ±(2^53-1).
    BadTs,
    /// An `age` that is no integer from 0 to 2^53-1.
    BadAge,
    /// A `weight` that is no positive finite number.
    BadWeight,
    /// A key that decodes to `_tg`, which only the gateway writes.
    ReservedKey,
    /// A protocol key that stands twice.
    DuplicateKey,
    /// The topic of its lane has been away for so long that its park log is full.
    LaneParked,
    /// A rule said so; the number is its position in the table, which knows the text.
    Rule(u16),
}

impl Reason {
    /// Every reason but the rules' own, for documentation and tests.
    pub const ALL: [Self; 16] = [
        Self::InvalidJson,
        Self::InvalidUtf8,
        Self::LoneSurrogate,
        Self::TooDeep,
        Self::TooLarge,
        Self::NotObject,
        Self::NoType,
        Self::BadType,
        Self::BadId,
        Self::BadSeq,
        Self::BadTs,
        Self::BadAge,
        Self::BadWeight,
        Self::ReservedKey,
        Self::DuplicateKey,
        Self::LaneParked,
    ];

    /// The word on the wire; a rule's own text is looked up by the caller.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::LoneSurrogate => "lone_surrogate",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
            Self::NotObject => "not_object",
            Self::NoType => "no_type",
            Self::BadType => "bad_type",
            Self::BadId => "bad_id",
            Self::BadSeq => "bad_seq",
            Self::BadTs => "bad_ts",
            Self::BadAge => "bad_age",
            Self::BadWeight => "bad_weight",
            Self::ReservedKey => "reserved_key",
            Self::DuplicateKey => "duplicate_key",
            Self::LaneParked => "lane_parked",
            Self::Rule(_) => "rule",
        }
    }
}

/// Why a whole request is refused. Status and text belong to the reason, so they stand together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such path.
    #[error(
        "no such path; batches go to POST /v1/batch, the SDK document is GET /v1/config, the pixel is GET /v1/pixel.gif"
    )]
    NotFound,
    /// The path exists, the method does not.
    #[error("this path takes {0}")]
    Method(&'static str),
    /// A write key is needed.
    #[error(
        "no write key; add ?key=… (public keys) or the header 'Authorization: Bearer …' (secret keys)"
    )]
    NoKey,
    /// The key is not known.
    #[error("unknown write key; check it against [[keys]] in the gateway's configuration")]
    UnknownKey,
    /// The key was known once.
    #[error("this write key is revoked; use the app's new one")]
    RevokedKey,
    /// The certificate is good, but nobody's.
    #[error(
        "no app belongs to the subject of this client certificate; add a key, or the subject to [[keys]]"
    )]
    UnknownSubject,
    /// The key is not for pages of this origin.
    #[error("this write key is not for pages of this origin; see 'origins' of the key in [[keys]]")]
    Origin,
    /// A secret key stood in the query, where proxies log it.
    #[error(
        "this is a secret key: send it as 'Authorization: Bearer …', and revoke it, because query strings are logged"
    )]
    SecretInQuery,
    /// A query parameter makes no sense.
    #[error("query parameter {0}: {1}")]
    Query(&'static str, &'static str),
    /// The body as sent is over the limit.
    #[error("the body is larger than {0} bytes as sent; split it in half under new batch ids")]
    BodyTooLarge(u64),
    /// The inflated body is over the limit.
    #[error("the body inflates to more than {0} bytes; split it in half under new batch ids")]
    InflatedTooLarge(u64),
    /// The body inflates too much for its size.
    #[error("the body inflates more than {0}:1; such bodies are refused as bombs")]
    Ratio(u64),
    /// Tier-2 output would be over the limit.
    #[error(
        "the events with their context come to more than {0} bytes; shorten the context or split the batch"
    )]
    OutputTooLarge(u64),
    /// Too many events.
    #[error("more than {0} events in one batch; split it under new batch ids")]
    TooManyEvents(u64),
    /// The coded body is damaged.
    #[error("the {0} body is damaged or cut short")]
    Damaged(&'static str),
    /// Something follows the last member of the coded body.
    #[error("bytes follow the end of the {0} body")]
    Trailing(&'static str),
    /// The header names one coding, the bytes another.
    #[error("Content-Encoding says {said}, but the body's first bytes say {is}")]
    CodingMismatch {
        /// What the header says.
        said: &'static str,
        /// What the bytes say.
        is: &'static str,
    },
    /// A coding that is not taken, or more than one.
    #[error("Content-Encoding must be one of gzip, deflate, zstd, identity, and only one")]
    Coding,
    /// There is nothing in the body.
    #[error("the body is empty; send NDJSON, a JSON array or one JSON object")]
    Empty,
    /// Line 1 announces a header but is not one.
    #[error("the header line is not valid: {0}")]
    Header(&'static str),
    /// The header line, its context or its report is over its limit.
    #[error("the {what} is larger than {limit} bytes")]
    HeaderTooLarge {
        /// Which part.
        what: &'static str,
        /// Its limit in bytes.
        limit: u64,
    },
    /// A protocol version from the future.
    #[error("this gateway speaks protocol version {0}; seal the batch again at that version")]
    Version(u64),
    /// Query and header contradict each other.
    #[error("the query says class {query}, the header says class {header}")]
    ClassConflict {
        /// From the query.
        query: u8,
        /// From the header.
        header: u8,
    },
    /// The header's count is not what came.
    #[error("the header announces {said} events, {is} came")]
    Count {
        /// From the header.
        said: u64,
        /// Counted.
        is: u64,
    },
    /// The body stopped before its announced end, or took too long.
    #[error("the body did not arrive within {0} ms")]
    BodyTimeout(u64),
    /// The connection broke inside the body.
    #[error("the body broke off")]
    BodyBroken,
    /// The batch id was used for other bytes.
    #[error("this batch id was used for other bytes; every batch needs an id of its own")]
    Conflict,
    /// Too many requests from one address; so many milliseconds until one fits.
    #[error("too many requests from this address; retry in {0} ms")]
    AddressRate(u64),
    /// Too many requests with one key; so many milliseconds until one fits.
    #[error("too many requests with this write key; retry in {0} ms")]
    KeyRate(u64),
    /// The address is under the anomaly guard's limit; so many milliseconds until one fits.
    #[error(
        "this address sends far more than others, or sends the same again and again, and is limited for a while; retry in {0} ms"
    )]
    Guarded(u64),
    /// The app's events are used up for this class; how long each class has to wait.
    #[error("the app has used up its events for class {0}; retry later")]
    AppEventsRate(u8, [u64; 3]),
    /// The app's bytes are used up for this class; how long each class has to wait.
    #[error("the app has used up its bytes for class {0}; retry later")]
    AppBytesRate(u8, [u64; 3]),
    /// Batches of this class pause until the pressure falls.
    #[error("the gateway is under pressure and takes no batches of class {0} now; retry later")]
    Pressure(u8),
    /// Memory for what is in flight is used up.
    #[error("the gateway is at its memory budget; retry later")]
    Busy,
    /// Neither Kafka nor the disk could take it.
    #[error("the batch could not be made durable; retry later")]
    NotDurable,
    /// The gateway is going down.
    #[error("the gateway is stopping; retry")]
    Stopping,
    /// No SDK document is configured.
    #[error("no SDK document is configured for this app")]
    NoDocument,
}

impl Refusal {
    /// The word on the wire and in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Method(_) => "method_not_allowed",
            Self::NoKey => "no_key",
            Self::UnknownKey => "unknown_key",
            Self::RevokedKey => "revoked_key",
            Self::UnknownSubject => "unknown_subject",
            Self::Origin => "origin",
            Self::SecretInQuery => "secret_in_query",
            Self::Query(..) => "bad_query",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::InflatedTooLarge(_) => "inflated_too_large",
            Self::Ratio(_) => "ratio",
            Self::OutputTooLarge(_) => "output_too_large",
            Self::TooManyEvents(_) => "too_many_events",
            Self::Damaged(_) => "damaged",
            Self::Trailing(_) => "trailing_bytes",
            Self::CodingMismatch { .. } => "coding_mismatch",
            Self::Coding => "unsupported_coding",
            Self::Empty => "empty",
            Self::Header(_) => "bad_header",
            Self::HeaderTooLarge { .. } => "header_too_large",
            Self::Version(_) => "version",
            Self::ClassConflict { .. } => "class_conflict",
            Self::Count { .. } => "count_mismatch",
            Self::BodyTimeout(_) => "body_timeout",
            Self::BodyBroken => "body_broken",
            Self::Conflict => "batch_conflict",
            Self::AddressRate(_) => "address_rate",
            Self::KeyRate(_) => "key_rate",
            Self::Guarded(_) => "guarded",
            Self::AppEventsRate(..) => "app_events_rate",
            Self::AppBytesRate(..) => "app_bytes_rate",
            Self::Pressure(_) => "pressure",
            Self::Busy => "busy",
            Self::NotDurable => "not_durable",
            Self::Stopping => "stopping",
            Self::NoDocument => "no_document",
        }
    }

    /// The HTTP status, which alone tells whether a retry can help.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound | Self::NoDocument => 404,
            Self::Method(_) => 405,
            Self::NoKey | Self::UnknownKey | Self::RevokedKey | Self::UnknownSubject => 401,
            Self::SecretInQuery | Self::Origin => 403,
            Self::AddressRate(_)
            | Self::KeyRate(_)
            | Self::Guarded(_)
            | Self::AppEventsRate(..)
            | Self::AppBytesRate(..) => 429,
            Self::BodyTooLarge(_)
            | Self::InflatedTooLarge(_)
            | Self::OutputTooLarge(_)
            | Self::TooManyEvents(_)
            | Self::Ratio(_) => 413,
            Self::Conflict => 409,
            Self::Coding => 415,
            Self::BodyTimeout(_) => 408,
            Self::Pressure(_) | Self::Busy | Self::NotDurable | Self::Stopping => 503,
            Self::Query(..)
            | Self::Damaged(_)
            | Self::Trailing(_)
            | Self::CodingMismatch { .. }
            | Self::Empty
            | Self::Header(_)
            | Self::HeaderTooLarge { .. }
            | Self::Version(_)
            | Self::ClassConflict { .. }
            | Self::Count { .. }
            | Self::BodyBroken => 400,
        }
    }

    /// The limit that was crossed, where there is one; it goes into the reply as `limit`.
    pub fn limit(&self) -> Option<u64> {
        match *self {
            Self::BodyTooLarge(limit)
            | Self::InflatedTooLarge(limit)
            | Self::OutputTooLarge(limit)
            | Self::TooManyEvents(limit)
            | Self::Ratio(limit)
            | Self::HeaderTooLarge { limit, .. } => Some(limit),
            _ => None,
        }
    }

    /// How long the client has to wait, where that is known exactly.
    pub fn wait_ms(&self) -> Option<u64> {
        match *self {
            Self::AddressRate(wait_ms) | Self::KeyRate(wait_ms) | Self::Guarded(wait_ms) => {
                Some(wait_ms)
            }
            Self::AppEventsRate(class, waits) | Self::AppBytesRate(class, waits) => {
                waits.get(usize::from(class)).copied()
            }
            _ => None,
        }
    }

    /// How long each class has to wait, where that differs.
    pub fn waits_ms(&self) -> [u64; 3] {
        match *self {
            Self::AppEventsRate(_, waits) | Self::AppBytesRate(_, waits) => waits,
            _ => [0; 3],
        }
    }

    /// Whether the same bytes may be taken later.
    pub fn retryable(&self) -> bool {
        matches!(self.status(), 408 | 425 | 429 | 500..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_distinct_names() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn only_what_may_pass_later_is_retryable() {
        assert!(Refusal::Busy.retryable());
        assert!(Refusal::Pressure(2).retryable());
        assert!(Refusal::KeyRate(1).retryable());
        assert!(Refusal::BodyTimeout(1).retryable());
        assert!(!Refusal::BodyTooLarge(1).retryable());
        assert!(!Refusal::UnknownKey.retryable());
    }
}
