//! What one batch may consist of. Sizes of bodies are decode's business.

use serde::{Deserialize, Serialize};

/// Limits of the split; the SDK document announces them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the header line. Default 16,384; a batch over it is refused.
    pub header_bytes_max: u64,
    /// Bytes of the header's `context`, which is copied into every event. Default 4,096.
    pub context_bytes_max: u64,
    /// Bytes of the header's `report`. Default 4,096.
    pub report_bytes_max: u64,
    /// Events in one batch. Default 5,000; a batch over it is refused.
    pub events_max: u32,
    /// Bytes of one event's line or array element. Default 262,144; an event over it is rejected.
    pub event_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes_max: 16_384,
            context_bytes_max: 4_096,
            report_bytes_max: 4_096,
            events_max: 5_000,
            event_bytes_max: 262_144,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_protocol() {
        let limits: Limits = toml::from_str("").unwrap();
        assert_eq!(limits, Limits::default());
        let limits: Limits = toml::from_str("events_max = 7").unwrap();
        assert_eq!((limits.events_max, limits.event_bytes_max), (7, 262_144));
        assert!(toml::from_str::<Limits>("events = 7").is_err());
    }
}
