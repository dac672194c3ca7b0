//! Random histories of a client by the contract, with losses that a SIGKILL can cause, against the
//! books: nothing is unexplained, and an acknowledged batch that vanishes is missed to the event.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::super::State;
use super::super::report::{POST, PRE};
use super::*;

/// What the client does, or what is done to it. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Track {
        class: usize,
        events: u8,
    },
    Refuse {
        reason: usize,
        class: usize,
    },
    Evict {
        class: usize,
        events: u8,
    },
    Seal {
        epoch: usize,
        class: usize,
        events: u8,
    },
    Send {
        batch: usize,
        fate: Fate,
    },
    /// Events reach the store, and the ledger does not yet.
    StoreEvents,
    StoreAll,
    Kill,
}

/// How a send ends.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Acknowledged,
    /// It arrived, and the answer did not.
    AnswerLost,
    /// It arrived and was answered, and the process was killed before it could write that down.
    Killed,
    NeverArrived,
    Busy,
    TooLarge,
    Refused,
    Expired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    seq: u64,
    unanswered: bool,
}

#[derive(Debug, Clone)]
struct Sealed {
    id: u128,
    class: usize,
    events: Vec<Event>,
    record: Record,
    answered: bool,
}

/// What an epoch holds, in memory or in the store.
#[derive(Debug, Clone, Default)]
struct Held {
    n: u64,
    admitted: u64,
    acked: u64,
    pre: BTreeMap<(usize, usize), u64>,
    post: BTreeMap<(usize, usize), u64>,
    queues: [Vec<Event>; 3],
    sealed: Vec<Sealed>,
}

#[derive(Debug, Clone, Default)]
struct Epoch {
    memory: Held,
    store: Held,
    seq: u64,
}

#[derive(Debug, Default)]
struct World {
    epochs: Vec<Epoch>,
    batches: u128,
    /// What the gateway wrote, in order; batches may stand twice.
    arrived: Vec<Record>,
    /// Acknowledged batches: epoch, id, numbers.
    acknowledged: Vec<(usize, u128, Vec<u64>)>,
}

const UNCONFIRMED: usize = 9;

impl Held {
    fn held(&self) -> u64 {
        let queued: usize = self.queues.iter().map(Vec::len).sum();
        let sealed: usize = self.sealed.iter().map(|sealed| sealed.events.len()).sum();
        (queued + sealed) as u64
    }

    /// Events leave without an answer: `unconfirmed` if any send of them got none (R104).
    fn drop(&mut self, events: &[Event], reason: usize, class: usize) {
        for event in events {
            let reason = if event.unanswered { UNCONFIRMED } else { reason };
            *self.post.entry((reason, class)).or_default() += 1;
        }
    }

    fn report(&mut self, fin: Option<u64>) -> Said {
        self.n += 1;
        let rows = |counts: &BTreeMap<(usize, usize), u64>, names: &[&'static str; 10]| {
            let row = |(&(reason, class), &count): (&(usize, usize), &u64)| {
                (names[reason], u8::try_from(class).unwrap(), count)
            };
            counts.iter().map(row).collect()
        };
        let (pre, post) = (rows(&self.pre, &PRE), rows(&self.post, &POST));
        let said = Said { n: self.n, acked: self.acked, held: self.held(), pre, post, fin };
        let admitted = self.acked + self.held() + self.post.values().sum::<u64>();
        assert_eq!(admitted, self.admitted, "the model's own sums");
        said
    }
}

impl Epoch {
    fn store_all(&mut self) {
        self.store = self.memory.clone();
    }

    /// What a client finds that takes the queue over (R114).
    fn recover(&mut self) {
        let mut found = self.store.clone();
        for sealed in &mut found.sealed {
            sealed.events.iter_mut().for_each(|event| event.unanswered = true);
        }
        let queued = found.queues.iter().flatten().map(|event| event.seq);
        let sealed = found.sealed.iter().flat_map(|sealed| sealed.events.iter().map(|e| e.seq));
        let highest = queued.chain(sealed).max().unwrap_or(0);
        found.admitted = found.admitted.max(highest);
        let counted = found.acked + found.held() + found.post.values().sum::<u64>();
        if counted > found.admitted {
            found.admitted = counted;
        } else if counted < found.admitted {
            *found.post.entry((2, 1)).or_default() += found.admitted - counted;
        }
        (self.memory, self.seq) = (found, self.seq.max(highest));
        self.store_all();
    }
}

