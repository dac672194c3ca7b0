//! Floor 0: reading settings. The loader, and the units and patterns that settings are made of.
//!
//! In: a TOML file and environment variables. Out: typed sections. What a section means is its own
//! floor's business; nothing here knows any of them.

pub mod load;
pub mod pattern;
pub mod place;
pub mod secret;
pub mod texts;

pub use load::{Error, load};
pub use pattern::Pattern;
pub use secret::{Properties, Secret};
