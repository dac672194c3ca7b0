//! What the clusters' topics take, asked before a configuration comes into force.
//!
//! In: settings. Out: limits that are no larger than what is taken, and a warning for each topic
//! that is missing: its records would be parked. A cluster that does not answer is no error: then it
//! is taken at its last word, which outlives a start.

use std::path::Path;

use super::delivery::CLUSTERS;
use crate::config::texts;
use crate::deliver::sinks::kafka;
use crate::settings::{self, Settings};

/// Fits the limits.
pub(super) fn to_clusters(settings: &mut Settings) -> Result<(), settings::Error> {
    if settings.kafka.brokers.is_empty() {
        return Ok(());
    }
    let book = settings.rulebook()?;
    let lanes = book.table.lanes().iter().map(|lane| lane.topic.clone());
    let raw = format!("{}.raw", settings.kafka.topic_prefix);
    let topics: Vec<String> = lanes.chain([raw]).collect();
    let clusters = std::iter::once(settings.kafka.clone()).chain(settings.kafka.second());
    for (cluster, name) in clusters.collect::<Vec<_>>().iter().zip(CLUSTERS) {
        if let Some(bytes) = record_bytes_max(&settings.data_dir, cluster, name, &topics) {
            settings.fit(bytes);
        }
    }
    Ok(())
}

/// What a cluster takes, or took when it last answered: who starts again while it is away should
/// neither wait for it nor forget.
fn record_bytes_max(
    data_dir: &Path,
    cluster: &kafka::Settings,
    name: &str,
    topics: &[String],
) -> Option<u64> {
    let file = format!("{name}.record-bytes-max");
    let known = texts::recall(data_dir, &file).and_then(|text| text.trim().parse().ok());
    let found = kafka::topics::look(cluster, topics, known.is_some()).unwrap_or_default();
    if !found.missing.is_empty() {
        let topics = found.missing.join(" ");
        tracing::warn!(
            name,
            topics,
            "topics are missing, so their records are parked: run `tidegate topics apply`"
        );
    }
    if let Some(bytes) = found.record_bytes_max
        && let Err(error) = texts::remember(data_dir, &file, &format!("{bytes}\n"))
    {
        tracing::warn!(%error, "cannot remember what {name} takes");
    }
    found.record_bytes_max.or(known)
}
