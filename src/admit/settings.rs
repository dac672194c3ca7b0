//! `[[keys]]` and the door's part of `[limits]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::Secret;

/// One write key, or one client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key itself; empty for a `subject`.
    #[serde(default)]
    pub key: Secret,
    /// A file that holds it.
    #[serde(default)]
    pub key_file: PathBuf,
    /// The subject of a client certificate (mutual TLS) that writes for the app without a key.
    #[serde(default)]
    pub subject: String,
    /// The app whose events it writes: `[A-Za-z0-9_.-]{1,64}`.
    pub app: String,
    /// `public` (in apps and pages) or `secret` (servers, `Authorization: Bearer` only).
    #[serde(default)]
    pub kind: Kind,
    /// The class of batches that name none: 0 critical, 1 normal, 2 bulk.
    #[serde(default = "normal")]
    pub class: u8,
    /// Whether it is refused with a reason of its own from now on.
    #[serde(default)]
    pub revoked: bool,
    /// Origins of pages that may use it, `https://*.example.com`; none for all.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Instead of `limits.key_rate`, for this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_rate: Option<u64>,
    /// Instead of `limits.key_burst`, for this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_burst: Option<u64>,
    /// Instead of `limits.app_events_rate`, for the app of this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_events_rate: Option<u64>,
    /// Instead of `limits.app_bytes_rate`, for the app of this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_bytes_rate: Option<u64>,
}

impl Default for Key {
    fn default() -> Self {
        Self {
            key: Secret::default(),
            key_file: PathBuf::new(),
            subject: String::new(),
            app: String::new(),
            kind: Kind::default(),
            class: normal(),
            revoked: false,
            origins: Vec::new(),
            key_rate: None,
            key_burst: None,
            app_events_rate: None,
            app_bytes_rate: None,
        }
    }
}

/// The sort of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// May stand in a query string.
    Public,
    /// Must not; what a key is unless it is said to be public.
    #[default]
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
    /// Requests a second from one address (IPv6: one /64); 0 is no limit.
    pub address_rate: u64,
    /// Requests of one address that may come at once.
    pub address_burst: u64,
    /// Requests a second with one key; 0 is no limit.
    pub key_rate: u64,
    /// Requests with one key that may come at once.
    pub key_burst: u64,
    /// Events a second of one app; 0 is no limit.
    pub app_events_rate: u64,
    /// Bytes a second of one app, as received; 0 is no limit.
    pub app_bytes_rate: u64,
    /// How much of an app's quota may be saved up.
    pub app_burst_ms: u64,
    /// Addresses that are remembered.
    pub addresses_max: usize,
    /// Batches that are read or worked on at once.
    pub requests_max: usize,
    /// Bytes a second that a body has to bring on average ...
    pub body_rate_min: u64,
    /// ... once it has taken so long.
    pub body_grace_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes_max: 900 << 10,
            body_ms: 30_000,
            body_rate_min: 240,
            body_grace_ms: 5_000,
            address_rate: 0,
            address_burst: 200,
            key_rate: 0,
            key_burst: 10_000,
            app_events_rate: 0,
            app_bytes_rate: 0,
            app_burst_ms: 10_000,
            addresses_max: 200_000,
            requests_max: 20_000,
        }
    }
}

impl Settings {
    /// Refuses numbers that make no sense: the option, its value, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, u64, &'static str)> {
        let rates = [
            ("limits.address_rate", self.address_rate),
            ("limits.key_rate", self.key_rate),
            ("limits.app_events_rate", self.app_events_rate),
            ("limits.app_bytes_rate", self.app_bytes_rate),
        ];
        for (key, rate) in rates {
            if rate > RATE_MAX {
                return Err((key, rate, "must be at most 1000000000000"));
            }
        }
        let bursts = [
            ("limits.address_burst", self.address_burst, 1),
            ("limits.key_burst", self.key_burst, 1),
            ("limits.app_burst_ms", self.app_burst_ms, 100),
            ("limits.addresses_max", self.addresses_max as u64, 1_000),
            ("limits.requests_max", self.requests_max as u64, 1),
        ];
        for (key, value, least) in bursts {
            if !(least..=WHOLE_MAX).contains(&value) {
                let must = match least {
                    1 => "must be 1 to 1000000000",
                    100 => "must be 100 to 1000000000",
                    _ => "must be 1000 to 1000000000",
                };
                return Err((key, value, must));
            }
        }
        Ok(())
    }
}

/// A terabyte a second, which no machine takes.
const RATE_MAX: u64 = 1_000_000_000_000;
const WHOLE_MAX: u64 = 1_000_000_000;

fn normal() -> u8 {
    1
}
