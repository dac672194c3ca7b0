//! What an SDK makes of an answer, by the protocol's table of statuses.

use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A definitive 200: forget the batch.
    Taken(Taken),
    /// No retry can heal it.
    Refused,
    /// The gateway said that it did not take it (all): the same bytes again later.
    Later(Duration),
    /// Nobody knows whether it was taken: the same bytes again.
    Unclear,
}

/// The numbers of a definitive 200.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub accepted: u64,
    pub filtered: u64,
    pub rejected: Vec<(u16, String)>,
    /// The gateway only wrote tier 1.
    pub unchecked: bool,
}

/// Reads an answer to a batch of `count` events.
pub(super) fn read(
    status: u16,
    retry_after: Option<&str>,
    body: &[u8],
    batch: Uuid,
    count: u64,
) -> Verdict {
    match status {
        200 => taken(body, batch, count).map_or(Verdict::Unclear, Verdict::Taken),
        408 | 425 | 429 | 500.. => Verdict::Later(delay(retry_after, body)),
        400..500 => Verdict::Refused,
        _ => Verdict::Unclear,
    }
}

/// Only an echo of the batch id with numbers that add up is an answer of the gateway.
fn taken(body: &[u8], batch: Uuid, count: u64) -> Option<Taken> {
    #[derive(Deserialize)]
    struct Reply {
        batch: String,
        accepted: u64,
        #[serde(default)]
        filtered: u64,
        #[serde(default)]
        rejected: Vec<(u16, String)>,
        #[serde(default)]
        unchecked: bool,
    }
    let Reply { batch: echo, accepted, filtered, rejected, unchecked } =
        serde_json::from_slice(body).ok()?;
    let sum = accepted + filtered + rejected.len() as u64;
    let ours = echo.parse() == Ok(batch) && sum == count;
    ours.then_some(Taken { accepted, filtered, rejected, unchecked })
}

fn delay(retry_after: Option<&str>, body: &[u8]) -> Duration {
    #[derive(Deserialize)]
    struct Retry {
        retry_ms: u64,
    }
    let told = serde_json::from_slice::<Retry>(body).map_or(0, |retry| retry.retry_ms);
    let header_s: u64 = retry_after.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    Duration::from_millis(told.max(header_s.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Uuid = Uuid::from_u128(7);

    fn check(status: u16, body: &str) -> Verdict {
        read(status, None, body.replace("BATCH", &BATCH.to_string()).as_bytes(), BATCH, 3)
    }

    #[test]
    fn a_200_counts_if_it_echoes_and_adds_up() {
        let body =
            r#"{"batch":"BATCH","accepted":1,"filtered":1,"rejected":[[2,"no_type"]],"config":7}"#;
        let rejected = vec![(2, "no_type".to_owned())];
        let expected = Taken { accepted: 1, filtered: 1, rejected, unchecked: false };
        assert_eq!(check(200, body), Verdict::Taken(expected));
        let unchecked = check(200, r#"{"batch":"BATCH","accepted":3,"unchecked":true}"#);
        assert_eq!(
            unchecked,
            Verdict::Taken(Taken { accepted: 3, unchecked: true, ..Taken::default() })
        );
        for body in [
            "",
            "<html>welcome to the hotel</html>",
            r#"{"batch":"BATCH","accepted":2}"#,
            r#"{"batch":"00000000-0000-7000-8000-000000000000","accepted":3}"#,
        ] {
            assert_eq!(check(200, body), Verdict::Unclear, "{body}");
        }
    }

    #[test]
    fn other_statuses_follow_the_table() {
        for status in [400, 401, 403, 404, 409, 413, 415] {
            assert_eq!(check(status, "{}"), Verdict::Refused);
        }
        for status in [204, 301, 302] {
            assert_eq!(check(status, ""), Verdict::Unclear);
        }
        for status in [408, 425, 429, 500, 503] {
            let told = check(status, r#"{"retry_ms":250,"pressure":2}"#);
            assert_eq!(told, Verdict::Later(Duration::from_millis(250)));
            assert_eq!(check(status, "garbage"), Verdict::Later(Duration::ZERO));
        }
        let header = read(503, Some("2"), b"", BATCH, 3);
        assert_eq!(header, Verdict::Later(Duration::from_secs(2)));
    }
}
