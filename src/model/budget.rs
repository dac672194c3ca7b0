//! One budget for the memory of everything in flight, and the charges that are held against it.
//!
//! In: what somebody is about to keep. Out: a [`Charge`], or nothing when there is no room; it goes
//! back when it is dropped, whatever ended the request. A share is reserved for the drainer, so
//! that live traffic can never keep it from moving, and connections get at most three quarters of
//! the rest, so that idle ones never keep batches out. Must never wait, nor grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// From here on a body is large: read in turns, and worked on aside.
pub const LARGE_BODY_BYTES: u64 = 128 << 10;

/// Who holds memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Bodies that are being read, or wait for their turn.
    Bodies,
    /// The same, of more than [`LARGE_BODY_BYTES`].
    LargeBodies,
    /// Batches from their split until they are settled: in the journal's queue, inside the Kafka
    /// client, with the drainer.
    Batches,
    /// Open connections with their buffers.
    Connections,
    /// Batches that the drainer has read back.
    Drain,
}

impl Part {
    const ALL: [Self; 5] =
        [Self::Bodies, Self::LargeBodies, Self::Batches, Self::Connections, Self::Drain];

    fn name(self) -> &'static str {
        match self {
            Self::Bodies => "bodies",
            Self::LargeBodies => "large_bodies",
            Self::Batches => "batches",
            Self::Connections => "connections",
            Self::Drain => "drain",
        }
    }
}

/// What the budget is cut from.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The whole.
    pub budget_bytes: u64,
    /// The drainer's share.
    pub drain_bytes: u64,
    /// Caches and their caps: held back from the start, because they fill up in any case.
    pub caches: Vec<(&'static str, u64)>,
}

impl Plan {
    /// What is left for connections and batches.
    pub fn live_bytes(&self) -> u64 {
        let caches: u64 = self.caches.iter().map(|(_, bytes)| bytes).sum();
        self.budget_bytes.saturating_sub(caches).saturating_sub(self.drain_bytes)
    }

    /// The most that connections may take of it.
    pub fn connections_bytes(&self) -> u64 {
        self.live_bytes() / 4 * 3
    }

    /// The most that large bodies may take of it, so that however many come, small ones get in.
    pub fn large_bytes(&self) -> u64 {
        self.live_bytes() / 2
    }
}

/// The budget.
#[derive(Debug)]
pub struct Budget {
    plan: Plan,
    /// Live traffic: every part but the drainer's.
    live: AtomicU64,
    parts: [AtomicU64; Part::ALL.len()],
}

impl Budget {
    /// A budget of which only the caches are taken.
    pub fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self { plan, live: AtomicU64::new(0), parts: Default::default() })
    }

    /// Takes `bytes`, or nothing if they are not there. Never waits.
    pub fn take(self: &Arc<Self>, part: Part, bytes: u64) -> Option<Charge> {
        self.grow(part, bytes).then(|| Charge { part, bytes, budget: Some(Arc::clone(self)) })
    }

    /// Takes `bytes` for a body of that length, which may grow.
    pub fn take_body(self: &Arc<Self>, bytes: u64) -> Option<Charge> {
        let is_large = bytes > LARGE_BODY_BYTES;
        self.take(if is_large { Part::LargeBodies } else { Part::Bodies }, bytes)
    }

    /// Takes `bytes` for the drainer. Never refused: what goes beyond its share, which is at most
    /// one batch, live traffic has less.
    pub fn take_for_drain(self: &Arc<Self>, bytes: u64) -> Charge {
        let part = Part::Drain;
        self.part(part).fetch_add(bytes, Ordering::AcqRel);
        Charge { part, bytes, budget: Some(Arc::clone(self)) }
    }

    /// The whole.
    pub fn bytes(&self) -> u64 {
        self.plan.budget_bytes
    }

    /// Everybody's part by name, caches with their caps; the sum is what is in use.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let taken = Part::ALL.map(|part| (part.name(), self.part(part).load(Ordering::Acquire)));
        taken.into_iter().chain(self.plan.caches.iter().copied())
    }

    /// How much of what batches may take is taken, 0 to 100.
    pub fn percent(&self) -> u64 {
        let (taken, room) = self.batches();
        (taken * 100).checked_div(room).unwrap_or(100).min(100)
    }

    fn is_tight(&self) -> bool {
        let (taken, room) = self.batches();
        taken > room / 2
    }

    /// What bodies and batches have taken, and what they may take beside open connections.
    fn batches(&self) -> (u64, u64) {
        let connections = self.part(Part::Connections).load(Ordering::Acquire);
        let taken = self.live.load(Ordering::Acquire).saturating_sub(connections);
        (taken, self.live_max().saturating_sub(connections))
    }

    fn live_max(&self) -> u64 {
        let drain = self.part(Part::Drain).load(Ordering::Acquire);
        let overdrawn = drain.saturating_sub(self.plan.drain_bytes);
        self.plan.live_bytes().saturating_sub(overdrawn)
    }

    fn grow(&self, part: Part, bytes: u64) -> bool {
        if part == Part::Drain {
            self.part(part).fetch_add(bytes, Ordering::AcqRel);
            return true;
        }
        let share = match part {
            Part::Connections => self.plan.connections_bytes(),
            Part::LargeBodies => self.plan.large_bytes(),
            _ => u64::MAX,
        };
        if !add(self.part(part), bytes, share) {
            return false;
        }
        if !add(&self.live, bytes, self.live_max()) {
            self.part(part).fetch_sub(bytes, Ordering::AcqRel);
            return false;
        }
        true
    }

    fn shrink(&self, part: Part, bytes: u64) {
        if part != Part::Drain {
            self.live.fetch_sub(bytes, Ordering::AcqRel);
        }
        self.part(part).fetch_sub(bytes, Ordering::AcqRel);
    }

    fn part(&self, part: Part) -> &AtomicU64 {
        let [bodies, large, batches, connections, drain] = &self.parts;
        match part {
            Part::Bodies => bodies,
            Part::LargeBodies => large,
            Part::Batches => batches,
            Part::Connections => connections,
            Part::Drain => drain,
        }
    }
}

