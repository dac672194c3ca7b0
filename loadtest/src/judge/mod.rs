//! Compares what is found behind the gateway with what was sent and claimed, byte for byte.
//!
//! In: the ledger, then every tier-1 and tier-2 value, in any order. Out: per tier the numbers of
//! missing, alien, corrupted and duplicated, with their causes and the first examples.

use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use crate::batch::{self, Place, Plan};
use crate::claims::{Fate, Ledger, Mark, Row};

pub mod arrival;
pub mod lanes;
pub mod tier;
mod value;

pub use tier::{Duplicated, Tier};

/// The judge of one run.
#[derive(Debug)]
pub struct Judge {
    plan: Plan,
    ledger: Ledger,
    bodies: FxHashMap<u64, u32>,
    events_found: Vec<u8>,
    batches_found: Vec<u8>,
    tier1: Tier,
    tier2: Tier,
    examples: Vec<String>,
    excuses: Excuses,
    bytes: Vec<u8>,
}

/// What the rig itself destroyed: claims that nobody can keep.
#[derive(Debug, Clone, Default)]
pub struct Excuses {
    /// Batches whose only copy was damaged.
    pub batches: FxHashSet<u32>,
    /// Lanes (or "raw") that were deleted, and until when on the claims' clock: batches that were
    /// sent before may have lain there.
    pub lanes: Vec<(String, u32)>,
}

impl Judge {
    /// With everything that was sent.
    pub fn new(plan: Plan, ledger: Ledger) -> Self {
        let bodies = ledger.sent().map(|(number, row)| (row.fingerprint, number)).collect();
        let rows = ledger.sent().last().map_or(0, |(number, _)| number as usize + 1);
        Self {
            events_found: vec![0; ledger.slots()],
            batches_found: vec![0; rows],
            plan,
            ledger,
            bodies,
            tier1: Tier::default(),
            tier2: Tier::default(),
            examples: Vec::new(),
            excuses: Excuses::default(),
            bytes: Vec::new(),
        }
    }

    /// Names what cannot be expected any more.
    pub fn excuse(&mut self, excuses: Excuses) {
        self.excuses = excuses;
    }

    /// One tier-1 value: a body as it was sent.
    pub fn raw(&mut self, body: &[u8]) {
        self.tier1.read += 1;
        let number = if let Some(number) = self.bodies.get(&batch::fingerprint(body)) {
            *number
        } else {
            match value::batch_id(body).and_then(|id| self.plan.locate(id)) {
                Some(Place::Batch(number)) if self.ledger.row(number).is_some() => {
                    self.corrupted(1, "bytes", || format!("body of batch {number}"));
                    number
                }
                Some(_) => return self.alien(1, "never sent", || "a body".to_owned()),
                None => return self.alien(1, "unknown id", || preview(body)),
            }
        };
        let Some(row) = self.ledger.row(number) else { return };
        let Some(found) = self.batches_found.get_mut(number as usize) else { return };
        *found = found.saturating_add(1);
        let copies = *found;
        self.count(1, row, copies, || format!("batch {number}, sent {} times", row.sends));
    }

    /// One tier-2 value, and its lane where that is told by the place where it was found.
    pub fn event(&mut self, value: &[u8], lane: Option<&str>) {
        self.tier2.read += 1;
        let Some((envelope, rest)) = value::cut(value) else {
            return self.corrupted(2, "no envelope", || preview(value));
        };
        let id = envelope.id.parse::<Uuid>().ok();
        let Some(Place::Event(number, index)) = id.and_then(|id| self.plan.locate(id)) else {
            return self.alien(2, "unknown id", || preview(value));
        };
        let known = self.ledger.row(number).zip(self.ledger.event(number, index));
        let Some((row, (fingerprint, mark))) = known else {
            return self.alien(2, "never sent", || preview(value));
        };
        match mark {
            Mark::Filtered => return self.alien(2, "filtered", || preview(value)),
            Mark::Rejected => return self.alien(2, "rejected", || preview(value)),
            Mark::Kept => {}
        }
        self.bytes.clear();
        self.bytes.push(b'{');
        self.bytes.extend_from_slice(rest);
        if batch::short_fingerprint(&self.bytes) != fingerprint {
            self.corrupted(2, "bytes", || preview(value));
        } else if let Some(wrong) = value::wrong_envelope(&envelope, &self.plan, number, index) {
            self.corrupted(2, wrong, || preview(value));
        } else if lane.is_some_and(|lane| !self.belongs(number, index, lane)) {
            self.corrupted(2, "lane", || format!("{} in {lane:?}", preview(value)));
        }
        let slot = self.ledger.slot(number, index);
        let Some(found) = self.events_found.get_mut(slot) else { return };
        *found = found.saturating_add(1);
        let copies = *found;
        self.count(2, row, copies, || {
            format!("event {index} of batch {number}, sent {} times", row.sends)
        });
    }