impl World {
    fn new() -> Self {
        Self { epochs: vec![Epoch::default()], ..Self::default() }
    }

    fn apply(&mut self, step: &Step) {
        let newest = self.epochs.len() - 1;
        let current = &mut self.epochs[newest];
        match *step {
            Step::Track { class, events } => {
                for _ in 0..events {
                    current.seq += 1;
                    current.memory.admitted += 1;
                    let event = Event { seq: current.seq, unanswered: false };
                    current.memory.queues[class].push(event);
                }
            }
            Step::Refuse { reason, class } => {
                *current.memory.pre.entry((reason, class)).or_default() += 1;
            }
            Step::Evict { class, events } => {
                let queue = &mut current.memory.queues[class];
                let gone: Vec<_> = queue.drain(..usize::from(events).min(queue.len())).collect();
                current.memory.drop(&gone, 0, class);
            }
            Step::Seal { epoch, class, events } => self.seal(epoch % (newest + 1), class, events),
            Step::Send { batch, fate } => self.send_any(batch, fate),
            Step::StoreEvents => current.store.queues.clone_from(&current.memory.queues),
            Step::StoreAll => current.store_all(),
            Step::Kill => self.kill(),
        }
    }

    fn kill(&mut self) {
        self.epochs.iter_mut().for_each(Epoch::recover);
        self.epochs.push(Epoch::default());
    }

    /// At most one batch of a class waits; it is in the store before it is sent (R77, R79).
    fn seal(&mut self, at: usize, class: usize, events: u8) {
        let memory = &mut self.epochs[at].memory;
        if memory.sealed.iter().any(|sealed| sealed.class == class) {
            return;
        }
        let queue = &mut memory.queues[class];
        let taken: Vec<_> = queue.drain(..usize::from(events).min(queue.len())).collect();
        if !taken.is_empty() {
            let place = memory.sealed.len();
            self.seal_at(at, place, class, taken);
        }
    }

    fn seal_at(&mut self, at: usize, place: usize, class: usize, events: Vec<Event>) {
        self.batches += 1;
        let id = self.batches;
        let epoch = &mut self.epochs[at];
        let nobody = record(Uuid::nil(), String::new());
        let sealed = Sealed { id, class, events, record: nobody, answered: false };
        epoch.memory.sealed.insert(place, sealed);
        let report = epoch.memory.report(None).json();
        let sealed = &mut epoch.memory.sealed[place];
        let seqs = sealed.events.iter().map(|event| event.seq);
        sealed.record = batch_of(&format!("e{at}"), id, seqs, &report);
        epoch.store_all();
    }

    fn send_any(&mut self, choice: usize, fate: Fate) {
        let places: Vec<(usize, usize)> = (0..self.epochs.len())
            .flat_map(|at| (0..self.epochs[at].memory.sealed.len()).map(move |place| (at, place)))
            .collect();
        if !places.is_empty() {
            let (at, place) = places[choice % places.len()];
            self.send(at, place, fate);
        }
    }

