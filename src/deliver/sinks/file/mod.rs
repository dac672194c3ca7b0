//! The embedded store: tier 2 as NDJSON files that DuckDB and Spark read as they lie.
//!
//! In: durable batches in journal order. Out: `lane=<lane>/date=<day>/hour=<hour>/part-*.ndjson`,
//! UTC by event time, every event exactly once also after a crash; [`Store`] says why. Events of a
//! route go to its lane; types without one have lanes of their own ([`Seen`]). Syncs nothing before
//! a checkpoint, so must never acknowledge anything: until then the journal owes it all.
//! DuckDB: `read_json_auto('data/events/**/*.ndjson', hive_partitioning=true)`.

mod checkpoint;
mod disk;
mod error;
mod lanes;
#[cfg(test)]
mod machine;
pub mod meters;
mod part;
mod partition;
mod parts;
mod recover;
mod settings;
mod settle;
mod store;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trial;

pub use error::Error;
pub use lanes::Seen;
pub use settings::Settings;
pub use store::{Opened, Store, seen};
