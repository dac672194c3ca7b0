//! Who gets in, before anything is read: route, key, class against the pressure, rates, quotas,
//! memory, and then a capped body. `layers.rs` is the page that shows the order.
//!
//! In: a request's head and its unread body. Out: [`Admitted`](crate::model::Admitted) for the
//! page, or a [`Refusal`](crate::model::Refusal), and in the end a response. Must never read a body
//! whose head was refused, but to let its sender see the refusal.

mod body;
pub mod documents;
mod edge;
pub mod guard;
mod keys;
mod known;
mod layers;
pub mod limits;
mod origin;
mod policy;
mod pressing;
mod query;
pub mod quotas;
pub mod rates;
mod respond;
mod room;
mod routes;
pub mod settings;
mod tasks;
mod visit;
pub mod watch;

pub use documents::{Documents, Error as DocumentError};
pub use edge::Edge;
pub use keys::{Entry, Keys, KeysError};
pub use limits::{Counters, Talkers};
pub use policy::{Error, Policy, Terms};
pub use query::Query;
pub use room::Door;
pub use settings::{Key, Settings};
pub use tasks::Tasks;
