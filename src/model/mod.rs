//! Floor 1: the nouns that stages hand to each other, and nothing that acts.
//!
//! In path order: [`Facts`] and [`Record`] (what arrived), [`Batch`] (what split found in it),
//! [`Routed`] (what tier 2 will hold), [`Owed`] (what a sink still has to confirm), [`Outcome`] and
//! [`Tally`] (where every event ended), [`Reply`] (what the client is told).
//! Beside the path: [`Budget`] (who holds memory), [`Pressure`] and [`Advice`] (how much there is
//! to do, and what clients are told about it).
//! Must never do I/O, read a clock or know a protocol library.

pub mod admitted;
pub mod advice;
pub mod batch;
pub mod budget;
pub mod facts;
pub mod outcome;
pub mod owed;
pub mod parcel;
pub mod peer;
pub mod pressure;
pub mod reason;
pub mod reply;
pub mod routed;
pub mod tally;

pub use admitted::{Admitted, Caller};
pub use advice::{Advice, Signal};
pub use batch::{Batch, Event, Header, Span};
pub use budget::{Budget, Charge, Part};
pub use facts::{Coding, Facts, Format, KeyKind, Record};
pub use outcome::Outcome;
pub use owed::Owed;
pub use parcel::Parcel;
pub use peer::Peer;
pub use pressure::Pressure;
pub use reason::{Reason, Refusal};
pub use reply::{Cargo, Reply};
pub use routed::{Lane, LaneId, Routed, Row};
pub use tally::Tally;