    fn send(&mut self, at: usize, place: usize, fate: Fate) {
        let memory = &mut self.epochs[at].memory;
        let mut sealed = memory.sealed[place].clone();
        // The gateway remembers what it answered (R15): a repetition is answered the same.
        let fate = match fate {
            Fate::TooLarge | Fate::Refused if sealed.answered => Fate::Acknowledged,
            other => other,
        };
        let arrives = matches!(fate, Fate::Acknowledged | Fate::AnswerLost | Fate::Killed);
        if arrives {
            self.arrived.push(sealed.record.clone());
        }
        match fate {
            Fate::Acknowledged => {
                let seqs = sealed.events.iter().map(|event| event.seq).collect();
                self.acknowledged.push((at, sealed.id, seqs));
                memory.acked += sealed.events.len() as u64;
                memory.sealed.remove(place);
                self.epochs[at].store_all();
            }
            Fate::AnswerLost | Fate::NeverArrived => {
                let kept = &mut memory.sealed[place];
                kept.answered |= arrives;
                kept.events.iter_mut().for_each(|event| event.unanswered = true);
                self.epochs[at].store_all();
            }
            Fate::Killed => {
                memory.sealed[place].answered = true;
                self.epochs[at].store.sealed[place].answered = true;
                self.kill();
            }
            Fate::Busy => {}
            Fate::TooLarge if sealed.events.len() > 1 => {
                memory.sealed.remove(place);
                let rest = sealed.events.split_off(sealed.events.len().div_ceil(2));
                // Both halves are held from the first report on, so the second is sealed first.
                self.epochs[at].memory.queues[sealed.class].splice(0..0, rest);
                self.seal_at(at, place, sealed.class, sealed.events);
            }
            Fate::TooLarge | Fate::Refused | Fate::Expired => {
                let reason = match fate {
                    Fate::TooLarge => 6,
                    Fate::Refused => 5,
                    _ => 3,
                };
                memory.sealed.remove(place);
                memory.drop(&sealed.events, reason, sealed.class);
                self.epochs[at].store_all();
            }
        }
    }

    /// Everything leaves, and every epoch that anything is known of is closed.
    fn end(&mut self, fates: &[Fate]) {
        let mut fates = fates.iter().cycle();
        for at in 0..self.epochs.len() {
            while self.epochs[at].memory.held() > 0 {
                for class in 0..3 {
                    self.seal(at, class, 5);
                }
                let fate = match fates.next() {
                    // Those that end the sending of a batch, so that this comes to an end.
                    Some(Fate::AnswerLost) => {
                        self.send(at, 0, Fate::AnswerLost);
                        Fate::Expired
                    }
                    Some(Fate::Expired) => Fate::Expired,
                    _ => Fate::Acknowledged,
                };
                self.send(at, 0, fate);
            }
            let epoch = &mut self.epochs[at];
            self.batches += 1;
            let top = epoch.seq.div_ceil(256) * 256;
            let report = epoch.memory.report(Some(top)).json();
            self.arrived.push(batch_of(&format!("e{at}"), self.batches, [], &report));
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Acknowledged),
        2 => Just(Fate::AnswerLost),
        1 => Just(Fate::Killed),
        2 => Just(Fate::NeverArrived),
        1 => Just(Fate::Busy),
        1 => Just(Fate::TooLarge),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Expired),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let (class, some) = (0..3_usize, 1..8_u8);
    prop_oneof![
        4 => (class.clone(), some.clone()).prop_map(|(class, events)| Step::Track { class, events }),
        1 => (0..10_usize, class.clone()).prop_map(|(reason, class)| Step::Refuse { reason, class }),
        1 => (class.clone(), some.clone()).prop_map(|(class, events)| Step::Evict { class, events }),
        4 => (any::<usize>(), class, some)
            .prop_map(|(epoch, class, events)| Step::Seal { epoch, class, events }),
        6 => (any::<usize>(), fate()).prop_map(|(batch, fate)| Step::Send { batch, fate }),
        1 => Just(Step::StoreEvents),
        1 => Just(Step::StoreAll),
        1 => Just(Step::Kill),
    ]
}

/// A history that has come to its end, and in which order its records are read.
fn history() -> impl Strategy<Value = (Vec<Step>, Vec<Fate>, u64)> {
    let steps = prop::collection::vec(step(), 1..120);
    (steps, prop::collection::vec(fate(), 1..20), any::<u64>())
}

fn world(steps: &[Step], fates: &[Fate]) -> World {
    let mut world = World::new();
    for step in steps {
        world.apply(step);
    }
    world.end(fates);
    world
}

