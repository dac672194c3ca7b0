//! The split against `serde_json`: which events are taken, why the others are not, and every byte
//! and number of those that are.
//!
//! [`judge`] says of one event what the protocol makes of it, [`forms`] says which events a body
//! holds; both are written from the protocol, on top of `serde_json`, and share no code with the
//! split. [`generate`] makes bodies that are nearly right, faster than a fuzzer finds them.

pub mod forms;
pub mod generate;
pub mod judge;

use tidegate::model::{Batch, Parcel, Reason, Refusal};
use tidegate::split;

use forms::Wanted;
use judge::{Kept, Verdict};

/// Small enough that generated events cross it now and then.
pub const EVENT_BYTES_MAX: u64 = 700;

/// What a body came to, for figures.
#[derive(Debug, Default)]
pub struct Seen {
    /// Events that both take.
    pub kept: u64,
    /// Why both refuse the others.
    pub rejected: Vec<Reason>,
    /// Whether the body's form is one that `forms` has an opinion on.
    pub modelled: bool,
}

/// Compares both on any body.
pub fn agree(data: &[u8]) {
    compare(data);
}

/// The same, and says what was seen; panics with the body where they differ.
pub fn compare(body: &[u8]) -> Seen {
    let facts = Parcel::empty().record.facts;
    let rules = split::Rules::compile(&[]).expect("no rules");
    let limits = split::Limits { event_bytes_max: EVENT_BYTES_MAX, ..split::Limits::default() };
    let found = split::split(body, &facts, None, &limits, &rules);
    let differ = |what: &str| -> ! {
        panic!("{what}\nbody: {}\nsplit: {found:?}", body.escape_ascii());
    };
    let (wanted, whole) = match forms::read(body) {
        Wanted::Unknown => return Seen::default(),
        Wanted::Empty => {
            if !matches!(found, Err(Refusal::Empty)) {
                differ("nothing is in it");
            }
            return Seen { modelled: true, ..Seen::default() };
        }
        Wanted::All(verdicts) => (verdicts, true),
        Wanted::Beginning(verdicts) => (verdicts, false),
    };
    let Ok(batch) = &found else { differ("a good body is refused") };
    let places = batch.events.len() + batch.rejected.len();
    if places < wanted.len() || (whole && places != wanted.len()) {
        differ(&format!("{places} events instead of {}", wanted.len()));
    }
    let mut seen = Seen { modelled: true, ..Seen::default() };
    for (index, verdict) in (0..).zip(wanted) {
        if let Err(difference) = check(batch, body, index, &verdict) {
            differ(&format!("event {index}: {difference}, not {verdict:?}"));
        }
        match verdict {
            Ok(_) => seen.kept += 1,
            Err(reason) => seen.rejected.push(reason),
        }
    }
    seen
}

/// What the split made of one event is what was wanted.
fn check(batch: &Batch, body: &[u8], index: u32, wanted: &Verdict<'_>) -> Result<(), String> {
    let rejected = batch.rejected.iter().find(|(at, _)| *at == index).map(|(_, reason)| *reason);
    let kept = batch.events.iter().find(|event| event.index == index);
    match (wanted, rejected, kept) {
        (Err(wanted), Some(found), None) if *wanted == found => Ok(()),
        (Ok(wanted), None, Some(event)) => {
            let arrival_ms = Parcel::empty().record.facts.arrival_ms;
            let found = Kept {
                text: event.span.of(body),
                kind: event.kind.of(body),
                id: event.id.of(body),
                seq: event.seq,
                ts: Some(event.ts_ms),
                weight: event.weight,
                broken: event.broken,
            };
            let wanted = Kept { ts: wanted.ts.or(Some(arrival_ms)), ..wanted.clone() };
            if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
        }
        (_, rejected, kept) => Err(format!("rejected {rejected:?}, kept {}", kept.is_some())),
    }
}
