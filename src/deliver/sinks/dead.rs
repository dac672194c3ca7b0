//! The last resort for records that neither their topic nor the dead-letter topic will ever take:
//! one fsynced file each under `data/dead/`, with reason and facts in its first line.
//!
//! In: a record's original bytes. Out: a durable file, or an error, upon which the record stays
//! owed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::model::{Facts, owed};

/// Writes one record and syncs file and directory.
pub fn keep(
    dir: &Path,
    facts: &Facts,
    bit: u32,
    reason: &str,
    bytes: &[u8],
) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    let what = if bit == owed::RAW { "raw".to_owned() } else { format!("{}", bit - 1) };
    let path = dir.join(format!("{}-{what}.dead", facts.batch));
    let mut file = File::create(&path)?;
    let head = serde_json::json!({
        "reason": reason,
        "app": &*facts.app,
        "batch": facts.batch.to_string(),
        "record": what,
        "recv": facts.arrival_ms,
        "coding": facts.coding.name(),
    });
    writeln!(file, "{head}")?;
    file.write_all(bytes)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    metrics::counter!(crate::telemetry::metrics::DEAD_LETTERS, "place" => "file").increment(1);
    Ok(())
}
