//! Stage 3: from the split batch to tier-2 records; pure.
//!
//! In: events as spans, facts and the route table. Out: [`Routed`]: every kept event's final bytes,
//! its lane and its key, in one shared buffer. Must never drop an event, nor let a client's text
//! become a topic name: lanes come from the table alone.

mod compose;
mod key;
pub mod settings;
mod table;

pub use settings::Route;
pub use table::{Error, Table};

use crate::model::{Batch, Facts, Refusal, Routed};

/// Composes tier 2 of one batch; `output_bytes_max` refuses batches that would multiply.
pub fn route(
    batch: &Batch,
    body: &[u8],
    facts: &Facts,
    table: &Table,
    output_bytes_max: u64,
) -> Result<Routed, Refusal> {
    compose::compose(batch, body, facts, table, output_bytes_max)
}

#[cfg(test)]
mod tests;
