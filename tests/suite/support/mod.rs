//! What tests are made of: a client, a gateway in this process or in its own, batches, Kafka.
//!
//! Nothing here asserts anything about the product; a failure to set up panics and says of what.

use std::time::{Duration, Instant};

pub(crate) mod batches;
pub(crate) mod binary;
pub(crate) mod broker;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod files;
pub(crate) mod front;
pub(crate) mod pack;
pub(crate) mod pages;
pub(crate) mod sdk;
pub(crate) mod served;

pub(crate) use binary::Binary;
pub(crate) use client::{Client, Request, Response};
pub(crate) use front::Mirror;
pub(crate) use served::Served;

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks.
const STEP: Duration = Duration::from_millis(10);

/// Looks until there is something to see. The only place where tests wait.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(STEP);
    }
}

/// The project's folder.
pub(crate) fn root() -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
