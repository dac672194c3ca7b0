//! `[[rules]]` as they are written: a name, an action and conditions.
//!
//! Conditions are whatever [`super::CONDITIONS`] knows; they are built once while they are read, so
//! that a bad one is an error of the file, with its line, and not of the start.

use serde::{Deserialize, Serialize};

use super::compile::{Error, Rule};

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Settings {
    /// Its name in metrics, `explain` and errors: 1 to 40 of `a-z A-Z 0-9 _ . -`.
    pub name: String,
    /// What happens to events for which all conditions hold. No condition at all always holds.
    pub action: Action,
    /// What clients are told, `[a-z0-9_]{1,40}`; needed with `reject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The share that is kept, from 0 to 1; needed with `sample`, and only there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// The conditions by name, as written.
    #[serde(flatten)]
    pub conditions: toml::Table,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Keeps the event, and no later rule is asked.
    Keep,
    /// Drops it, counted under the rule's name.
    Filter,
    /// Drops it and tells the client why.
    Reject,
    /// Keeps a share, with its weight raised; the rest is dropped as by `Filter`.
    Sample,
}

#[derive(Deserialize)]
struct Written {
    name: String,
    action: Action,
    reason: Option<String>,
    rate: Option<f64>,
    #[serde(flatten)]
    conditions: toml::Table,
}

impl TryFrom<Written> for Settings {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self, Error> {
        let Written { name, action, reason, rate, conditions } = written;
        let settings = Self { name, action, reason, rate, conditions };
        Rule::compile(&settings)?;
        Ok(settings)
    }
}
