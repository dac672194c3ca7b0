//! What the clusters' topics take, asked before a configuration comes into force.
//!
//! In: settings. Out: limits that are no larger than what is taken, and a warning for each topic
//! that is missing: its records would be parked. A cluster that does not answer is no error: what
//! it said last is remembered, so that a start while it is away neither waits nor forgets.

use std::path::Path;

use super::delivery::CLUSTERS;
use crate::config::texts;
use crate::deliver::sinks::kafka;
use crate::settings::{self, Settings};

/// Fits the limits; gives whether every cluster could be asked.
pub(super) fn to_clusters(settings: &mut Settings) -> Result<bool, settings::Error> {
    if settings.kafka.brokers.is_empty() {
        return Ok(true);
    }
    let book = settings.rulebook()?;
    let lanes = book.table.lanes().iter().map(|lane| lane.topic.clone());
    let raw = format!("{}.raw", settings.kafka.topic_prefix);
    let topics: Vec<String> = lanes.chain([raw]).collect();
    let clusters = std::iter::once(settings.kafka.clone()).chain(settings.kafka.second());
    let data_dir = settings.data_dir.clone();
    let mut asked = true;
    for (cluster, name) in clusters.collect::<Vec<_>>().iter().zip(CLUSTERS) {
        let known = Known::of(&data_dir, name);
        let Some(found) = kafka::topics::look(cluster, &topics, known.bytes.is_some()) else {
            asked = false;
            known.bytes.into_iter().for_each(|bytes| settings.fit(bytes));
            continue;
        };
        if !found.missing.is_empty() {
            let topics = found.missing.join(" ");
            tracing::warn!(
                brokers = cluster.brokers,
                topics,
                "topics are missing, so their records are parked: run `tidegate topics apply`"
            );
        }
        if let Some(bytes) = found.record_bytes_max {
            known.remember(bytes);
            settings.fit(bytes);
        }
    }
    Ok(asked)
}

/// What a cluster said last.
struct Known<'a> {
    data_dir: &'a Path,
    file: String,
    bytes: Option<u64>,
}

impl<'a> Known<'a> {
    fn of(data_dir: &'a Path, name: &str) -> Self {
        let file = format!("{name}.record-bytes-max");
        let bytes = texts::recall(data_dir, &file).and_then(|text| text.trim().parse().ok());
        Self { data_dir, file, bytes }
    }

    fn remember(&self, bytes: u64) {
        if let Err(error) = texts::remember(self.data_dir, &self.file, &format!("{bytes}\n")) {
            tracing::warn!(%error, file = self.file, "cannot remember what a cluster takes");
        }
    }
}
