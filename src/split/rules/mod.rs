//! Rules: what happens to an event because of what it is. A table in order; the first match
//! decides.
//!
//! In: `[[rules]]` settings, compiled once at start and on reload. Out: a verdict for each event.
//! Adding a condition is one file here and one row in [`CONDITIONS`]. Must stay pure: no counters,
//! no clock, no chance (sampling is a hash of the event's id).

mod age;
mod apps;
mod bounds;
mod bytes;
mod classes;
mod compile;
mod fields;
mod pass;
mod sample;
mod settings;
#[cfg(test)]
mod tests;
mod types;

pub use compile::{Error, RULES_MAX, Rules};
pub use settings::{Action, Settings};

pub(super) use pass::Pass;

/// A sort of condition: its key in the settings, what it asks, and how it is made.
#[derive(Debug)]
pub struct Condition {
    /// The key in `[[rules]]`.
    pub name: &'static str,
    /// What it asks, for the reference configuration and `explain`.
    pub doc: &'static str,
    build: fn(toml::Value) -> Result<Test, String>,
}

/// Every condition. Rules test those of the batch first, then those of the type, then those of the
/// event, and within these in this order: cheap ones stand before dear ones.
pub const CONDITIONS: [Condition; 6] = [
    apps::CONDITION,
    classes::CONDITION,
    types::CONDITION,
    bytes::CONDITION,
    age::CONDITION,
    fields::CONDITION,
];

/// A compiled condition, sorted by what it has to see.
enum Test {
    /// The same for all events of a batch: asked once.
    Batch(AskBatch),
    /// The same for all events of a type: asked once per type and batch.
    Kind(AskKind),
    /// Asked for each event.
    Event(AskEvent),
}

type AskBatch = Box<dyn Fn(&OfBatch<'_>) -> bool + Send + Sync>;
type AskKind = Box<dyn Fn(&str) -> bool + Send + Sync>;
type AskEvent = Box<dyn Fn(&OfEvent<'_>) -> bool + Send + Sync>;

/// What all events of a batch share.
struct OfBatch<'a> {
    app: &'a str,
    class: u8,
}

/// What an event has for itself.
struct OfEvent<'a> {
    /// The whole object, known to be valid.
    json: &'a [u8],
    /// Arrival minus effective time.
    age_ms: i64,
}

/// Reads a condition's own settings.
fn read<T: serde::de::DeserializeOwned>(value: toml::Value) -> Result<T, String> {
    value.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

/// Reads a list that has to name something.
fn read_list<T: serde::de::DeserializeOwned>(value: toml::Value) -> Result<Vec<T>, String> {
    let list: Vec<T> = read(value)?;
    if list.is_empty() { Err("must name at least one".to_owned()) } else { Ok(list) }
}
