//! Condition `types`: patterns for the event's type.

use super::{Condition, Test, read_list};
use crate::config::Pattern;

pub(super) const CONDITION: Condition = Condition {
    name: "types",
    doc: "type patterns, such as [\"debug.*\"]; the event's type matches one of them",
    build,
};

fn build(value: toml::Value) -> Result<Test, String> {
    let patterns: Vec<Pattern> = read_list(value)?;
    Ok(Test::Kind(Box::new(move |kind| patterns.iter().any(|pattern| pattern.matches(kind)))))
}
