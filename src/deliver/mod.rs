//! The only I/O after the edge: who has to have a batch before the client hears 200.
//!
//! In: a [`Parcel`](crate::model::Parcel). Out: a receipt that it is durable, or a refusal.
//! [`policy`] decides, [`sinks`] obey, [`drain`] carries what the journal holds to its sink.
//! Must never acknowledge what is neither reported by Kafka nor synced in the journal.

pub mod backlog;
pub mod breaker;
pub mod dedupe;
pub mod drain;
pub mod health;
pub mod park;
pub mod policy;
pub mod sinks;
pub mod tracker;

pub use backlog::Backlog;
pub use dedupe::Dedupe;
pub use health::Health;
pub use park::Parks;
pub use policy::{Ack, Deliver, Mode, Receipt, Target, Unsent};
pub use tracker::{Fate, Tracker};
