//! Tidegate: an edge log-ingestion gateway. `ARCHITECTURE.md` is its map; modules stand here in the
//! order of the floors, top to bottom, and import downwards only (a test enforces it).

pub mod commands;

pub mod gateway;
pub mod settings;

pub mod accept;
pub mod admin;
pub mod admit;

pub mod aside;
pub mod ingest;
pub mod rulebook;

pub mod decode;
pub mod deliver;
pub mod journal;
pub mod route;
pub mod split;

pub mod model;

pub mod clock;
pub mod config;
pub mod json;
pub mod telemetry;
