//! Condition `where`: what stands in the event's fields. All entries of the list have to hold.
//!
//! An entry is `{ field = "props.country", equals = "NL" }`, with one of `equals`, `in`, `prefix`,
//! `regex`, `min` and/or `max`, `present`. Strings are compared as they mean, not as they are
//! written; numbers by value; a field that is missing or null fulfils only `present = false`.

use std::cmp::Ordering;

use regex::Regex;
use rustc_hash::FxHashSet;
use serde::Deserialize;

use super::bounds::Bounds;
use super::{Condition, Test, read, read_list};
use crate::json;

/// Values in one `in` list.
const IN_MAX: usize = 1_000;

/// Compiled size of one regular expression.
const REGEX_BYTES_MAX: usize = 1 << 20;

pub(super) const CONDITION: Condition = Condition {
    name: "where",
    doc: "a list of { field = \"props.x\", equals|in|prefix|regex|min|max|present = … }; all hold",
    build,
};

fn build(value: toml::Value) -> Result<Test, String> {
    let written: Vec<toml::Value> = read_list(value)?;
    let entries = written.into_iter().map(Entry::build).collect::<Result<Vec<_>, _>>()?;
    Ok(Test::Event(Box::new(move |event| entries.iter().all(|entry| entry.holds(event.json)))))
}

/// One entry as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    field: String,
    equals: Option<Scalar>,
    r#in: Option<Vec<Scalar>>,
    prefix: Option<String>,
    regex: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    present: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Bool(bool),
    Integer(i64),
    Float(f64),
}

struct Entry {
    path: Vec<String>,
    wanted: Wanted,
}

enum Wanted {
    Present(bool),
    Prefix(String),
    Regex(Regex),
    Within(Bounds<f64>),
    OneOf { texts: FxHashSet<String>, others: Vec<Other> },
}

/// A wanted value that is no text.
enum Other {
    Bool(bool),
    Integer(i64),
    Float(f64),
}

impl Entry {
    fn build(value: toml::Value) -> Result<Self, String> {
        let written: Written = read(value)?;
        let path: Vec<_> = written.field.split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err(format!("field {:?} must be keys joined by single dots", written.field));
        }
        let mut wanted = Vec::new();
        if let Some(value) = written.equals {
            wanted.push(one_of(vec![value]));
        }
        if let Some(values) = written.r#in {
            if values.is_empty() || values.len() > IN_MAX {
                return Err(format!("in must list 1 to {IN_MAX} values"));
            }
            wanted.push(one_of(values));
        }
        wanted.extend(written.prefix.map(Wanted::Prefix));
        if let Some(text) = written.regex {
            let built = regex::RegexBuilder::new(&text).size_limit(REGEX_BYTES_MAX).build();
            wanted.push(Wanted::Regex(built.map_err(|error| error.to_string())?));
        }
        if written.min.is_some() || written.max.is_some() {
            let bounds = Bounds { min: written.min, max: written.max };
            bounds.check()?;
            wanted.push(Wanted::Within(bounds));
        }
        wanted.extend(written.present.map(Wanted::Present));
        let only = wanted.pop().filter(|_| wanted.is_empty());
        let wanted = only.ok_or_else(|| {
            let field = &written.field;
            format!("field {field:?} needs one of equals, in, prefix, regex, min and max, present")
        })?;
        Ok(Self { path, wanted })
    }

    fn holds(&self, event: &[u8]) -> bool {
        let found = json::field(event, &self.path).filter(|raw| *raw != b"null");
        let Some(raw) = found else { return matches!(self.wanted, Wanted::Present(false)) };
        match &self.wanted {
            Wanted::Present(wanted) => *wanted,
            Wanted::Prefix(prefix) => text(raw).is_some_and(|text| text.starts_with(prefix)),
            Wanted::Regex(regex) => text(raw).is_some_and(|text| regex.is_match(&text)),
            Wanted::Within(bounds) => number(raw).is_some_and(|number| bounds.hold(&number)),
            Wanted::OneOf { texts, others } => match text(raw) {
                Some(text) => texts.contains(text.as_ref()),
                None => others.iter().any(|other| other.is(raw)),
            },
        }
    }
}

impl Other {
    fn is(&self, raw: &[u8]) -> bool {
        match *self {
            Self::Bool(wanted) => raw == if wanted { &b"true"[..] } else { b"false" },
            Self::Integer(wanted) => match std::str::from_utf8(raw).ok().map(str::parse::<i64>) {
                // Doubles cannot tell neighbours beyond 2^53 apart, integers can.
                Some(Ok(is)) => is == wanted,
                #[expect(clippy::cast_precision_loss, reason = "against a number with a fraction")]
                _ => number(raw).is_some_and(|is| same(is, wanted as f64)),
            },
            Self::Float(wanted) => number(raw).is_some_and(|is| same(is, wanted)),
        }
    }
}

fn one_of(values: Vec<Scalar>) -> Wanted {
    let mut texts = FxHashSet::default();
    let mut others = Vec::new();
    for value in values {
        others.push(match value {
            Scalar::Text(text) => {
                texts.insert(text);
                continue;
            }
            Scalar::Bool(value) => Other::Bool(value),
            Scalar::Integer(value) => Other::Integer(value),
            Scalar::Float(value) => Other::Float(value),
        });
    }
    Wanted::OneOf { texts, others }
}

/// The text of a string value.
fn text(raw: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    raw.strip_prefix(b"\"")?.strip_suffix(b"\"").map(json::unescape)
}

fn number(raw: &[u8]) -> Option<f64> {
    matches!(raw.first(), Some(b'-' | b'0'..=b'9')).then(|| json::float(raw)).flatten()
}

fn same(is: f64, wanted: f64) -> bool {
    is.partial_cmp(&wanted).is_some_and(Ordering::is_eq)
}
