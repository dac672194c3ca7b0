//! `[http]`: connections and heads.

use serde::{Deserialize, Serialize};

/// Limits of connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Open connections; more are closed at once.
    pub connections_max: u64,
    /// How long a connection may wait for a request, or take for its head.
    pub idle_ms: u64,
    /// Largest request head in bytes, at least 8192.
    pub head_bytes_max: usize,
}

/// What a connection holds beside its read buffer: hyper's write buffer of 8 KiB, the connection's
/// state and its task. Measured by resident memory, with 16 KiB for a head: 21 KiB for an idle
/// connection, 26 after a small request, 36 after one of 90 KiB.
const CONNECTION_BYTES: u64 = 12 << 10;

impl Settings {
    /// What an open connection may hold; its read buffer grows to a whole head.
    pub fn connection_bytes(&self) -> u64 {
        self.head_bytes_max as u64 + CONNECTION_BYTES
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { connections_max: 20_000, idle_ms: 75_000, head_bytes_max: 16 << 10 }
    }
}
