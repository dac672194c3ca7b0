//! One SDK document as it is sent: bytes and tag, made beforehand.
//!
//! In: what a file says and what the gateway does on its own. Out: an answer for any moment, which
//! costs a look-up. While a kill lasts, `off_ms` shrinks: the text is made anew once a second then.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use hyper::header::HeaderValue;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::content::{Batch, Content, Level, OFF_MS_MAX, Queue, Rate, Retry, Unit};
use crate::model::Advice;

/// What the gateway announces of itself in every document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Announced {
    /// Largest body as sent.
    pub body_bytes: u64,
    /// Largest body after inflating.
    pub inflated_bytes: u64,
    /// Most events in a batch.
    pub events: u64,
    /// Largest event.
    pub event_bytes: u64,
    /// Largest context.
    pub context_bytes: u64,
    /// How long batches are remembered, in seconds.
    #[serde(skip)]
    pub dedupe_s: u64,
}

/// A text with its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// JSON.
    pub body: Bytes,
    /// A strong entity tag: other bytes have another one.
    pub tag: HeaderValue,
}

/// The pressure levels, each with a text of its own.
const LEVELS: u8 = 4;

/// See the file's header.
#[derive(Debug)]
pub struct Prepared {
    /// What replies announce as `config`.
    pub version: u64,
    /// What the file says; none for a file that is sent as it is.
    content: Option<Content>,
    calm: Vec<Text>,
    kill: Option<Kill>,
}

/// A kill switch that is set.
#[derive(Debug)]
struct Kill {
    until_ms: i64,
    version: u64,
    purge: bool,
    rests: Vec<String>,
    latest: ArcSwapOption<Killed>,
}

#[derive(Debug)]
struct Killed {
    off_ms: i64,
    level: u8,
    text: Text,
}

/// The step in which `off_ms` shrinks.
const STEP_MS: i64 = 1_000;

impl Prepared {
    /// A document whose text is used as it is.
    pub(super) fn verbatim(text: &[u8], version: u64) -> Self {
        let text = Text::new(Bytes::copy_from_slice(text));
        Self { version, content: None, calm: vec![text], kill: None }
    }

    /// Makes all texts of a document.
    pub(super) fn new(content: Content, version: u64, announced: &Announced) -> Self {
        let rests: Vec<String> =
            (0..LEVELS).map(|level| rest(&content, announced, level)).collect();
        let calm = rests.iter().map(|rest| Text::of(version, 0, false, rest)).collect();
        let kill = content.off_until_ms().map(|until_ms| Kill {
            until_ms,
            version,
            purge: content.purge,
            rests,
            latest: ArcSwapOption::empty(),
        });
        Self { version, content: Some(content), calm, kill }
    }

    /// Whether both say the same, apart from their version and what the gateway adds.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        match (&self.content, &other.content) {
            (Some(one), Some(two)) => {
                let plain = |content: &Content| Content { version: 0, ..content.clone() };
                plain(one) == plain(two)
            }
            (None, None) => self.calm == other.calm,
            _ => false,
        }
    }

    /// Everything that it can say, but for the time that a kill has left.
    pub(super) fn texts(&self) -> (&[Text], Option<(i64, bool)>) {
        (&self.calm, self.kill.as_ref().map(|kill| (kill.until_ms, kill.purge)))
    }

    /// What is sent now.
    pub fn text(&self, now_ms: i64, level: u8) -> Text {
        let level = level.min(LEVELS - 1);
        if let Some(kill) = &self.kill
            && now_ms < kill.until_ms
        {
            return kill.text(now_ms, level);
        }
        let calm = self.calm.get(usize::from(level)).or(self.calm.first());
        calm.cloned().unwrap_or_else(|| Text::new(Bytes::from_static(b"{}")))
    }
}

