//! What the client is told: a status and a JSON body. The edge turns it into HTTP.

use uuid::Uuid;

use super::{Advice, Refusal};

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
        advice: Advice,
    ) -> Self {
        let mut list = String::new();
        for (index, reason) in rejected {
            let mut number = itoa::Buffer::new();
            let comma = if list.is_empty() { "" } else { "," };
            list.extend([comma, "[", number.format(index), ",\"", reason, "\"]"]);
        }
        let mut body = format!(
            r#"{{"batch":"{batch}","accepted":{accepted},"filtered":{filtered},"rejected":[{list}],"config":{config}"#
        );
        close(&mut body, advice);
        Self { status: 200, body, retry_ms: None, allow: None, reason: "" }
    }

    /// The answer to a request that is refused as a whole.
    pub fn refused(refusal: &Refusal, advice: Advice) -> Self {
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
        let retry_ms = refusal.retryable().then_some(match refusal {
            Refusal::Pressure(class) => advice.pause_ms(*class),
            _ => advice.retry_ms,
        });
        if let Some(retry_ms) = retry_ms {
            write("retry_ms", retry_ms);
        }
        close(&mut body, advice);
        let allow = match refusal {
            Refusal::Method(allow) => Some(*allow),
            _ => None,
        };
        Self { status: refusal.status(), body, retry_ms, allow, reason: refusal.name() }
    }
}

/// Ends a body with the pressure and the classes that pause; at level 0 nothing is said of it.
fn close(body: &mut String, advice: Advice) {
    let mut number = itoa::Buffer::new();
    let mut comma = "";
    for class in advice.paused() {
        body.push_str(if comma.is_empty() { ",\"limits\":[" } else { comma });
        comma = ",";
        body.extend(["[", number.format(class), ","]);
        body.extend([number.format(advice.pause_ms(class)), "]"]);
    }
    if !comma.is_empty() {
        body.push(']');
    }
    if advice.level > 0 {
        body.extend([",\"pressure\":", number.format(advice.level)]);
    }
    body.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Advice = Advice { level: 0, retry_ms: 5_000, calm_ms: 0, hold_ms: 10_000 };

    fn settled(advice: Advice) -> String {
        Reply::settled(Uuid::nil(), 2, 0, [(3, "too_large")].into_iter(), 7, advice).body
    }

    #[test]
    fn bodies_are_as_the_protocol_says() {
        let expected = concat!(
            r#"{"batch":"00000000-0000-0000-0000-000000000000","accepted":2,"filtered":0,"#,
            r#""rejected":[[3,"too_large"]],"config":7}"#
        );
        assert_eq!(settled(CALM), expected);
        let reply = Reply::refused(&Refusal::Version(1), CALM);
        assert!(reply.body.ends_with(r#""reason":"version","max":1}"#), "{}", reply.body);
        let reply = Reply::refused(&Refusal::Busy, CALM);
        assert_eq!((reply.status, reply.retry_ms), (503, Some(5_000)));
        assert!(reply.body.ends_with(r#""reason":"busy","retry_ms":5000}"#), "{}", reply.body);
        let reply = Reply::refused(&Refusal::BodyTooLarge(921_600), CALM);
        assert!(reply.body.ends_with(r#""reason":"body_too_large","limit":921600}"#));
    }

    #[test]
    fn pressure_and_limits_are_told_in_every_reply() {
        for (level, said) in [
            (1, r#","pressure":1}"#),
            (2, r#","limits":[[2,10000]],"pressure":2}"#),
            (3, r#","limits":[[1,10000],[2,20000]],"pressure":3}"#),
        ] {
            let advice = Advice { level, ..CALM };
            assert!(settled(advice).ends_with(&format!(r#""config":7{said}"#)));
            let reply = Reply::refused(&Refusal::Busy, advice);
            assert!(reply.body.ends_with(&format!(r#""retry_ms":5000{said}"#)), "{}", reply.body);
            let reply = Reply::refused(&Refusal::Pressure(2), advice);
            let pause_ms = advice.pause_ms(2);
            let pause = format!(r#""reason":"pressure","retry_ms":{pause_ms}{said}"#);
            assert!(reply.body.ends_with(&pause), "{}", reply.body);
            assert_eq!((reply.status, reply.retry_ms), (503, Some(pause_ms)));
            assert!(serde_json::from_str::<serde_json::Value>(&reply.body).is_ok());
        }
    }
}
