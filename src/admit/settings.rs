//! `[[keys]]` and the door's part of `[limits]`.

use serde::{Deserialize, Serialize};

/// One write key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key itself.
    pub key: String,
    /// The app whose events it writes: `[A-Za-z0-9_.-]{1,64}`.
    pub app: String,
    /// `public` (in apps and pages) or `secret` (servers, `Authorization: Bearer` only).
    pub kind: Kind,
    /// The class of batches that name none: 0 critical, 1 normal, 2 bulk.
    #[serde(default = "normal")]
    pub class: u8,
}

/// The sort of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// May stand in a query string.
    Public,
    /// Must not.
    Secret,
}

/// Limits at the door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Largest body as sent.
    pub body_bytes_max: u64,
    /// How long a body may take from its head to its last byte.
    pub body_ms: u64,
    /// Bytes a second that a body has to bring on average ...
    pub body_rate_min: u64,
    /// ... once it has taken so long.
    pub body_grace_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let (body_rate_min, body_grace_ms) = (240, 5_000);
        Self { body_bytes_max: 900 << 10, body_ms: 30_000, body_rate_min, body_grace_ms }
    }
}

fn normal() -> u8 {
    1
}
