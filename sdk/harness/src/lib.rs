//! Runs the SDK contract: scenarios and vectors in, a verdict for every SDK out.
//!
//! The driver decides what time it is; adapters drive the real SDKs; a scripted gateway sees what
//! they send and misbehaves on demand. Nothing here knows any single scenario or language.

pub mod adapter;
pub mod check;
pub mod driver;
pub mod gateway;
pub mod invariants;
pub mod matrix;
pub mod real;
pub mod scenario;
pub mod vectors;
pub mod world;
