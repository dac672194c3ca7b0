//! The limits of inflating.

use serde::{Deserialize, Serialize};

/// How far a body may inflate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest inflated body in bytes.
    pub inflated_bytes_max: u64,
    /// Largest ratio of inflated to received bytes …
    pub ratio_max: u64,
    /// … which counts only beyond this many inflated bytes.
    pub ratio_free_bytes: u64,
}

impl Limits {
    /// The same, but for the most that a body may inflate to, which may be less.
    #[must_use]
    pub fn within(&self, inflated_bytes_max: u64) -> Self {
        let inflated_bytes_max = self.inflated_bytes_max.min(inflated_bytes_max);
        Self { inflated_bytes_max, ..self.clone() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { inflated_bytes_max: 8 << 20, ratio_max: 200, ratio_free_bytes: 1 << 20 }
    }
}
