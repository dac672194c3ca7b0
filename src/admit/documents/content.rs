//! What one SDK document says, as it is written in `config/apps/<app>.toml`.
//!
//! In: a text. Out: values within their ranges, or an error with file, line and key. What a file
//! does not say it has from `default.toml`, and that from here.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::{Table, Value};

use crate::config::{load, place};

/// Everything that a file may say. `config/apps/default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Content {
    /// Grows with every change.
    pub version: u64,
    /// Until when SDKs send nothing, as RFC 3339; empty for not at all.
    pub off_until: String,
    /// Whether they forget what they hold, too.
    pub purge: bool,
    /// What sampling is decided by.
    pub sample_by: Unit,
    /// How long an event is kept for sending, in seconds.
    pub ttl_s: u64,
    /// How long a retried batch is recognised, in seconds.
    pub dedupe_s: u64,
    /// Shares that are kept, by type; `*` is every other type.
    pub sample: BTreeMap<String, f64>,
    /// When a batch is sealed.
    pub batch: Batch,
    /// What an SDK may hold.
    pub queue: Queue,
    /// Events that an SDK admits.
    pub rate: Rate,
    /// Waits between attempts.
    pub retry: Retry,
    /// Classes by event type.
    pub classes: BTreeMap<String, u8>,
    /// What is sampled at which pressure.
    pub degrade: Vec<Level>,
}

/// What sampling is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// All or nothing of an instance, for devices.
    Instance,
    /// Each event by its id, for servers.
    Id,
}

/// `[batch]`: whatever is reached first seals it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// Events.
    pub events: u64,
    /// Bytes before compression.
    pub bytes: u64,
    /// Milliseconds since its first event.
    pub ms: u64,
}

/// `[queue]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that classes 0, 1 and 2 always have.
    pub floors: [u64; 3],
}

/// `[rate]`: a token bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    /// Events per second.
    pub per_s: u64,
    /// Events at once.
    pub burst: u64,
}

/// `[retry]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// The first wait.
    pub base_ms: u64,
    /// The longest.
    pub cap_ms: u64,
}

/// `[[degrade]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// 1, 2 or 3.
    pub pressure: u8,
    /// Shares that are kept, by class.
    pub classes: BTreeMap<String, f64>,
}

/// A kill lasts no longer than this.
pub(super) const OFF_MS_MAX: i64 = 24 * 3_600_000;
/// Entries of `sample` and of `classes`.
const ENTRIES_MAX: usize = 1_000;

/// What is wrong: the path of the key, and what it has to be.
type Wrong = (Vec<String>, String);

impl Content {
    /// When a kill ends, in Unix milliseconds.
    pub fn off_until_ms(&self) -> Option<i64> {
        let until = OffsetDateTime::parse(&self.off_until, &Rfc3339).ok()?;
        i64::try_from(until.unix_timestamp_nanos() / 1_000_000).ok()
    }

