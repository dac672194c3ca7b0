//! The rules texts on their compacted topic, each under its hash: tried until the cluster has them.
//!
//! In: the text at the start, and every other one that comes into force. Out: records, one at a
//! time and in order. Must never hold more than a few: `data/rules` has all of them anyway.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::producer::{BaseProducer, BaseRecord};

use super::reports::{Opaque, Reports};
use super::state::State;

/// Between two attempts.
const RETRY_EVERY: Duration = Duration::from_mins(1);
/// Texts that wait for an absent cluster; the latest is always among them.
const WAITING_MAX: usize = 64;
/// Names of texts that need not be said again.
const KNOWN_MAX: usize = 4_096;

/// Texts that are to be known to the cluster, by hash.
#[derive(Debug, Default)]
pub(super) struct Texts(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    texts: VecDeque<(String, String)>,
    known: BTreeSet<String>,
}

impl Texts {
    /// Adds one, unless it was said before.
    pub(super) fn add(&self, hash: String, text: String) {
        let mut waiting = self.0.lock();
        if !waiting.known.insert(hash.clone()) {
            return;
        }
        if waiting.known.len() > KNOWN_MAX {
            waiting.known = BTreeSet::from([hash.clone()]);
        }
        if waiting.texts.len() >= WAITING_MAX {
            // Not the first, which may be on its way.
            let dropped = waiting.texts.remove(1).map(|(hash, _)| hash);
            tracing::warn!(rules = ?dropped, "too many rules texts wait for kafka; one is not sent");
        }
        waiting.texts.push_back((hash, text));
    }
}

/// What sends them.
pub(super) struct Announcement {
    topic: String,
    texts: Arc<Texts>,
    next: Instant,
}

impl Announcement {
    pub(super) fn new(prefix: &str, texts: Arc<Texts>) -> Self {
        Self { topic: format!("{prefix}.rules"), texts, next: Instant::now() }
    }

    /// Produces the first one, if it is time to.
    pub(super) fn announce(&mut self, producer: &BaseProducer<Reports>, state: &State) {
        let mut waiting = self.texts.0.lock();
        if state.rules_known.swap(false, Ordering::AcqRel) {
            waiting.texts.pop_front();
            self.next = Instant::now();
        }
        let Some((hash, text)) = waiting.texts.front() else { return };
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + RETRY_EVERY;
        let record =
            BaseRecord::with_opaque_to(&self.topic, Opaque::RULES.into()).key(hash).payload(text);
        if let Err((error, _)) = producer.send(record) {
            tracing::debug!(%error, "the rules text is announced later");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_waits_once_and_the_latest_always() {
        let texts = Texts::default();
        for number in [0, 1, 0, 1, 2] {
            texts.add(format!("{number}"), String::new());
        }
        assert_eq!(texts.0.lock().texts.len(), 3);
        for number in 3..200 {
            texts.add(format!("{number}"), String::new());
        }
        let waiting = texts.0.lock();
        let hash = |text: Option<&(String, String)>| text.map(|(hash, _)| hash.clone());
        assert_eq!(waiting.texts.len(), WAITING_MAX);
        assert_eq!(hash(waiting.texts.front()).as_deref(), Some("0"));
        assert_eq!(hash(waiting.texts.back()).as_deref(), Some("199"));
    }
}
