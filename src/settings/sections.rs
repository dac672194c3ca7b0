//! Sections that belong to no single floor, with their defaults.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::Secret;
use crate::{accept, admit, decode, split};

/// The operators' listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Where `/healthz`, `/readyz`, `/metrics`, `/admin/state` and `/admin/reload` are.
    pub listen: SocketAddr,
    /// What has to be said as `Authorization: Bearer` to the last three; empty for nothing.
    pub token: Secret,
    /// A file that holds it.
    pub token_file: PathBuf,
}

/// A further listener, where it differs from the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Where.
    pub address: accept::Address,
    /// Whether it speaks TLS; as a rule, if `[tls]` has a certificate.
    pub tls: Option<bool>,
    /// Whether connections begin with a PROXY header; as a rule, what `[http]` says.
    pub proxy_protocol: Option<accept::ProxyProtocol>,
}

/// What a batch may hold. Each limit has a refusal of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open connections.
    pub connections_max: u64,
    /// Open connections of one address, or of one /64 of IPv6.
    pub connections_per_address_max: u64,
    /// Largest body as sent.
    pub body_bytes_max: u64,
    /// How long a body may take from its head to its last byte.
    pub body_ms: u64,
    /// Largest inflated body.
    pub inflated_bytes_max: u64,
    /// Largest ratio of inflated to received bytes, beyond `ratio_free_bytes`.
    pub ratio_max: u64,
    /// Inflated bytes that no ratio applies to.
    pub ratio_free_bytes: u64,
    /// Largest header line.
    pub header_bytes_max: u64,
    /// Largest `context` in it.
    pub context_bytes_max: u64,
    /// Largest `report` in it.
    pub report_bytes_max: u64,
    /// Most events in a batch.
    pub events_max: u32,
    /// Largest event.
    pub event_bytes_max: u64,
    /// Largest tier-2 output of a batch.
    pub output_bytes_max: u64,
    /// Requests a second from one address; 0 is no limit.
    pub address_rate: u64,
    /// Requests of one address that may come at once.
    pub address_burst: u64,
    /// Requests a second with one key; 0 is no limit.
    pub key_rate: u64,
    /// Requests with one key that may come at once.
    pub key_burst: u64,
    /// Events a second of one app; 0 is no limit.
    pub app_events_rate: u64,
    /// Bytes a second of one app; 0 is no limit.
    pub app_bytes_rate: u64,
    /// How much of an app's quota may be saved up.
    pub app_burst_ms: u64,
    /// Addresses that are remembered.
    pub addresses_max: usize,
    /// Batches that are read or worked on at once.
    pub requests_max: usize,
}

/// The one memory budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Bytes for everything in flight; beyond it batches are refused with 503.
    pub budget_bytes: u64,
    /// The part of it that only the drainer may take, so that it can always move.
    pub drain_bytes: u64,
}

/// How long tier 1 stays in the journal behind the embedded store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raw {
    /// Milliseconds that drained segments stay.
    pub retain_ms: u64,
    /// Bytes of drained segments that stay.
    pub retain_bytes: u64,
}

/// What SDKs are told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sdk {
    /// The JSON file behind `GET /v1/config`; empty for none.
    pub document: PathBuf,
    /// The folder of `<app>.toml` files behind it; empty for none.
    pub documents: PathBuf,
}

impl Default for Admin {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8081));
        Self { listen, token: Secret::default(), token_file: PathBuf::new() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let (door, decode) = (admit::Settings::default(), decode::Limits::default());
        let split = split::Limits::default();
        Self {
            connections_max: 20_000,
            connections_per_address_max: 2_000,
            body_bytes_max: door.body_bytes_max,
            body_ms: door.body_ms,
            inflated_bytes_max: decode.inflated_bytes_max,
            ratio_max: decode.ratio_max,
            ratio_free_bytes: decode.ratio_free_bytes,
            header_bytes_max: split.header_bytes_max,
            context_bytes_max: split.context_bytes_max,
            report_bytes_max: split.report_bytes_max,
            events_max: split.events_max,
            event_bytes_max: split.event_bytes_max,
            output_bytes_max: 32 << 20,
            address_rate: door.address_rate,
            address_burst: door.address_burst,
            key_rate: door.key_rate,
            key_burst: door.key_burst,
            app_events_rate: door.app_events_rate,
            app_bytes_rate: door.app_bytes_rate,
            app_burst_ms: door.app_burst_ms,
            addresses_max: door.addresses_max,
            requests_max: door.requests_max,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { budget_bytes: 512 << 20, drain_bytes: 64 << 20 }
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self { retain_ms: 24 * 3_600_000, retain_bytes: 2 << 30 }
    }
}
