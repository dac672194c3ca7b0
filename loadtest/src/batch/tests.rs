//! The generator keeps its word: same seed same bytes, valid JSON, realistic sizes.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;

use super::*;

fn plan() -> Plan {
    Plan { seed: 7, start_ms: 1_767_225_600_000, batch_events: 50, instances: 100 }
}

fn inflate(body: &[u8]) -> String {
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    decoder.write_all(body).unwrap();
    String::from_utf8(decoder.finish().unwrap()).unwrap()
}

#[test]
fn equal_seeds_give_equal_bytes() {
    let (mut one, mut other) = (Generator::new(plan()), Generator::new(plan()));
    // The order in which they are made does not matter.
    let ahead: Vec<_> = (0..20).map(|number| one.seal(number)).collect();
    let back: Vec<_> = (0..20).rev().map(|number| other.seal(number)).collect();
    assert!(ahead.iter().eq(back.iter().rev()));
    let stranger = Generator::new(Plan { seed: 8, ..plan() }).seal(0);
    assert_ne!(stranger.fingerprint, ahead[0].fingerprint);
}

#[test]
fn bodies_are_what_the_protocol_says() {
    let mut generator = Generator::new(plan());
    let mut seqs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut ids = HashSet::new();
    for number in 0..300 {
        let sealed = generator.seal(number);
        let origin = plan().origin(number);
        let text = inflate(&sealed.body);
        let mut lines = text.lines();
        let header: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert!(text.starts_with(r#"{"tidegate":1,"#));
        assert_eq!(header["batch"], origin.id.to_string());
        assert_eq!(header["count"], 50);
        assert_eq!(header["class"], origin.class);
        assert_eq!(plan().locate(origin.id), Some(Place::Batch(number)));
        for (index, line) in (0..).zip(lines) {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let id: Uuid = event["id"].as_str().unwrap().parse().unwrap();
            assert!(ids.insert(id));
            assert_eq!(plan().locate(id), Some(Place::Event(number, index)));
            assert_eq!(event["type"], plan().kind(number, index).name);
            assert_eq!(short_fingerprint(line.as_bytes()), sealed.events[usize::from(index)]);
            seqs.entry(origin.instance.clone()).or_default().push(event["seq"].as_u64().unwrap());
        }
    }
    assert_eq!(ids.len(), 300 * 50);
    assert_eq!(seqs.len(), 100);
    assert!(seqs.values().all(|seqs| seqs.iter().copied().eq(1..=150)));
}

#[test]
fn sizes_are_those_of_real_traffic() {
    let mut generator = Generator::new(plan());
    let (mut inflated, mut coded) = (0, 0);
    for number in 0..200 {
        let sealed = generator.seal(number);
        coded += sealed.body.len();
        inflated += inflate(&sealed.body).len();
    }
    let (event, sent) = (inflated / 200 / 50, coded / 200 / 50);
    assert!((255..=290).contains(&event), "an event has {event} bytes");
    assert!((60..=90).contains(&sent), "a gzipped event has {sent} bytes");
}

#[test]
fn frequent_types_are_frequent_and_some_are_filtered() {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut generator = Generator::new(plan());
    let mut filtered = 0;
    for number in 0..400 {
        filtered += generator.seal(number).filtered.len();
        for index in 0..50 {
            *counts.entry(plan().kind(number, index).name).or_default() += 1;
        }
    }
    assert_eq!(counts.len(), kinds::KINDS.len());
    assert!(counts["impression"] > counts["scroll"] && counts["scroll"] > counts["click"]);
    assert_eq!(filtered, counts["debug.trace"] as usize);
    // Zipf over twenty ranks gives the first 28 %.
    assert!((5000..6200).contains(&counts["impression"]), "{counts:?}");
}
