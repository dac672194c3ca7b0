//! What is known of one cluster: its own breaker, and one for every topic that had trouble.
//!
//! In: signals from delivery reports and from batches that were late. Out: whether the cluster and
//! its topics are worth trying. A topic's trouble is never the cluster's, unless nothing arrives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::breaker::{Breaker, Settings};

/// The most topics that have a breaker of their own; names come from the route table alone.
const TOPICS_MAX: usize = 4_096;

/// The health of one cluster.
#[derive(Debug)]
pub struct Health {
    name: &'static str,
    settings: Settings,
    cluster: Breaker,
    topics: RwLock<BTreeMap<Arc<str>, Arc<Breaker>>>,
    /// Whether any topic ever had trouble: nearly never, so that healthy batches ask nothing more.
    any: AtomicBool,
}

/// What a delivery report says of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The topic: it is missing, forbidden or without enough replicas.
    Topic(&'static str),
    /// The cluster, or the way to it.
    Cluster(&'static str),
    /// Nobody: the client was stopped or rebuilt.
    Nobody,
}

impl Health {
    /// All well.
    pub fn new(name: &'static str, settings: &Settings) -> Self {
        Self {
            name,
            settings: settings.clone(),
            cluster: Breaker::new(name.to_owned(), settings),
            topics: RwLock::default(),
            any: AtomicBool::new(false),
        }
    }

    /// `kafka` or `kafka-second`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The breaker of the cluster.
    pub fn cluster(&self) -> &Breaker {
        &self.cluster
    }

    /// How long records of one topic may lag behind their batch.
    pub fn isolate(&self) -> Duration {
        Duration::from_millis(self.settings.isolate_ms)
    }

    /// Something failed.
    pub fn blame(&self, topic: &str, blame: Blame) {
        match blame {
            Blame::Topic(cause) => {
                if let Some(breaker) = self.make(topic) {
                    breaker.refused(cause);
                }
            }
            Blame::Cluster(cause) => self.cluster.failure(cause),
            Blame::Nobody => {}
        }
    }

    /// Records of a topic lag behind those of other topics that were sent with them.
    pub fn lags(&self, topic: &str) {
        if let Some(breaker) = self.make(topic) {
            breaker.refused("lagging");
        }
    }

    /// Whether any topic ever had trouble.
    pub fn has_topics(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// The breaker of a topic, if it ever had trouble.
    pub fn topic(&self, topic: &str) -> Option<Arc<Breaker>> {
        self.topics.read().get(topic).cloned()
    }

    /// The same, made if need be: for a topic that has a backlog of its own.
    pub fn make(&self, topic: &str) -> Option<Arc<Breaker>> {
        if let Some(known) = self.topic(topic) {
            return Some(known);
        }
        let mut topics = self.topics.write();
        if topics.len() >= TOPICS_MAX {
            return None;
        }
        let name: Arc<str> = Arc::from(topic);
        let target = format!("{}/{topic}", self.name);
        let made =
            topics.entry(name).or_insert_with(|| Arc::new(Breaker::new(target, &self.settings)));
        let made = Arc::clone(made);
        self.any.store(true, Ordering::Release);
        Some(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sick_topic_is_not_a_sick_cluster() {
        let health = Health::new("kafka", &Settings::default());
        assert!(!health.has_topics());
        health.blame("t.page", Blame::Topic("unknown_topic"));
        let page = health.topic("t.page").expect("it had trouble");
        assert!(health.has_topics() && !page.is_closed() && health.cluster().is_closed());
        assert!(health.topic("t.click").is_none());
        page.success();
        assert!(page.is_closed());
        for _ in 0..Settings::default().failures_max {
            health.blame("t.page", Blame::Cluster("no_broker"));
        }
        assert!(page.is_closed() && !health.cluster().is_closed());
        health.blame("t.page", Blame::Nobody);
        assert!(page.is_closed());
    }
}
