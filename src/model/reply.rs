//! What the client is told: a status and a JSON body. The edge turns it into HTTP.

use uuid::Uuid;

use super::Refusal;

/// An answer, free of any HTTP library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// JSON text.
    pub body: String,
    /// For `Retry-After` and `retry_ms`.
    pub retry_ms: Option<u64>,
    /// For `Allow`.
    pub allow: Option<&'static str>,
    /// The metric label of a refusal; empty for a 200.
    pub reason: &'static str,
}

impl Reply {
    /// The definitive answer to a batch.
    pub fn settled<'a>(
        batch: Uuid,
        accepted: u64,
        filtered: u64,
        rejected: impl Iterator<Item = (u32, &'a str)>,
        config: u64,
    ) -> Self {
        let mut list = String::new();
        for (index, reason) in rejected {
            let mut number = itoa::Buffer::new();
            let comma = if list.is_empty() { "" } else { "," };
            list.extend([comma, "[", number.format(index), ",\"", reason, "\"]"]);
        }
        let body = format!(
            r#"{{"batch":"{batch}","accepted":{accepted},"filtered":{filtered},"rejected":[{list}],"config":{config}}}"#
        );
        Self { status: 200, body, retry_ms: None, allow: None, reason: "" }
    }

    /// The answer to a request that is refused as a whole.
    pub fn refused(refusal: &Refusal, retry_ms: u64) -> Self {
        // Texts are our own and fixed; quoting them still goes through the library.
        let text = serde_json::Value::from(refusal.to_string());
        let mut body = format!(r#"{{"error":{text},"reason":"{}""#, refusal.name());
        let mut write = |name: &str, value: u64| {
            body.extend([",\"", name, "\":", itoa::Buffer::new().format(value)]);
        };
        if let Refusal::Version(max) = refusal {
            write("max", *max);
        }
        if let Some(limit) = refusal.limit() {
            write("limit", limit);
        }
        let retry_ms = refusal.retryable().then_some(retry_ms);
        if let Some(retry_ms) = retry_ms {
            write("retry_ms", retry_ms);
        }
        body.push('}');
        let allow = match refusal {
            Refusal::Method(allow) => Some(*allow),
            _ => None,
        };
        Self { status: refusal.status(), body, retry_ms, allow, reason: refusal.name() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_as_the_protocol_says() {
        let reply = Reply::settled(Uuid::nil(), 2, 0, [(3, "too_large")].into_iter(), 7);
        let expected = concat!(
            r#"{"batch":"00000000-0000-0000-0000-000000000000","accepted":2,"filtered":0,"#,
            r#""rejected":[[3,"too_large"]],"config":7}"#
        );
        assert_eq!(reply.body, expected);
        let reply = Reply::refused(&Refusal::Version(1), 5_000);
        assert!(reply.body.ends_with(r#""reason":"version","max":1}"#), "{}", reply.body);
        let reply = Reply::refused(&Refusal::Busy, 5_000);
        assert_eq!((reply.status, reply.retry_ms), (503, Some(5_000)));
        assert!(reply.body.ends_with(r#""reason":"busy","retry_ms":5000}"#), "{}", reply.body);
        let reply = Reply::refused(&Refusal::BodyTooLarge(921_600), 0);
        assert!(reply.body.ends_with(r#""reason":"body_too_large","limit":921600}"#));
    }
}
