//! Floor 0: logs and metrics. Every metric's name, labels and meaning stand in [`metrics`].
//!
//! [`events`] counts events by app and type with a bounded number of types.

pub mod events;
pub mod log;
pub mod metrics;