/// Another order, by a hash of the place.
fn shuffled(records: &[Record], seed: u64) -> Vec<&Record> {
    let mut order: Vec<_> = (0_u64..).zip(records).collect();
    order.sort_by_key(|(at, _)| (at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
    order.into_iter().map(|(_, record)| record).collect()
}

/// Numbers of an epoch that arrived, without one batch.
fn seqs(arrived: &[Record], epoch: usize, without: u128) -> BTreeSet<u64> {
    let epoch = format!("\"epoch\":\"e{epoch}\"");
    let kept = arrived.iter().filter(|record| record.facts.batch.as_u128() != without);
    let texts = kept.map(|record| String::from_utf8(record.body.to_vec()).unwrap());
    let mut found = BTreeSet::new();
    for text in texts.filter(|text| text.lines().next().unwrap().contains(&epoch)) {
        let numbers = text.lines().skip(1).map(|line| {
            let (_, rest) = line.split_once("\"seq\":").unwrap();
            rest.split(',').next().unwrap().parse::<u64>().unwrap()
        });
        found.extend(numbers);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever happened to the client, once its epochs are closed nothing is unexplained, and the
    /// books say what the client itself knows.
    #[test]
    fn nothing_is_unexplained((steps, fates, seed) in history()) {
        let world = world(&steps, &fates);
        let found = books(shuffled(&world.arrived, seed));
        prop_assert!(found.closes, "{}", found.table().join("\n"));
        prop_assert_eq!(found.epochs.len(), world.epochs.len());
        for entry in &found.epochs {
            let at: usize = entry.epoch[1..].parse().unwrap();
            let held = &world.epochs[at].memory;
            let sums = &entry.sums;
            prop_assert_eq!((entry.state, sums.held, sums.invalid_reports), (State::Closed, 0, 0));
            prop_assert_eq!((sums.admitted, sums.acked), (held.admitted, held.acked));
            let pre: u64 = held.pre.values().sum();
            prop_assert_eq!(sums.tracked, held.admitted + pre);
            let here = seqs(&world.arrived, at, 0);
            prop_assert_eq!((sums.received, sums.beyond), (here.len() as u64, 0));
            prop_assert_eq!(sums.gap_events, held.admitted - here.len() as u64);
        }
    }

    /// An acknowledged batch that is not here is missing to the event, unless what nobody confirmed
    /// and came all the same could stand in for it.
    #[test]
    fn a_vanished_batch_is_missed((steps, fates, seed) in history(), choice in any::<usize>()) {
        let world = world(&steps, &fates);
        prop_assume!(!world.acknowledged.is_empty());
        let (epoch, id, size) = &world.acknowledged[choice % world.acknowledged.len()];
        let before = seqs(&world.arrived, *epoch, 0).len() as u64;
        let acked = world.epochs[*epoch].memory.acked;
        let mut left = world.arrived.clone();
        left.retain(|record| record.facts.batch.as_u128() != *id);
        let rest = seqs(&left, *epoch, 0).len() as u64;
        let found = books(shuffled(&left, seed));
        prop_assert_eq!(found.remainder, acked.saturating_sub(rest));
        if before == acked {
            prop_assert_eq!(found.remainder, size.len() as u64);
            prop_assert!(!found.closes);
        }
    }
}

#[test]
fn histories_cover_what_they_are_about() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut unconfirmed, mut store_error, mut twice, mut exact) = (0, 0, 0, 0);
    for _ in 0..200 {
        let (steps, fates, _) = history().new_tree(&mut runner).unwrap().current();
        let world = world(&steps, &fates);
        let posts = world.epochs.iter().flat_map(|epoch| &epoch.memory.post);
        for ((reason, _), count) in posts {
            unconfirmed += if *reason == UNCONFIRMED { *count } else { 0 };
            store_error += if *reason == 2 { *count } else { 0 };
        }
        let ids: BTreeSet<_> = world.arrived.iter().map(|record| record.facts.batch).collect();
        twice += world.arrived.len() - ids.len();
        exact += (0..world.epochs.len())
            .filter(|at| {
                world.epochs[*at].memory.acked == seqs(&world.arrived, *at, 0).len() as u64
            })
            .count();
    }
    assert!(
        unconfirmed > 100 && store_error > 50 && twice > 100 && exact > 100,
        "{unconfirmed} unconfirmed, {store_error} lost by a kill, {twice} repeated, {exact} exact"
    );
}
