//! What the clusters' topics take, asked before a configuration comes into force.
//!
//! In: settings. Out: limits that are no larger than what is taken, and a warning for each topic
//! that is missing: its records would be parked. A cluster that does not answer is no error.

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
    let mut asked = true;
    for cluster in clusters.collect::<Vec<_>>() {
        let Some(found) = kafka::topics::look(&cluster, &topics) else {
            asked = false;
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
            settings.fit(bytes);
        }
    }
    Ok(asked)
}
