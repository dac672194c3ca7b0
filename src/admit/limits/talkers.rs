//! Who talks the most, as an operator wants to see it: lists of bounded length, with names that are
//! no secrets.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::addresses::{Window, shown};
use super::meters::KeyMeter;

/// Addresses that are shown.
pub(in crate::admit) const ADDRESSES_MAX: usize = 64;
/// Keys that are shown.
pub(super) const KEYS_MAX: usize = 64;

/// What the door sees of its clients.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Talkers {
    /// The length of the window that the addresses are counted over.
    pub window_ms: u64,
    /// Addresses that sent something in it.
    pub addresses_active: u64,
    /// Addresses and instances that are remembered.
    pub addresses_known: u64,
    /// Addresses that had to make room for others.
    pub addresses_evicted: u64,
    /// Requests in the window that 99 of 100 addresses do not reach.
    pub requests_p99: u64,
    /// The addresses with most requests in the window.
    pub addresses: Vec<Talker>,
    /// The keys with most requests since the start.
    pub keys: Vec<KeyTalker>,
    /// Addresses and instances under the tighter limit.
    pub guarded: Vec<Guarded>,
    /// Refused requests since the start, by reason.
    pub refusals: BTreeMap<&'static str, u64>,
}

/// One address in one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Talker {
    /// The address, or the IPv6 network.
    pub address: String,
    /// Requests with a known key.
    pub requests: u64,
    /// Those that were refused for a rate, a quota or by the guard.
    pub refused: u64,
    /// Events.
    pub events: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Batches that had been sent before.
    pub repeats: u64,
    /// Events of a time that cannot be.
    pub impossible: u64,
}

/// One key since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyTalker {
    /// Its name: the first digits of its SHA-256.
    pub key: String,
    /// Its app.
    pub app: String,
    /// Requests.
    pub requests: u64,
    /// Those that were refused for a rate or a quota.
    pub refused: u64,
    /// Events.
    pub events: u64,
    /// Bytes of bodies.
    pub bytes: u64,
}

/// One address or instance under the tighter limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guarded {
    /// The address, the IPv6 network, or the instance: app and name once it came back, before that
    /// a number.
    pub who: String,
    /// Why.
    pub cause: &'static str,
    /// For how much longer, at the time of the guard's last look.
    pub left_ms: u64,
    /// Requests of the window that it was put there for, or kept there for.
    pub requests: u64,
}

impl Talker {
    pub(in crate::admit) fn of(address: u64, window: &Window) -> Self {
        Self {
            address: shown(address),
            requests: window.requests,
            refused: window.refused,
            events: window.events,
            bytes: window.bytes,
            repeats: window.repeats,
            impossible: window.impossible,
        }
    }
}

impl KeyTalker {
    pub(super) fn of(meter: &KeyMeter) -> Self {
        Self {
            key: meter.name.to_string(),
            app: meter.app.to_string(),
            requests: meter.requests.load(Ordering::Relaxed),
            refused: meter.refused.load(Ordering::Relaxed),
            events: meter.events.load(Ordering::Relaxed),
            bytes: meter.bytes.load(Ordering::Relaxed),
        }
    }
}
