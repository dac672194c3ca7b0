//! Settings to a table that is ready to be asked; every error names its rule.

use std::fmt;

use super::sample::Share;
use super::settings::{Action, Settings};
use super::{AskBatch, AskEvent, AskKind, CONDITIONS, OfBatch, OfEvent, Pass, Test};
use crate::model::{Batch, Event, Facts};

/// Rules in one table.
pub const RULES_MAX: usize = 1_000;

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// More than [`RULES_MAX`].
    #[error("{0} rules are more than {RULES_MAX}")]
    TooMany(usize),
    /// A name that cannot be a metric's label.
    #[error("rule {0:?}: name must be 1 to 40 of a-z A-Z 0-9 _ . -")]
    Name(String),
    /// A name that stands for two rules.
    #[error("rule {0:?}: another rule has the same name")]
    Repeated(String),
    /// A key that no condition has.
    #[error("rule {rule:?}: unknown key {key:?}; conditions are {}", known())]
    Unknown {
        /// Which rule.
        rule: String,
        /// Which key.
        key: String,
    },
    /// A condition that makes no sense.
    #[error("rule {rule:?}: {key}: {message}")]
    Condition {
        /// Which rule.
        rule: String,
        /// Which condition.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
    /// No reason for a rejection, or one that cannot go onto the wire.
    #[error("rule {0:?}: reason must be 1 to 40 of a-z 0-9 _, and action \"reject\" needs one")]
    Reason(String),
    /// No rate for a sample, one that is no share, or one without a sample.
    #[error("rule {0:?}: rate must be from 0 to 1; action \"sample\" needs it, others have none")]
    Rate(String),
}

/// A compiled table of rules.
#[derive(Default)]
pub struct Rules {
    pub(super) rows: Vec<Rule>,
}

/// One compiled rule.
pub(super) struct Rule {
    name: String,
    reason: String,
    pub act: Act,
    of_batch: Vec<AskBatch>,
    of_kind: Vec<AskKind>,
    of_event: Vec<AskEvent>,
}

/// What a matching rule does.
pub(super) enum Act {
    Keep,
    Filter,
    Reject,
    Sample(Share),
}

impl Rules {
    /// Compiles rules in their order.
    pub fn compile(settings: &[Settings]) -> Result<Self, Error> {
        if settings.len() > RULES_MAX {
            return Err(Error::TooMany(settings.len()));
        }
        let mut rows: Vec<Rule> = Vec::with_capacity(settings.len());
        for row in settings {
            if rows.iter().any(|other| other.name == row.name) {
                return Err(Error::Repeated(row.name.clone()));
            }
            rows.push(Rule::compile(row)?);
        }
        Ok(Self { rows })
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The name of a rule by its position; empty if there is none.
    pub fn name(&self, rule: u16) -> &str {
        self.rows.get(usize::from(rule)).map_or("", |rule| &rule.name)
    }

    /// The reason that a rule tells clients; empty if it has none.
    pub fn reason(&self, rule: u16) -> &str {
        self.rows.get(usize::from(rule)).map_or("", |rule| &rule.reason)
    }

    /// The rule that decides about an event, whatever it then does; for explaining.
    ///
    /// Take the event from a split without rules, so that it is there even if a rule rejects it.
    pub fn matched(&self, facts: &Facts, batch: &Batch, event: &Event, body: &[u8]) -> Option<u16> {
        let class = batch.header.class.unwrap_or(facts.class);
        Pass::begin(self, facts, class, batch.id).matched(event, body)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.rows.iter().map(|rule| &rule.name)).finish()
    }
}

impl Rule {
    /// Compiles one rule.
    pub(super) fn compile(settings: &Settings) -> Result<Self, Error> {
        let name = settings.name.clone();
        let of_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !(1..=40).contains(&name.len()) || !name.chars().all(of_name) {
            return Err(Error::Name(name));
        }
        let act = act(settings)?;
        let reason = settings.reason.clone().unwrap_or_default();
        let (of_batch, of_kind, of_event) = (Vec::new(), Vec::new(), Vec::new());
        let mut rule = Self { name, reason, act, of_batch, of_kind, of_event };
        let known = |key: &String| CONDITIONS.iter().any(|condition| condition.name == *key);
        if let Some(key) = settings.conditions.keys().find(|key| !known(key)) {
            return Err(Error::Unknown { rule: rule.name, key: key.clone() });
        }
        for condition in &CONDITIONS {
            let Some(value) = settings.conditions.get(condition.name) else { continue };
            match (condition.build)(value.clone()) {
                Ok(Test::Batch(test)) => rule.of_batch.push(test),
                Ok(Test::Kind(test)) => rule.of_kind.push(test),
                Ok(Test::Event(test)) => rule.of_event.push(test),
                Err(message) => {
                    let key = condition.name;
                    return Err(Error::Condition { rule: rule.name, key, message });
                }
            }
        }
        Ok(rule)
    }

    /// Whether it can match anything in a batch.
    pub(super) fn takes_batch(&self, batch: &OfBatch<'_>) -> bool {
        self.of_batch.iter().all(|test| test(batch))
    }

    /// Whether it can match events of a type.
    pub(super) fn takes_kind(&self, kind: &str) -> bool {
        self.of_kind.iter().all(|test| test(kind))
    }

    /// Whether it matches an event, once the batch and the type are settled.
    pub(super) fn takes_event(&self, event: &OfEvent<'_>) -> bool {
        self.of_event.iter().all(|test| test(event))
    }
}

fn act(settings: &Settings) -> Result<Act, Error> {
    let wrong_reason = || Error::Reason(settings.name.clone());
    let wrong_rate = || Error::Rate(settings.name.clone());
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match &settings.reason {
        Some(text) if !(1..=40).contains(&text.len()) || !text.chars().all(allowed) => {
            return Err(wrong_reason());
        }
        None if settings.action == Action::Reject => return Err(wrong_reason()),
        _ => {}
    }
    match (settings.action, settings.rate) {
        (Action::Sample, Some(rate)) => Share::new(rate).map(Act::Sample).ok_or_else(wrong_rate),
        (Action::Sample, None) | (_, Some(_)) => Err(wrong_rate()),
        (Action::Keep, None) => Ok(Act::Keep),
        (Action::Filter, None) => Ok(Act::Filter),
        (Action::Reject, None) => Ok(Act::Reject),
    }
}

fn known() -> String {
    CONDITIONS.map(|condition| condition.name).join(", ")
}
