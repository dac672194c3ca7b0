//! The judge on hand-made findings: every fault that it knows, once.

use std::collections::BTreeMap;

use super::*;
use crate::batch::{Generator, Sealed};
use crate::claims::Claims;

struct Bench {
    plan: Plan,
    claims: Claims,
    generator: Generator,
}

impl Bench {
    fn new() -> Self {
        let plan = Plan { seed: 3, start_ms: 1_767_225_600_000, batch_events: 50, instances: 5 };
        let generator = Generator::new(plan.clone());
        Self { claims: Claims::new(plan.batch_events), plan, generator }
    }

    fn send(&mut self, number: u32) -> Sealed {
        let sealed = self.generator.seal(number);
        self.claims.sent(&sealed);
        sealed
    }

    fn acknowledged(&mut self, number: u32) -> Sealed {
        let sealed = self.send(number);
        self.claims.acknowledge(number, &[]);
        sealed
    }

    fn judge(self) -> Judge {
        Judge::new(self.plan, self.claims.close())
    }
}

/// The tier-2 values of a batch as the gateway writes them, with their lanes.
fn values(plan: &Plan, sealed: &Sealed) -> Vec<(String, &'static str)> {
    let text = {
        use std::io::Write as _;
        let mut decoder = flate2::write::GzDecoder::new(Vec::new());
        decoder.write_all(&sealed.body).unwrap();
        String::from_utf8(decoder.finish().unwrap()).unwrap()
    };
    let origin = plan.origin(sealed.number);
    let events =
        (0..).zip(text.lines().skip(1)).filter(|(index, _)| !sealed.filtered.contains(index));
    let splice = |(index, line): (u16, &str)| {
        let kind = plan.kind(sealed.number, index);
        let id = plan.event_id(sealed.number, index);
        let (name, app, batch) = (kind.name, origin.app.name, origin.id);
        let one = format!(r#"{{"_tg":{{"v":1,"id":"{id}","type":"{name}","app":"{app}","#);
        let two = format!(r#""batch":"{batch}","index":{index},"ctx":{{"x":"}}"}}}},"#);
        let envelope = format!("{one}{two}{}", &line[1..]);
        (envelope, kind.lane.unwrap_or("other"))
    };
    events.map(splice).collect()
}

fn show(judge: &mut Judge, values: &[(String, &str)]) {
    for (value, lane) in values {
        judge.event(value.as_bytes(), Some(lane));
    }
}

#[test]
fn a_perfect_run_has_no_fault() {
    let mut bench = Bench::new();
    let plan = bench.plan.clone();
    let sealed: Vec<_> = (0..40).map(|number| bench.acknowledged(number)).collect();
    let filtered: usize = sealed.iter().map(|sealed| sealed.filtered.len()).sum();
    assert!(filtered > 0);
    let mut judge = bench.judge();
    assert_eq!(judge.batches_missing(), 40);
    for sealed in &sealed {
        judge.raw(&sealed.body);
        show(&mut judge, &values(&plan, sealed));
    }
    let events = (40 * 50 - filtered) as u64;
    let (one, two) = judge.tiers();
    assert_eq!(one, Tier { claimed: 40, read: 40, ..Tier::default() });
    assert_eq!(two, Tier { claimed: events, read: events, ..Tier::default() });
    assert!(judge.examples().is_empty());
    judge.reset();
    assert_eq!(judge.events_missing(), events);
}

#[test]
fn missing_are_claims_alone() {
    let mut bench = Bench::new();
    bench.acknowledged(0);
    bench.send(1);
    bench.send(2);
    bench.claims.end(2, Fate::GivenUp);
    let expected = 50 - bench.generator.seal(0).filtered.len() as u64;
    let judge = bench.judge();
    let (one, two) = judge.tiers();
    assert_eq!((one.missing, two.missing), (1, expected));
    assert!(judge.examples().iter().all(|line| line.contains("batch 0")), "{:?}", judge.examples());
}

#[test]
fn what_was_never_sent_is_alien() {
    let mut bench = Bench::new();
    let plan = bench.plan.clone();
    bench.acknowledged(0);
    let sealed = bench.generator.seal(1);
    let stranger = Generator::new(Plan { seed: 4, ..plan.clone() }).seal(0);
    let mut judge = bench.judge();
    judge.raw(&sealed.body);
    judge.raw(&stranger.body);
    judge.raw(b"rubbish");
    let own = values(&plan, &sealed);
    show(&mut judge, &own[..1]);
    show(&mut judge, &values(&Plan { seed: 4, ..plan }, &stranger)[..2]);
    let (one, two) = judge.tiers();
    assert_eq!(one.alien, BTreeMap::from([("never sent", 1), ("unknown id", 2)]));
    assert_eq!(two.alien, BTreeMap::from([("never sent", 1), ("unknown id", 2)]));
    assert_eq!((one.aliens(), two.aliens()), (3, 3));
}

#[test]
fn filtered_and_rejected_events_must_stay_away() {
    let mut bench = Bench::new();
    let plan = bench.plan.clone();
    let sealed = bench.send(0);
    bench.claims.acknowledge(0, &[5]);
    let unfiltered = Sealed { filtered: Vec::new(), ..sealed.clone() };
    let mut judge = bench.judge();
    show(&mut judge, &values(&plan, &unfiltered));
    let (_, two) = judge.tiers();
    let filtered = sealed.filtered.iter().filter(|index| **index != 5).count() as u64;
    assert_eq!(two.alien.get("rejected"), Some(&1));
    assert_eq!(two.alien.get("filtered").copied().unwrap_or_default(), filtered);
    assert_eq!(two.missing, 0);
}

#[test]
fn every_changed_byte_is_corruption() {
    let mut bench = Bench::new();
    let plan = bench.plan.clone();
    let sealed = bench.acknowledged(0);
    let mut body = sealed.body.to_vec();
    let last = body.len() - 1;
    body[last] ^= 1;
    let (value, lane) = values(&plan, &sealed).remove(0);
    let mut judge = bench.judge();
    judge.raw(&body);
    let swapped = |from: &str, to: &str| {
        assert!(value.contains(from), "{from} is not in {value}");
        value.replacen(from, to, 1)
    };
    judge.event(swapped(r#""seq":1,"#, r#""seq":2,"#).as_bytes(), Some(lane));
    judge.event(swapped(r#""app":"shop""#, r#""app":"news""#).as_bytes(), Some(lane));
    judge.event(swapped(r#""index":0"#, r#""index":1"#).as_bytes(), Some(lane));
    judge.event(&value.as_bytes()[..value.len() - 1], Some(lane));
    judge.event(value.as_bytes(), Some("nowhere"));
    judge.event(b"{}", Some(lane));
    let (one, two) = judge.tiers();
    assert_eq!((one.corruptions(), one.missing), (1, 0));
    let expected =
        [("bytes", 2), ("envelope app", 1), ("envelope index", 1), ("lane", 1), ("no envelope", 1)];
    assert_eq!(two.corrupted, BTreeMap::from(expected));
    assert_eq!(two.corruptions(), 6);
}

#[test]
fn duplicates_are_told_apart_by_cause() {
    let mut bench = Bench::new();
    let plan = bench.plan.clone();
    let single = bench.acknowledged(0);
    let refused = bench.send(1);
    bench.acknowledged(1);
    let unclear = bench.send(2);
    bench.claims.unclear(2);
    bench.acknowledged(2);
    let mut judge = bench.judge();
    for sealed in [&single, &refused, &unclear] {
        let values = values(&plan, sealed);
        show(&mut judge, &values);
        show(&mut judge, &values[..=usize::try_from(sealed.number).unwrap()]);
        judge.raw(&sealed.body);
    }
    judge.raw(&single.body);
    judge.raw(&single.body);
    let (one, two) = judge.tiers();
    assert_eq!(two.duplicated, Duplicated { by_us: 1, after_refusal: 2, by_retry: 3 });
    assert_eq!(one.duplicated, Duplicated { by_us: 2, ..Duplicated::default() });
    assert_eq!((two.missing, two.duplicates()), (0, 6));
}

#[test]
fn found_without_a_claim_is_no_fault() {
    let mut bench = Bench::new();
    let plan = bench.plan.clone();
    let sealed = bench.send(0);
    bench.claims.unclear(0);
    let values = values(&plan, &sealed);
    let mut judge = bench.judge();
    judge.raw(&sealed.body);
    show(&mut judge, &values);
    let (one, two) = judge.tiers();
    assert_eq!((one.unclaimed, two.unclaimed), (1, values.len() as u64));
    assert_eq!(one.missing + two.missing + one.aliens() + two.aliens(), 0);
}

#[test]
fn what_lay_in_a_deleted_lane_is_excused_and_nothing_else() {
    let mut bench = Bench::new();
    let sealed = bench.acknowledged(0);
    let plan = bench.plan.clone();
    let found = values(&plan, &sealed);
    let gone = found.iter().filter(|(_, lane)| *lane == "page").count() as u64;
    assert!(gone > 0);
    let until_ms = bench.claims.now_ms();
    let mut judge = bench.judge();
    for (value, lane) in found.iter().filter(|(_, lane)| *lane != "page") {
        judge.event(value.as_bytes(), Some(lane));
    }
    assert_eq!(judge.events_missing(), gone);
    assert_eq!(judge.missing_of(0).len() as u64, gone);
    judge.excuse(Excuses { lanes: vec![("page".to_owned(), until_ms)], ..Excuses::default() });
    let (_, two) = judge.tiers();
    assert_eq!((two.missing, two.excused), (0, gone));
    judge.excuse(Excuses { lanes: vec![("video".to_owned(), until_ms)], ..Excuses::default() });
    assert_eq!(judge.events_missing(), gone);
    judge.excuse(Excuses { batches: [0].into_iter().collect(), ..Excuses::default() });
    assert_eq!((judge.events_missing(), judge.first_missing()), (0, None));
}

#[test]
fn a_dead_letter_is_found_and_counted() {
    let mut bench = Bench::new();
    let sealed = bench.acknowledged(0);
    let plan = bench.plan.clone();
    let found = values(&plan, &sealed);
    let kept: Vec<u16> = (0..50).filter(|index| !sealed.filtered.contains(index)).collect();
    let mut judge = bench.judge();
    for (value, lane) in found.iter().skip(1) {
        judge.event(value.as_bytes(), Some(lane));
    }
    assert_eq!(judge.missing_of(0), kept[..1]);
    judge.buried(plan.event_id(0, kept[0]).to_string().as_bytes());
    judge.buried(plan.origin(0).id.to_string().as_bytes());
    let (one, two) = judge.tiers();
    assert_eq!((one.missing, one.buried, two.missing, two.buried), (0, 1, 0, 1));
    judge.buried(b"somebody else's");
    assert_eq!(judge.tiers().1.aliens(), 1);
}

#[test]
fn a_copy_of_the_disk_owes_what_was_claimed_before_it() {
    let mut bench = Bench::new();
    bench.acknowledged(0);
    let late = bench.send(1);
    let before = bench.claims.snapshot();
    bench.claims.acknowledge(late.number, &[]);
    let after = bench.send(2);
    let plan = bench.plan.clone();
    let ledger = bench.claims.snapshot().claiming_as(&before);
    let mut judge = Judge::new(plan.clone(), ledger);
    assert_eq!(judge.first_missing().unwrap().0, 0);
    // What was on its way may be there, and is no alien.
    for (value, lane) in values(&plan, &late).iter().chain(&values(&plan, &after)) {
        judge.event(value.as_bytes(), Some(lane));
    }
    let (_, two) = judge.tiers();
    assert_eq!((two.aliens(), two.missing), (0, two.claimed));
    assert!(two.claimed > 0 && two.unclaimed > 0);
}