    /// The key of a dead letter: what it stands for was not lost.
    pub fn buried(&mut self, key: &[u8]) {
        let id = std::str::from_utf8(key).ok().and_then(|key| key.parse().ok());
        match id.and_then(|id| self.plan.locate(id)) {
            Some(Place::Batch(number)) => {
                self.tier1.buried += 1;
                if let Some(found) = self.batches_found.get_mut(number as usize) {
                    *found = found.saturating_add(1);
                }
            }
            Some(Place::Event(number, index)) => {
                self.tier2.buried += 1;
                let slot = self.ledger.slot(number, index);
                if let Some(found) = self.events_found.get_mut(slot) {
                    *found = found.saturating_add(1);
                }
            }
            None => self.alien(2, "dead letter", || preview(key)),
        }
    }

    /// Claimed events that have not been seen yet.
    pub fn events_missing(&self) -> u64 {
        self.events_lost().filter(|event| !self.event_excused(*event)).count() as u64
    }

    /// Claimed batches whose body has not been seen yet.
    pub fn batches_missing(&self) -> u64 {
        self.batches_lost().filter(|number| !self.batch_excused(*number)).count() as u64
    }

    /// The claimed batch of which something is missing that was acknowledged first.
    pub fn first_missing(&self) -> Option<(u32, Row)> {
        let events = self.events_lost().filter(|event| !self.event_excused(*event));
        let batches = self.batches_lost().filter(|number| !self.batch_excused(*number));
        let batches = batches.filter(|_| self.tier1.read > 0);
        let numbers = events.map(|(number, _)| number).chain(batches);
        let rows = numbers.filter_map(|number| Some((number, self.ledger.row(number)?)));
        rows.min_by_key(|(_, row)| row.ended_ms)
    }

    /// Indexes of the events of a batch that are claimed and were not found.
    pub fn missing_of(&self, number: u32) -> Vec<u16> {
        let ours = self.events_lost().filter(|(of, _)| *of == number);
        ours.filter(|event| !self.event_excused(*event)).map(|(_, index)| index).collect()
    }

    /// The plan, to name what is missing.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Forgets what was found, to read everything again.
    pub fn reset(&mut self) {
        self.events_found.fill(0);
        self.batches_found.fill(0);
        self.tier1 = Tier::default();
        self.tier2 = Tier::default();
        self.examples.clear();
    }

    /// The verdicts on tier 1 and tier 2.
    pub fn tiers(&self) -> (Tier, Tier) {
        let (mut one, mut two) = (self.tier1.clone(), self.tier2.clone());
        one.claimed = self.batches_claimed().count() as u64;
        one.missing = self.batches_missing();
        two.claimed = self.ledger.claimed().count() as u64;
        two.missing = self.events_missing();
        one.excused = self.batches_lost().count() as u64 - one.missing;
        two.excused = self.events_lost().count() as u64 - two.missing;
        (one, two)
    }

