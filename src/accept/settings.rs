//! `[http]`: connections, heads, and how long they may take.

use serde::{Deserialize, Serialize};

use super::forwarded::Form;

/// Limits of connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// From the connection (with TLS, from the end of its handshake) to its first byte.
    pub first_byte_ms: u64,
    /// From the first byte of a head to its last.
    pub head_ms: u64,
    /// How long a connection may be silent between requests.
    pub idle_ms: u64,
    /// How long replies may lie here because the client does not take them.
    pub write_ms: u64,
    /// Bytes a second that a body has to bring on average ...
    pub body_rate_min: u64,
    /// ... once it has taken so long.
    pub body_grace_ms: u64,
    /// How old a connection may become.
    pub connection_age_ms: u64,
    /// Requests on one connection.
    pub requests_per_connection_max: u64,
    /// Open requests on one connection of HTTP/2.
    pub streams_max: u32,
    /// Largest request head in bytes, at least 8192.
    pub head_bytes_max: usize,
    /// Whether every connection begins with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// How long that header may take.
    pub proxy_ms: u64,
    /// The header in which trusted proxies tell who their client is.
    pub forwarded_header: Form,
    /// Permissions of Unix sockets, in octal digits.
    pub socket_mode: Mode,
}

/// Whether there is a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// None; whoever sends one is refused by HTTP.
    Off,
    /// Always, and only from `trusted_proxies`.
    Required,
}

/// Permissions such as `"660"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(pub u32);

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.map(Self).ok_or_else(|| format!("{text:?} is no file mode; write \"660\" or \"666\""))
    }
}

impl From<Mode> for String {
    fn from(Mode(mode): Mode) -> Self {
        format!("{mode:o}")
    }
}

/// What a connection holds beside its read buffer: hyper's write buffer of 8 KiB, the connection's
/// state and its task. Measured by resident memory, with 16 KiB for a head: 21 KiB for an idle
/// connection, 26 after a small request, 36 after one of 90 KiB.
const CONNECTION_BYTES: u64 = 12 << 10;
/// What a stream holds beside its head: its state, and the task that answers it.
const STREAM_BYTES: u64 = 4 << 10;

impl Settings {
    /// What an open connection may hold; its read buffer grows to a whole head.
    pub fn connection_bytes(&self) -> u64 {
        self.head_bytes_max as u64 + CONNECTION_BYTES
    }

    /// What one stream of HTTP/2 may hold.
    pub fn stream_bytes(&self) -> u64 {
        self.head_bytes_max as u64 + STREAM_BYTES
    }

    /// What makes no sense: its key, its value, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, u64, &'static str)> {
        let least = |key, value: u64, least: u64, message| {
            if value < least { Err((key, value, message)) } else { Ok(()) }
        };
        least("http.head_bytes_max", self.head_bytes_max as u64, 8_192, "must be at least 8192")?;
        least("http.streams_max", u64::from(self.streams_max), 1, "must be at least 1")?;
        let requests = self.requests_per_connection_max;
        least("http.requests_per_connection_max", requests, 1, "must be at least 1")?;
        for (key, value) in [
            ("http.first_byte_ms", self.first_byte_ms),
            ("http.head_ms", self.head_ms),
            ("http.idle_ms", self.idle_ms),
            ("http.write_ms", self.write_ms),
            ("http.connection_age_ms", self.connection_age_ms),
            ("http.proxy_ms", self.proxy_ms),
        ] {
            least(key, value, 1, "must be at least 1")?;
            if value > DAY_MS {
                return Err((key, value, "must be at most a day (86400000)"));
            }
        }
        Ok(())
    }
}

const DAY_MS: u64 = 24 * 3_600_000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            first_byte_ms: 10_000,
            head_ms: 10_000,
            idle_ms: 75_000,
            write_ms: 30_000,
            body_rate_min: 240,
            body_grace_ms: 5_000,
            connection_age_ms: 3_600_000,
            requests_per_connection_max: 100_000,
            streams_max: 100,
            head_bytes_max: 16 << 10,
            proxy_protocol: ProxyProtocol::Off,
            proxy_ms: 1_000,
            forwarded_header: Form::XForwardedFor,
            socket_mode: Mode(0o660),
        }
    }
}