impl Kill {
    fn text(&self, now_ms: i64, level: u8) -> Text {
        let left_ms = (self.until_ms - now_ms).min(OFF_MS_MAX);
        // Up, so that it never ends before its time.
        let off_ms = (left_ms + STEP_MS - 1) / STEP_MS * STEP_MS;
        let latest = self.latest.load();
        if let Some(latest) = latest.as_ref().filter(|it| (it.off_ms, it.level) == (off_ms, level))
        {
            return latest.text.clone();
        }
        let rest = self.rests.get(usize::from(level)).map_or("}", String::as_str);
        let text = Text::of(self.version, off_ms, self.purge, rest);
        self.latest.store(Some(Arc::new(Killed { off_ms, level, text: text.clone() })));
        text
    }
}

impl Text {
    fn of(version: u64, off_ms: i64, purge: bool, rest: &str) -> Self {
        let head = format!(r#"{{"version":{version},"off_ms":{off_ms},"purge":{purge},"#);
        Self::new(Bytes::from(head + rest))
    }

    fn new(body: Bytes) -> Self {
        let digest: [u8; 32] = Sha256::digest(&body).into();
        let head = digest.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
        let tag = HeaderValue::from_str(&format!("\"{head:016x}\""));
        Self { body, tag: tag.unwrap_or_else(|_| HeaderValue::from_static("\"0\"")) }
    }
}

/// Everything behind `purge`, in the protocol's order.
#[derive(Serialize)]
struct Rest<'a> {
    sample: &'a BTreeMap<String, f64>,
    sample_by: Unit,
    batch: Batch,
    queue: &'a Queue,
    rate: &'a Rate,
    retry: &'a Retry,
    ttl_s: u64,
    dedupe_s: u64,
    classes: &'a BTreeMap<String, u8>,
    degrade: Vec<Degrade>,
    limits: &'a Announced,
    #[serde(skip_serializing_if = "is_zero")]
    pressure: u8,
}

/// What happens at one pressure: the shares from the file, and the classes that the gateway refuses.
#[derive(Serialize)]
struct Degrade {
    pressure: u8,
    classes: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pause: Vec<u8>,
}

fn rest(content: &Content, announced: &Announced, level: u8) -> String {
    let batch = Batch {
        events: content.batch.events.min(announced.events),
        bytes: content.batch.bytes.min(announced.body_bytes),
        ms: content.batch.ms,
    };
    let rest = Rest {
        sample: &content.sample,
        sample_by: content.sample_by,
        batch,
        queue: &content.queue,
        rate: &content.rate,
        retry: &content.retry,
        ttl_s: content.ttl_s,
        dedupe_s: content.dedupe_s.min(announced.dedupe_s),
        classes: &content.classes,
        degrade: degrade(&content.degrade),
        limits: announced,
        pressure: level,
    };
    // Numbers and texts alone: this cannot fail.
    let text = serde_json::to_string(&rest).unwrap_or_else(|_| "{}".to_owned());
    text.strip_prefix('{').unwrap_or("}").to_owned()
}