/// Adds unless the sum would be over the limit.
fn add(counter: &AtomicU64, bytes: u64, limit: u64) -> bool {
    counter
        .try_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            now.checked_add(bytes).filter(|sum| *sum <= limit)
        })
        .is_ok()
}

/// Bytes taken from a budget, given back on drop. The default one belongs to no budget.
#[derive(Debug)]
pub struct Charge {
    part: Part,
    bytes: u64,
    budget: Option<Arc<Budget>>,
}

impl Default for Charge {
    fn default() -> Self {
        Self { part: Part::Batches, bytes: 0, budget: None }
    }
}

impl Charge {
    /// Changes the charge to `bytes`; growth beyond the budget is refused and changes nothing.
    pub fn resize(&mut self, bytes: u64) -> bool {
        if let Some(budget) = &self.budget {
            if self.part == Part::Bodies && bytes > LARGE_BODY_BYTES {
                // It has become large, and counts as such with all that it holds.
                if !budget.grow(Part::LargeBodies, bytes) {
                    return false;
                }
                budget.shrink(self.part, self.bytes);
                self.part = Part::LargeBodies;
            } else if bytes <= self.bytes {
                budget.shrink(self.part, self.bytes - bytes);
            } else if !budget.grow(self.part, bytes - self.bytes) {
                return false;
            }
        }
        self.bytes = bytes;
        true
    }

    /// From now on the bytes count as a batch's.
    pub fn becomes_batch(&mut self) {
        if let Some(budget) = &self.budget
            && matches!(self.part, Part::Bodies | Part::LargeBodies)
        {
            budget.part(Part::Batches).fetch_add(self.bytes, Ordering::AcqRel);
            budget.part(self.part).fetch_sub(self.bytes, Ordering::AcqRel);
            self.part = Part::Batches;
        }
    }

    /// Whether more than half of what batches may take is taken: then nothing that can wait on disk
    /// should wait in memory.
    pub fn is_tight(&self) -> bool {
        self.budget.as_ref().is_some_and(|budget| budget.is_tight())
    }

    /// The bytes that it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.shrink(self.part, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use proptest::prelude::*;

    use super::*;

    fn budget() -> Arc<Budget> {
        let caches = vec![("dedupe", 20), ("buffers", 30)];
        Budget::new(Plan { budget_bytes: 1_000, drain_bytes: 150, caches })
    }

    fn taken(budget: &Budget) -> u64 {
        budget.parts().map(|(_, bytes)| bytes).sum::<u64>() - 50
    }

    #[test]
    fn gives_back_what_it_took() {
        let budget = budget();
        let mut one = budget.take(Part::Bodies, 500).expect("room");
        assert!(budget.take(Part::Bodies, 301).is_none(), "caches and the drainer's share stay");
        assert!(one.resize(800) && !one.resize(801), "to the last byte");
        assert!(one.is_tight());
        assert_eq!(budget.percent(), 100);
        assert!(one.resize(10));
        one.becomes_batch();
        assert_eq!(budget.parts().nth(2), Some(("batches", 10)));
        drop(one);
        assert_eq!((taken(&budget), budget.percent()), (0, 0));
    }