    /// Reads a text; what it does not say is as in `inherited`.
    pub(super) fn read(text: &str, inherited: &Table, now_ms: i64) -> Result<Self, String> {
        let at = |(path, message): Wrong| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let line = place::line_of(text, &path);
            format!("line {line}, key {}: {message}", path.join("."))
        };
        // Types and unknown keys first, while there are lines to name.
        load::parse::<Self>(text)?;
        let own: Table = load::parse(text)?;
        if !own.contains_key("version") {
            return wrong(&["version"], "is missing; it has to grow with every change").map_err(at);
        }
        let mut table = inherited.clone();
        merge(&mut table, own);
        let content = Self::deserialize(table).map_err(|error| error.to_string())?;
        content.look(now_ms).map_err(at)?;
        Ok(content)
    }

    fn look(&self, now_ms: i64) -> Result<(), Wrong> {
        within(&["version"], self.version, 1..=1 << 40)?;
        within(&["ttl_s"], self.ttl_s, 60..=30 * 86_400)?;
        within(&["dedupe_s"], self.dedupe_s, 0..=86_400)?;
        within(&["batch", "events"], self.batch.events, 1..=5_000)?;
        within(&["batch", "bytes"], self.batch.bytes, 1_024..=900 << 10)?;
        within(&["batch", "ms"], self.batch.ms, 100..=3_600_000)?;
        within(&["queue", "bytes"], self.queue.bytes, 64 << 10..=1 << 30)?;
        let floors = self.queue.floors.iter().fold(0u64, |sum, floor| sum.saturating_add(*floor));
        if floors > self.queue.bytes {
            return wrong(&["queue", "floors"], "must not come to more than queue.bytes");
        }
        within(&["rate", "per_s"], self.rate.per_s, 1..=100_000)?;
        within(&["rate", "burst"], self.rate.burst, 1..=1_000_000)?;
        within(&["retry", "base_ms"], self.retry.base_ms, 100..=60_000)?;
        within(&["retry", "cap_ms"], self.retry.cap_ms, self.retry.base_ms..=3_600_000)?;
        for (kind, rate) in &self.sample {
            if kind != "*" {
                is_type("sample", kind)?;
            }
            within(&["sample", kind], *rate, 0.0..=1.0)?;
        }
        for (kind, class) in &self.classes {
            is_type("classes", kind)?;
            within(&["classes", kind], *class, 0..=2)?;
        }
        for (key, entries) in [("sample", self.sample.len()), ("classes", self.classes.len())] {
            if entries > ENTRIES_MAX {
                return wrong(&[key], &format!("has {entries} entries, at most {ENTRIES_MAX}"));
            }
        }
        self.look_at_degrade()?;
        self.look_at_off(now_ms)
    }

    fn look_at_degrade(&self) -> Result<(), Wrong> {
        let mut seen = [false; 4];
        for level in &self.degrade {
            within(&["degrade", "pressure"], level.pressure, 1..=3)?;
            let seen = seen.get_mut(usize::from(level.pressure));
            if seen.is_some_and(|seen| std::mem::replace(seen, true)) {
                return wrong(&["degrade"], &format!("pressure {} stands twice", level.pressure));
            }
            for (class, rate) in &level.classes {
                if class != "1" && class != "2" {
                    return wrong(
                        &["degrade"],
                        "classes are \"1\" and \"2\": critical events stay",
                    );
                }
                within(&["degrade"], *rate, 0.0..=1.0)?;
            }
        }
        Ok(())
    }

    fn look_at_off(&self, now_ms: i64) -> Result<(), Wrong> {
        if self.off_until.is_empty() {
            return Ok(());
        }
        match self.off_until_ms() {
            None => wrong(&["off_until"], "must be a time such as 2026-01-01T12:00:00Z"),
            Some(until_ms) if until_ms.saturating_sub(now_ms) > OFF_MS_MAX => {
                wrong(&["off_until"], "must be within the next 24 hours")
            }
            Some(_) => Ok(()),
        }
    }
}

/// Tables become one, key by key; anything else is replaced.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn is_type(key: &str, kind: &str) -> Result<(), Wrong> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if (1..=128).contains(&kind.len()) && kind.bytes().all(allowed) {
        return Ok(());
    }
    wrong(&[key, kind], "is no event type: 1 to 128 of A-Z a-z 0-9 _ . : -")
}

fn within<T: PartialOrd + Display + Copy>(
    path: &[&str],
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), Wrong> {
    if range.contains(&value) {
        return Ok(());
    }
    wrong(path, &format!("{value} must be {} to {}", range.start(), range.end()))
}

fn wrong<T>(path: &[&str], message: &str) -> Result<T, Wrong> {
    Err((path.iter().map(ToString::to_string).collect(), message.to_owned()))
}

impl Default for Content {
    fn default() -> Self {
        let level = |pressure, classes: &[(&str, f64)]| Level {
            pressure,
            classes: classes.iter().map(|(class, rate)| ((*class).to_owned(), *rate)).collect(),
        };
        Self {
            version: 1,
            off_until: String::new(),
            purge: false,
            sample_by: Unit::Instance,
            ttl_s: 86_400,
            dedupe_s: 600,
            sample: BTreeMap::from([("*".to_owned(), 1.0)]),
            batch: Batch::default(),
            queue: Queue::default(),
            rate: Rate::default(),
            retry: Retry::default(),
            classes: BTreeMap::new(),
            degrade: vec![
                level(1, &[("2", 0.2)]),
                level(2, &[("2", 0.05)]),
                level(3, &[("1", 0.2), ("2", 0.01)]),
            ],
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self { events: 100, bytes: 48 << 10, ms: 5_000 }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { bytes: 1 << 20, floors: [256 << 10, 128 << 10, 64 << 10] }
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self { per_s: 50, burst: 200 }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { base_ms: 1_000, cap_ms: 60_000 }
    }
}
