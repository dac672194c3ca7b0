//! The query string of the ingest paths. Unknown parameters are ignored, damaged ones refused.

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::model::Refusal;

/// What a query says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// `key`.
    pub key: Option<String>,
    /// `class`: 0, 1 or 2.
    pub class: Option<u8>,
    /// `attempt`; 0 when absent.
    pub attempt: u32,
    /// `sent`, Unix milliseconds.
    pub sent_ms: Option<i64>,
    /// `wait`, milliseconds.
    pub wait_ms: Option<u64>,
    /// `type` of a pixel.
    kind: Option<String>,
    /// `d` of a pixel.
    payload: Option<String>,
}

impl Query {
    /// Reads a query string.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, raw) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = || percent_decode_str(raw).decode_utf8_lossy().into_owned();
            match name {
                "key" => query.key = Some(plain()),
                "class" => query.class = Some(class(raw)?),
                "attempt" => query.attempt = number(raw, "attempt")?,
                "sent" => query.sent_ms = Some(number::<u64>(raw, "sent")?.cast_signed()),
                "wait" => query.wait_ms = Some(number(raw, "wait")?),
                "type" => query.kind = Some(plain()),
                "d" => query.payload = Some(plain()),
                _ => {}
            }
        }
        Ok(query)
    }

    /// The body of a pixel: what `d` holds, or one event of the type.
    pub fn pixel_body(&self) -> Result<Bytes, Refusal> {
        let bad = |what| Refusal::Query("d", what);
        let payload = match &self.payload {
            Some(text) => decode_base64url(text).ok_or(bad("must be base64url"))?,
            None => Vec::new(),
        };
        let Some(kind) = &self.kind else {
            return Ok(Bytes::from(payload));
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        if !(1..=128).contains(&kind.len()) || !kind.bytes().all(allowed) {
            return Err(Refusal::Query("type", "must be 1 to 128 of A-Z a-z 0-9 _ . : -"));
        }
        let payload = String::from_utf8(payload).map_err(|_| bad("must be UTF-8"))?;
        Ok(Bytes::from(with_type(kind, payload.trim())))
    }
}

/// With `type` in the query, `d` is that event's props, unless it brings a type of its own.
fn with_type(kind: &str, payload: &str) -> String {
    let typed = crate::json::field(payload.as_bytes(), &["type".to_owned()]).is_some();
    match payload {
        "" => format!(r#"{{"type":"{kind}"}}"#),
        payload if typed || !payload.starts_with('{') => payload.to_owned(),
        payload => format!(r#"{{"type":"{kind}","props":{payload}}}"#),
    }
}

fn class(raw: &str) -> Result<u8, Refusal> {
    match raw {
        "0" => Ok(0),
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err(Refusal::Query("class", "must be 0, 1 or 2")),
    }
}

/// Integers up to 2^53-1, as the protocol has them everywhere.
fn number<T: TryFrom<u64>>(raw: &str, name: &'static str) -> Result<T, Refusal> {
    let digits =
        !raw.is_empty() && raw.len() <= 16 && raw.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if digits { raw.parse::<u64>().ok() } else { None };
    parsed
        .filter(|number| *number < 1 << 53)
        .and_then(|number| T::try_from(number).ok())
        .ok_or(Refusal::Query(name, "must be an integer from 0 to 2^53-1"))
}

/// RFC 4648 section 5, with or without padding; the standard alphabet is understood as well.
fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' | b' ' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    (text.len() % 4 != 1).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_sdks_send() {
        let query = Query::parse("key=wk%5Fdemo&class=2&attempt=3&sent=1767225600000&wait=12&x=1");
        let query = query.expect("valid");
        assert_eq!(query.key.as_deref(), Some("wk_demo"));
        assert_eq!((query.class, query.attempt), (Some(2), 3));
        assert_eq!((query.sent_ms, query.wait_ms), (Some(1_767_225_600_000), Some(12)));
        assert_eq!(Query::parse(""), Ok(Query::default()));
    }

    #[test]
    fn damaged_numbers_are_refused() {
        for text in
            ["class=3", "class=", "attempt=-1", "sent=9007199254740992", "wait=1e3", "sent=+5"]
        {
            assert!(matches!(Query::parse(text), Err(Refusal::Query(..))), "{text}");
        }
    }

    #[test]
    fn a_pixel_is_one_event() {
        for (text, body) in [
            ("type=open", r#"{"type":"open"}"#),
            ("type=open&d=eyJhIjoxfQ", r#"{"type":"open","props":{"a":1}}"#),
            ("d=eyJ0eXBlIjoieCJ9", r#"{"type":"x"}"#),
            ("type=open&d=eyJ0eXBlIjoieCJ9", r#"{"type":"x"}"#),
            ("", ""),
        ] {
            let query = Query::parse(text).expect("valid");
            assert_eq!(query.pixel_body().expect("valid"), body, "{text}");
        }
        for text in ["type=a%20b", "d=%21", "type=x&d=_w"] {
            assert!(Query::parse(text).expect("a query").pixel_body().is_err(), "{text}");
        }
    }
}