/// Every level of the gateway, with the file's shares: a higher pressure never keeps more.
fn degrade(levels: &[Level]) -> Vec<Degrade> {
    let mut kept: BTreeMap<String, f64> = BTreeMap::new();
    (1..LEVELS)
        .map(|pressure| {
            for said in levels.iter().filter(|said| said.pressure == pressure) {
                for (class, rate) in &said.classes {
                    let kept = kept.entry(class.clone()).or_insert(*rate);
                    *kept = kept.min(*rate);
                }
            }
            let pause = Advice { level: pressure, ..Advice::default() }.paused().collect();
            Degrade { pressure, classes: kept.clone(), pause }
        })
        .collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(level: &u8) -> bool {
    *level == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNOUNCED: Announced = Announced {
        body_bytes: 921_600,
        inflated_bytes: 8_388_608,
        events: 5_000,
        event_bytes: 262_144,
        context_bytes: 4_096,
        dedupe_s: 600,
    };

    fn text(prepared: &Prepared, now_ms: i64, level: u8) -> String {
        String::from_utf8(prepared.text(now_ms, level).body.to_vec()).expect("JSON is UTF-8")
    }

    #[test]
    fn the_defaults_have_their_text() {
        let prepared = Prepared::new(Content::default(), 7, &ANNOUNCED);
        let expected = concat!(
            r#"{"version":7,"off_ms":0,"purge":false,"sample":{"*":1.0},"sample_by":"instance","#,
            r#""batch":{"events":100,"bytes":49152,"ms":5000},"#,
            r#""queue":{"bytes":1048576,"floors":[262144,131072,65536]},"#,
            r#""rate":{"per_s":50,"burst":200},"retry":{"base_ms":1000,"cap_ms":60000},"#,
            r#""ttl_s":86400,"dedupe_s":600,"classes":{},"#,
            r#""degrade":[{"pressure":1,"classes":{"2":0.2}},"#,
            r#"{"pressure":2,"classes":{"2":0.05},"pause":[2]},"#,
            r#"{"pressure":3,"classes":{"1":0.2,"2":0.01},"pause":[1,2]}],"#,
            r#""limits":{"body_bytes":921600,"inflated_bytes":8388608,"events":5000,"#,
            r#""event_bytes":262144,"context_bytes":4096}}"#,
        );
        assert_eq!(text(&prepared, 0, 0), expected);
        let pressed = expected.strip_suffix('}').expect("an object").to_owned();
        assert_eq!(text(&prepared, 0, 2), pressed + r#","pressure":2}"#);
        assert_ne!(prepared.text(0, 0).tag, prepared.text(0, 2).tag);
    }

    #[test]
    fn a_kill_shrinks_and_ends_by_itself() {
        let until_ms = 1_767_225_600_000;
        let off_until = "2026-01-01T00:00:00Z".to_owned();
        let content = Content { off_until, purge: true, ..Content::default() };
        let prepared = Prepared::new(content, 7, &ANNOUNCED);
        let head =
            |now_ms| text(&prepared, now_ms, 0).split(",\"sample\"").next().map(str::to_owned);
        let said = |off_ms: i64, purge: bool| {
            Some(format!(r#"{{"version":7,"off_ms":{off_ms},"purge":{purge}"#))
        };
        assert_eq!(head(until_ms - 90_000), said(90_000, true));
        assert_eq!(head(until_ms - 89_999), said(90_000, true));
        assert_eq!(head(until_ms - 89_000), said(89_000, true));
        assert_eq!(head(until_ms - 1), said(1_000, true));
        assert_eq!(head(until_ms), said(0, false));
        assert_eq!(head(until_ms - 9 * OFF_MS_MAX), said(OFF_MS_MAX, true), "a day at most");
        let tag = |now_ms| prepared.text(now_ms, 0).tag;
        assert_eq!(tag(until_ms - 5_900), tag(until_ms - 5_100));
        assert_ne!(tag(until_ms - 5_900), tag(until_ms - 4_900));
        assert_eq!(tag(until_ms), tag(i64::MAX));
    }

    #[test]
    fn the_gateways_limits_are_folded_in() {
        let announced = Announced { events: 10, body_bytes: 2_000, dedupe_s: 5, ..ANNOUNCED };
        let text = text(&Prepared::new(Content::default(), 1, &announced), 0, 0);
        assert!(text.contains(r#""batch":{"events":10,"bytes":2000,"ms":5000}"#), "{text}");
        assert!(text.contains(r#""dedupe_s":5"#), "{text}");
        let more = Level { pressure: 2, classes: BTreeMap::from([("2".to_owned(), 0.9)]) };
        let less = Level { pressure: 1, classes: BTreeMap::from([("2".to_owned(), 0.5)]) };
        let folded = degrade(&[more, less]);
        assert!(folded.iter().all(|level| level.classes["2"] <= 0.5), "never more than below");
    }
}
