//! What came, as JSON for checks and as bytes for invariants.
//!
//! In: whole requests and what became of them. Out: lists in the order of virtual time and class.
//! Bodies that are not what they should be are kept with a note, which the invariants report.

use std::collections::BTreeSet;
use std::io::Read as _;

use serde_json::{Map, Value, json};

use super::http::Head;

/// Everything that came.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Batch requests that arrived whole.
    pub sends: Vec<Sent>,
    /// Configuration requests.
    pub configs: Vec<Value>,
    /// Requests to other places.
    pub others: Vec<Value>,
    /// Preflights.
    pub preflights: usize,
    /// Requests that did not arrive whole.
    pub broken: usize,
    /// Events taken: node, epoch, seq, marker.
    pub taken: Vec<Taken>,
    /// Batches that a node has taken.
    pub settled: BTreeSet<(String, String)>,
    /// Last reports of epochs that were taken.
    pub fins: Vec<Value>,
}

/// One batch request.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its fields for checks.
    pub shown: Value,
    /// The body as it was sent.
    pub raw: Vec<u8>,
    /// The body inflated.
    pub plain: Vec<u8>,
    /// What is wrong with it, if anything is.
    pub fault: Option<String>,
}

/// One event that a node took.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// Which node.
    pub node: String,
    /// Epoch of its batch.
    pub epoch: String,
    /// Its sequence number.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// The driver's number for it, if it has one.
    pub marker: Option<i64>,
}

/// Most bytes of an inflated body; the protocol's limit.
const PLAIN_BYTES_MAX: u64 = 8 << 20;

impl Sent {
    /// Reads a body; never fails.
    pub(super) fn new(head: &Head, raw: Vec<u8>, now_ms: i64) -> Self {
        let gzip = raw.starts_with(&[0x1f, 0x8b]);
        let (plain, mut fault) = if gzip { inflate(&raw) } else { (raw.clone(), None) };
        let mut lines = Vec::new();
        let text = String::from_utf8_lossy(&plain);
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            match serde_json::from_str::<Value>(line) {
                Ok(value) => lines.push((keys(line), value)),
                Err(error) => fault = fault.or(Some(format!("a line is no JSON: {error}"))),
            }
        }
        let mut lines = lines.into_iter();
        let (header_keys, header) = lines.next().unwrap_or_default();
        let (event_keys, events): (Vec<_>, Vec<_>) =
            lines.map(|(keys, event)| (keys.join(","), event)).unzip();
        let at = |name: &str| head.query.get(name).cloned().unwrap_or(Value::Null);
        let shown = json!({
            "at_ms": now_ms, "path": head.path, "method": head.method, "query": head.query,
            "headers": head.headers, "batch": header.get("batch"), "class": at("class"),
            "attempt": at("attempt"), "key": at("key"), "count": events.len(), "gzip": gzip,
            "bytes": raw.len(), "plain_bytes": plain.len(), "header": header,
            "header_keys": header_keys, "events": events, "event_keys": event_keys,
            "content_type": media_type(&head.headers),
        });
        Self { shown, raw, plain, fault }
    }

    /// The id of the batch.
    pub fn batch(&self) -> &str {
        self.shown.get("batch").and_then(Value::as_str).unwrap_or_default()
    }

    /// The number of events.
    pub fn count(&self) -> usize {
        self.events().len()
    }

    /// The events.
    pub fn events(&self) -> &[Value] {
        self.shown.get("events").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The epoch.
    pub fn epoch(&self) -> &str {
        let epoch = self.shown.pointer("/header/epoch");
        epoch.and_then(Value::as_str).unwrap_or_default()
    }

    /// The report.
    pub fn report(&self) -> Option<&Value> {
        self.shown.pointer("/header/report")
    }

    /// An integer of the query.
    pub fn query(&self, name: &str) -> Option<i64> {
        self.shown.get("query")?.get(name)?.as_i64()
    }

    /// When it came.
    pub fn at_ms(&self) -> i64 {
        self.shown.get("at_ms").and_then(Value::as_i64).unwrap_or_default()
    }
}

impl Record {
    /// Notes that a node took a batch. A node that has it already takes it only if `again`.
    pub(super) fn take(&mut self, node: &str, sent: &Sent, again: bool) {
        let batch = (node.to_owned(), sent.batch().to_owned());
        if !self.settled.insert(batch) && !again {
            return;
        }
        for event in sent.events() {
            let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
            self.taken.push(Taken {
                node: node.to_owned(),
                epoch: sent.epoch().to_owned(),
                seq: event.get("seq").and_then(Value::as_i64).unwrap_or_default(),
                id: text("id").to_owned(),
                marker: event.pointer("/props/n").and_then(Value::as_i64),
            });
        }
        if let Some(report) = sent.report()
            && report.get("fin").is_some()
            && !self.fins.contains(report)
        {
            self.fins.push(report.clone());
        }
    }

    /// Batch requests by virtual time, then class, then arrival; from the `from`-th that came.
    pub fn sends(&self, from: usize) -> Vec<&Sent> {
        let mut sends: Vec<&Sent> = self.sends.iter().skip(from).collect();
        sends.sort_by_key(|sent| (sent.at_ms(), sent.query("class")));
        sends
    }

    /// Markers of all events taken; distinct ones, or with repetitions.
    pub fn arrived(&self, distinct: bool) -> Vec<i64> {
        let mut markers: Vec<i64> = self.taken.iter().filter_map(|taken| taken.marker).collect();
        markers.sort_unstable();
        if distinct {
            markers.dedup();
        }
        markers
    }
}

fn media_type(headers: &Map<String, Value>) -> Value {
    let text = headers.get("content-type").and_then(Value::as_str).unwrap_or_default();
    json!(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// All members, at most so many bytes.
fn inflate(raw: &[u8]) -> (Vec<u8>, Option<String>) {
    let mut plain = Vec::new();
    let mut rest = raw;
    loop {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        let read = (&mut member).take(PLAIN_BYTES_MAX).read_to_end(&mut plain);
        if let Err(error) = read {
            return (plain, Some(format!("gzip: {error}")));
        }
        rest = member.into_inner();
        if rest.is_empty() || plain.len() as u64 >= PLAIN_BYTES_MAX {
            return (plain, None);
        }
    }
}

/// The top-level keys of an object in their order, repeated ones as well.
fn keys(line: &str) -> Vec<String> {
    struct Keys;
    impl<'de> serde::de::Visitor<'de> for Keys {
        type Value = Vec<String>;
        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Vec<String>, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    let mut read = serde_json::Deserializer::from_str(line);
    serde::de::Deserializer::deserialize_map(&mut read, Keys).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order() {
        assert_eq!(keys(r#"{"b":1,"a":{"c":2},"b":3}"#), ["b", "a", "b"]);
        assert!(keys("[1]").is_empty());
    }
}
