//! Merged batches as SDKs send them, made from a seed: the same seed gives the same bytes.
//!
//! In: a plan and a batch number. Out: sealed gzipped bytes with the fingerprints by which they are
//! known again. Everything about a batch is a pure function of plan and number, so that nothing has
//! to be remembered but what happened to it.

use std::fmt::Write as _;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use rustc_hash::FxHasher;
use uuid::Uuid;

pub mod apps;
mod ids;
pub mod kinds;
mod random;

pub use apps::{APPS, App};
pub use kinds::Kind;
pub use random::Random;

/// What a load consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Decides every byte.
    pub seed: u64,
    /// When all batches were sealed, Unix milliseconds.
    pub start_ms: u64,
    /// Events in each batch, at most [`Plan::EVENTS_MAX`].
    pub batch_events: u16,
    /// How many devices and servers take turns.
    pub instances: u32,
}

/// What a batch says about itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Origin {
    /// The batch id.
    pub id: Uuid,
    /// Who sends it.
    pub app: &'static App,
    /// 0 critical, 1 normal, 2 bulk.
    pub class: u8,
    /// The device or server.
    pub instance: String,
    /// The life of its queue.
    pub epoch: Uuid,
    /// The sequence number of its first event.
    pub first_seq: u64,
}

/// A batch in its final bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Its number in the plan.
    pub number: u32,
    /// The gzipped body.
    pub body: Bytes,
    /// Of the gzipped body.
    pub fingerprint: u64,
    /// Of the bytes of every event.
    pub events: Vec<u32>,
    /// Indexes of events that the gateway's rules will filter.
    pub filtered: Vec<u16>,
}

/// Where a known id stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The id of a batch.
    Batch(u32),
    /// The id of an event: batch number and index.
    Event(u32, u16),
}

impl Plan {
    /// The protocol's limit.
    pub const EVENTS_MAX: u16 = 5000;

    /// Who sends the batch and as what.
    pub fn origin(&self, number: u32) -> Origin {
        let instance = number % self.instances.max(1);
        let turn = u64::from(number / self.instances.max(1));
        let draw = random::mix(self.seed ^ (u64::from(number) << 8) ^ CLASS);
        Origin {
            id: ids::write(self, number, ids::BATCH),
            app: APPS.get(instance as usize % APPS.len()).unwrap_or(&APPS[0]),
            class: [0, 1, 1, 1, 1, 1, 1, 1, 2, 2][(draw % 10) as usize],
            instance: format!("{:016x}", random::mix(self.seed ^ u64::from(instance))),
            epoch: ids::write(self, instance, ids::EPOCH),
            first_seq: turn * u64::from(self.batch_events) + 1,
        }
    }

    /// The id of an event.
    pub fn event_id(&self, number: u32, index: u16) -> Uuid {
        ids::write(self, number, index)
    }

    /// The type of an event.
    pub fn kind(&self, number: u32, index: u16) -> &'static Kind {
        kinds::pick(self.random(number, index).draw())
    }

    /// Which batch or event of this plan has the id; `None` if it was never made here.
    pub fn locate(&self, id: Uuid) -> Option<Place> {
        let place = match ids::read(self, id)? {
            (number, ids::BATCH) => Place::Batch(number),
            (number, index) if index < self.batch_events => Place::Event(number, index),
            _ => return None,
        };
        let (Place::Batch(number) | Place::Event(number, _)) = place;
        let index = if let Place::Event(_, index) = place { index } else { ids::BATCH };
        (ids::write(self, number, index) == id).then_some(place)
    }

    /// When an event happened: batches collect for five seconds.
    fn ts_ms(&self, index: u16) -> u64 {
        let part = u64::from(index) * COLLECT_MS / u64::from(self.batch_events.max(1));
        self.start_ms.saturating_sub(COLLECT_MS) + part.min(COLLECT_MS)
    }

    fn random(&self, number: u32, index: u16) -> Random {
        Random::new(self.seed ^ (u64::from(number) << 16) ^ u64::from(index) ^ EVENT)
    }
}

/// Makes batches; keeps its buffers.
#[derive(Debug)]
pub struct Generator {
    plan: Plan,
    text: String,
}

impl Generator {
    /// For one thread.
    pub fn new(plan: Plan) -> Self {
        Self { plan, text: String::new() }
    }

    /// The batch with this number, sealed.
    pub fn seal(&mut self, number: u32) -> Sealed {
        self.text.clear();
        let origin = self.plan.origin(number);
        header(&mut self.text, &origin, self.plan.batch_events);
        let mut events = Vec::with_capacity(self.plan.batch_events.into());
        let mut filtered = Vec::new();
        for index in 0..self.plan.batch_events {
            self.text.push('\n');
            let start = self.text.len();
            self.event(number, index, origin.first_seq + u64::from(index));
            events.push(short_fingerprint(self.text.as_bytes().get(start..).unwrap_or_default()));
            if self.plan.kind(number, index).filtered() {
                filtered.push(index);
            }
        }
        self.text.push('\n');
        let body = gzip(self.text.as_bytes());
        Sealed { number, fingerprint: fingerprint(&body), body, events, filtered }
    }

    fn event(&mut self, number: u32, index: u16, seq: u64) {
        let mut random = self.plan.random(number, index);
        let kind = kinds::pick(random.draw());
        let id = self.plan.event_id(number, index);
        let ts_ms = self.plan.ts_ms(index);
        put(&mut self.text, format_args!(r#"{{"id":"{id}","seq":{seq},"ts":{ts_ms},"#));
        let age_ms = self.plan.start_ms.saturating_sub(ts_ms);
        if age_ms > AGE_TOLD_MS {
            put(&mut self.text, format_args!(r#""age":{age_ms},"#));
        }
        put(&mut self.text, format_args!(r#""type":"{}","#, kind.name));
        if kind.name == "scroll" {
            self.text.push_str(r#""weight":4,"#);
        }
        self.text.push_str(r#""props":{"#);
        (kind.props)(&mut self.text, &mut random);
        self.text.push_str("}}");
    }
}

/// What two byte strings that differ do not share, in practice.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    BuildHasherDefault::<FxHasher>::default().hash_one(bytes)
}

/// The same in half the memory: there are many events.
pub fn short_fingerprint(bytes: &[u8]) -> u32 {
    let long = fingerprint(bytes);
    u32::try_from((long ^ (long >> 32)) & 0xffff_ffff).unwrap_or_default()
}

fn header(text: &mut String, origin: &Origin, count: u16) {
    let Origin { id, app, class, instance, epoch, .. } = origin;
    put(text, format_args!(r#"{{"tidegate":1,"batch":"{id}","sdk":"{}","#, app.sdk));
    put(text, format_args!(r#""instance":"{instance}","epoch":"{epoch}","class":{class},"#));
    put(text, format_args!(r#""count":{count},"config":1,"context":{}}}"#, app.context));
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a string cannot fail");
}

/// Level 6, one member, no name and no time, as browsers and mobile SDKs do.
fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 3), Compression::new(6));
    encoder.write_all(text).expect("writing to a vector cannot fail");
    encoder.finish().expect("writing to a vector cannot fail").into()
}

const COLLECT_MS: u64 = 5000;
const AGE_TOLD_MS: u64 = 1000;
const CLASS: u64 = 0x636c_6173_7300_0000;
const EVENT: u64 = 0x6576_656e_7400_0000;

#[cfg(test)]
mod tests;