    /// The first few faults in words, missing ones last.
    pub fn examples(&self) -> Vec<String> {
        let missing = self.events_lost().filter(|event| !self.event_excused(*event));
        let missing = missing.take(EXAMPLES_MAX).map(|(number, index)| {
            let id = self.plan.event_id(number, index);
            let kind = self.plan.kind(number, index).name;
            let app = self.plan.origin(number).app.name;
            format!("tier 2 missing: {id} ({kind} of {app}, event {index} of batch {number})")
        });
        // Where not one body can be read, tier 1 is not judged.
        let judged = self.tier1.read > 0;
        let bodies = self.batches_lost();
        let bodies = bodies.filter(|number| judged && !self.batch_excused(*number));
        let bodies = bodies.take(EXAMPLES_MAX).map(|number| {
            format!("tier 1 missing: {} (batch {number})", self.plan.origin(number).id)
        });
        self.examples.iter().cloned().chain(bodies).chain(missing).collect()
    }

    fn batches_claimed(&self) -> impl Iterator<Item = u32> {
        let claimed = self.ledger.sent().filter(|(_, row)| row.fate == Fate::Acknowledged);
        claimed.map(|(number, _)| number)
    }

    fn batches_lost(&self) -> impl Iterator<Item = u32> {
        let found = |number: u32| self.batches_found.get(number as usize);
        self.batches_claimed().filter(move |number| found(*number).is_none_or(|found| *found == 0))
    }

    fn events_lost(&self) -> impl Iterator<Item = (u32, u16)> {
        let found = |(number, index)| self.events_found.get(self.ledger.slot(number, index));
        self.ledger.claimed().filter(move |event| found(*event).is_none_or(|found| *found == 0))
    }

    fn batch_excused(&self, number: u32) -> bool {
        self.excuses.batches.contains(&number) || self.lane_excused(number, "raw")
    }

    fn event_excused(&self, (number, index): (u32, u16)) -> bool {
        let lane = self.plan.kind(number, index).lane.unwrap_or("other");
        self.excuses.batches.contains(&number) || self.lane_excused(number, lane)
    }

    fn lane_excused(&self, number: u32, lane: &str) -> bool {
        let sent_ms = self.ledger.row(number).map_or(u32::MAX, |row| row.sent_ms);
        self.excuses.lanes.iter().any(|(excused, until_ms)| excused == lane && sent_ms <= *until_ms)
    }

    fn belongs(&self, number: u32, index: u16, lane: &str) -> bool {
        self.plan.kind(number, index).lane.unwrap_or("other") == lane
    }

    fn tier(&mut self, tier: u8) -> &mut Tier {
        if tier == 1 { &mut self.tier1 } else { &mut self.tier2 }
    }

    fn count(&mut self, tier: u8, row: Row, copies: u8, what: impl FnOnce() -> String) {
        if row.fate != Fate::Acknowledged && copies == 1 {
            self.tier(tier).unclaimed += 1;
        }
        if copies < 2 {
            return;
        }
        let duplicated = &mut self.tier(tier).duplicated;
        match row {
            Row { unclear: 1.., sends: 2.., .. } => duplicated.by_retry += 1,
            Row { sends: 2.., .. } => duplicated.after_refusal += 1,
            _ => {
                duplicated.by_us += 1;
                self.example(tier, "duplicated by us", what);
            }
        }
    }

    fn alien(&mut self, tier: u8, cause: &'static str, what: impl FnOnce() -> String) {
        *self.tier(tier).alien.entry(cause).or_default() += 1;
        self.example(tier, "alien", || format!("{cause}: {}", what()));
    }

    fn corrupted(&mut self, tier: u8, cause: &'static str, what: impl FnOnce() -> String) {
        *self.tier(tier).corrupted.entry(cause).or_default() += 1;
        self.example(tier, "corrupted", || format!("{cause}: {}", what()));
    }

    fn example(&mut self, tier: u8, fault: &str, what: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(format!("tier {tier} {fault}: {}", what()));
        }
    }
}

/// The beginning of a value as text.
fn preview(value: &[u8]) -> String {
    const PREVIEW_BYTES: usize = 500;
    String::from_utf8_lossy(value.get(..PREVIEW_BYTES).unwrap_or(value)).into_owned()
}

const EXAMPLES_MAX: usize = 10;

#[cfg(test)]
mod tests;
