//! The split against `serde_json` on generated bodies: who takes which event, why not, and every
//! byte of those that are taken.
//!
//! The short form is a test like any other; `DIFFERENTIAL_INPUTS=10000000` makes it the long one.

use std::collections::BTreeMap;
use std::time::Instant;

use tidegate::model::Reason;

use super::parsers::targets::differential::{compare, generate};

/// Bodies of the short form.
const INPUTS: u64 = 60_000;

/// Why generated events are rejected at least now and then.
const MET: [Reason; 15] = [
    Reason::InvalidJson,
    Reason::InvalidUtf8,
    Reason::LoneSurrogate,
    Reason::TooDeep,
    Reason::TooLarge,
    Reason::NotObject,
    Reason::NoType,
    Reason::BadType,
    Reason::BadId,
    Reason::BadSeq,
    Reason::BadTs,
    Reason::BadAge,
    Reason::BadWeight,
    Reason::ReservedKey,
    Reason::DuplicateKey,
];

/// What all bodies came to.
#[derive(Default)]
struct Sum {
    inputs: u64,
    modelled: u64,
    kept: u64,
    rejected: BTreeMap<&'static str, u64>,
}

#[test]
fn the_split_and_serde_json_agree_on_generated_bodies() {
    let told = std::env::var("DIFFERENTIAL_INPUTS").ok();
    let inputs = told.and_then(|told| told.parse().ok()).unwrap_or(INPUTS);
    let began = Instant::now();
    let sum = std::thread::scope(|scope| {
        let threads = if inputs > INPUTS { 2 } else { 1 };
        let share = |thread| scope.spawn(move || run((thread..inputs).step_by(threads)));
        let shares: Vec<_> = (0..threads as u64).map(share).collect();
        shares.into_iter().fold(Sum::default(), |mut sum, share| {
            sum.add(share.join().expect("a share without a difference"));
            sum
        })
    });
    println!(
        "{} bodies in {:?}, {} modelled: {} events kept, rejected {:?}",
        sum.inputs,
        began.elapsed(),
        sum.modelled,
        sum.kept,
        sum.rejected
    );
    assert_eq!(sum.inputs, inputs);
    assert!(sum.modelled * 20 > inputs * 18, "no opinion on {}", inputs - sum.modelled);
    assert!(sum.kept > inputs / 4, "hardly any event is good");
    for reason in MET {
        assert!(sum.rejected.contains_key(reason.name()), "never rejected {}", reason.name());
    }
}

fn run(numbers: impl Iterator<Item = u64>) -> Sum {
    let mut sum = Sum::default();
    for number in numbers {
        let body = generate::body(number);
        let seen = compare(&body);
        sum.inputs += 1;
        sum.modelled += u64::from(seen.modelled);
        sum.kept += seen.kept;
        for reason in seen.rejected {
            *sum.rejected.entry(reason.name()).or_default() += 1;
        }
    }
    sum
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.modelled += other.modelled;
        self.kept += other.kept;
        for (reason, count) in other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
    }
}