    #[test]
    fn the_drainer_always_gets_memory_and_live_traffic_never_its_share() {
        let budget = budget();
        let live = budget.take(Part::Batches, 800).expect("room");
        let drain = budget.take_for_drain(200);
        drop(live);
        assert!(budget.take(Part::Bodies, 751).is_none(), "50 were overdrawn");
        assert!(budget.take(Part::Bodies, 750).is_some());
        drop(drain);
        assert!(budget.take(Part::Bodies, 800).is_some());
    }

    #[test]
    fn connections_get_at_most_three_quarters_and_do_not_make_it_tight() {
        let budget = budget();
        let open = budget.take(Part::Connections, 600).expect("three quarters of what is live");
        assert!(budget.take(Part::Connections, 1).is_none());
        assert_eq!(budget.percent(), 0);
        let batch = budget.take(Part::Batches, 100).expect("room");
        assert!(!batch.is_tight() && budget.percent() == 50);
        drop(open);
        assert_eq!(budget.percent(), 12);
    }

    #[test]
    fn large_bodies_get_at_most_half_and_small_ones_still_get_in() {
        let plan = Plan { budget_bytes: 10 * LARGE_BODY_BYTES, ..Plan::default() };
        let budget = Budget::new(plan);
        let most = budget.take_body(5 * LARGE_BODY_BYTES).expect("half of it");
        assert!(budget.take_body(LARGE_BODY_BYTES + 1).is_none());
        let mut small = budget.take_body(LARGE_BODY_BYTES).expect("a small one");
        assert!(!small.resize(LARGE_BODY_BYTES + 1), "as small it has room, as large it has none");
        drop(most);
        assert!(small.resize(2 * LARGE_BODY_BYTES));
        assert_eq!(budget.parts().nth(1), Some(("large_bodies", 2 * LARGE_BODY_BYTES)));
        assert_eq!(budget.parts().next(), Some(("bodies", 0)));
        small.becomes_batch();
        assert!(small.resize(10 * LARGE_BODY_BYTES), "a batch may be as large as there is room");
        drop(small);
        assert_eq!(budget.parts().map(|(_, bytes)| bytes).sum::<u64>(), 0);
    }

    #[test]
    fn a_panic_gives_back_as_well() {
        let budget = budget();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let mut charge = budget.take(Part::Bodies, 10).expect("room");
            charge.becomes_batch();
            std::panic::resume_unwind(Box::new(charge.bytes()));
        }));
        assert!(ended.is_err());
        assert_eq!(taken(&budget), 0);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Take(usize, u64),
        Resize(usize, u64),
        Become(usize),
        Drop(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..5usize, 0..600u64).prop_map(|(part, bytes)| Step::Take(part, bytes)),
            (any::<usize>(), 0..600u64).prop_map(|(at, bytes)| Step::Resize(at, bytes)),
            any::<usize>().prop_map(Step::Become),
            any::<usize>().prop_map(Step::Drop),
        ]
    }

    proptest! {
        /// Whatever is done in whatever order: the parts are the sum of the charges, the budget
        /// holds but for what the drainer overdraws, and in the end nothing is left.
        #[test]
        fn parts_are_the_sum_of_the_charges(steps in prop::collection::vec(step(), 0..60)) {
            let budget = budget();
            let mut held: Vec<Charge> = Vec::new();
            for step in steps {
                match step {
                    Step::Take(4, bytes) => held.push(budget.take_for_drain(bytes)),
                    Step::Take(part, bytes) => held.extend(budget.take(Part::ALL[part], bytes)),
                    Step::Resize(at, bytes) if !held.is_empty() => {
                        let at = at % held.len();
                        let before = held[at].bytes();
                        let done = held[at].resize(bytes);
                        prop_assert_eq!(held[at].bytes(), if done { bytes } else { before });
                    }
                    Step::Become(at) if !held.is_empty() => {
                        let at = at % held.len();
                        held[at].becomes_batch();
                    }
                    Step::Drop(at) if !held.is_empty() => drop(held.swap_remove(at % held.len())),
                    _ => {}
                }
                for part in Part::ALL {
                    let of_it = held.iter().filter(|charge| charge.part == part);
                    let sum: u64 = of_it.map(Charge::bytes).sum();
                    prop_assert_eq!(budget.part(part).load(Ordering::Acquire), sum);
                }
                let live = held.iter().filter(|charge| charge.part != Part::Drain);
                let live: u64 = live.map(Charge::bytes).sum();
                prop_assert_eq!(budget.live.load(Ordering::Acquire), live);
                prop_assert!(live <= budget.plan.live_bytes());
            }
            drop(held);
            prop_assert_eq!(taken(&budget), 0);
        }
    }
}
