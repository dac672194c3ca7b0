//! The balance in a table: what came, what was reported, and what has to be found.

use super::super::State;
use super::super::report::{POST, PRE};
use super::*;

/// Everything arrived and was acknowledged: 20 events in two batches, closed.
fn whole() -> Vec<Record> {
    vec![
        batch(1, 1..=10, &Said::new(1, 0, 10)),
        batch(2, 11..=20, &Said::new(2, 10, 10)),
        batch(3, [], &Said::new(3, 20, 0).fin(256)),
    ]
}

#[test]
fn an_epoch_that_lost_nothing_closes() {
    let found = books(&whole());
    assert!(found.closes && found.remainder == 0);
    let entry = &found.epochs[0];
    assert_eq!((entry.state, entry.n, entry.reserved), (State::Closed, 3, Some(256)));
    let sums = &entry.sums;
    assert_eq!((sums.tracked, sums.acked, sums.received, sums.accepted), (20, 20, 20, 20));
    assert_eq!((sums.gap_events, sums.unused, sums.batches), (0, 236, 3));
    assert_eq!(found.totals[0].sums, *sums);
}

#[test]
fn every_reason_has_its_place() {
    for class in 0..=2 {
        for reason in PRE {
            let last = Said::new(3, 20, 0).pre(reason, class, 7).fin(256);
            let mut records = whole();
            records[2] = batch(3, [], &last);
            let entry = entry(&records);
            assert_eq!(entry.sums.pre.rows(&PRE), [(reason, class, 7)]);
            assert_eq!((entry.sums.tracked, entry.sums.remainder), (27, 0), "{reason}");
        }
        for reason in POST {
            let last = Said::new(3, 20, 0).post(reason, class, 7).fin(256);
            let mut records = whole();
            records[2] = batch(3, [], &last);
            let entry = entry(&records);
            assert_eq!(entry.sums.post.rows(&POST), [(reason, class, 7)]);
            assert_eq!((entry.sums.admitted, entry.sums.remainder), (27, 0), "{reason}");
            assert_eq!((entry.gaps, entry.sums.gap_events), (vec![(21, 27)], 7));
        }
    }
}

#[test]
fn a_lost_batch_is_missing_whatever_else_happened() {
    for (gone, missing) in [(0, 10), (1, 10), (2, 0)] {
        let mut records = whole();
        records.remove(gone);
        let found = books(&records);
        // Without the last report the one before counts, for which the rest was held.
        let (state, missing) = if gone == 2 { (State::Open, 0) } else { (State::Closed, missing) };
        assert_eq!((found.epochs[0].state, found.epochs[0].sums.missing), (state, missing));
        assert_eq!((found.closes, found.remainder), (missing == 0, missing));
    }
}

#[test]
fn order_and_repetition_change_nothing() {
    let records = whole();
    let expected = entry(&records);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let shuffled: Vec<_> = order.iter().map(|at| &records[*at]).collect();
        assert_eq!(entry(shuffled.clone()), expected, "{order:?}");
        let mut twice = entry(shuffled.iter().chain(&shuffled).copied());
        assert_eq!(twice.sums.repeated_batches, 3);
        twice.sums.repeated_batches = 0;
        assert_eq!(twice, expected, "{order:?} twice");
    }
}

#[test]
fn gaps_are_what_was_dropped() {
    let last = Said::new(3, 16, 0).post("queue_full", 2, 3).post("expired", 1, 1).fin(256);
    let records = [
        batch(1, [1, 2, 4, 5, 6, 9, 10], &Said::new(1, 0, 20)),
        batch(2, [3, 12, 13, 14, 15, 16, 17, 18, 19], &Said::new(2, 7, 13)),
        batch(3, [], &last),
    ];
    let entry = entry(&records);
    assert_eq!(entry.gaps, [(7, 8), (11, 11), (20, 20)]);
    assert_eq!((entry.gap_runs, entry.sums.gap_events, entry.sums.remainder), (3, 4, 0));
}

#[test]
fn what_nobody_confirmed_may_be_here_or_not() {
    let last = |unconfirmed| Said::new(3, 10, 0).post("unconfirmed", 1, unconfirmed).fin(256);
    for (arrived, unconfirmed, missing, surplus) in
        [(0, 10, 0, 0), (10, 10, 0, 0), (4, 10, 0, 0), (10, 8, 0, 2), (10, 9, 0, 1)]
    {
        let mut records = vec![batch(1, 1..=10, &Said::new(1, 0, 10))];
        records.push(batch(2, 11..11 + arrived, &Said::new(2, 0, 10 + unconfirmed)));
        records.push(batch(3, [], &last(unconfirmed)));
        let sums = entry(&records).sums;
        assert_eq!((sums.missing, sums.surplus), (missing, surplus), "{arrived} of {unconfirmed}");
    }
}

#[test]
fn an_open_epoch_is_named_and_balanced() {
    let mut records = vec![batch(1, 1..=10, &Said::new(1, 0, 14))];
    let open = entry(&records);
    assert_eq!((open.state, open.sums.held, open.sums.remainder), (State::Open, 14, 0));
    // The second batch tells that the first was acknowledged; a third that nobody held is odd.
    records.push(batch(2, 11..=14, &Said::new(2, 10, 4)));
    assert_eq!(entry(&records).sums.remainder, 0);
    records.remove(0);
    assert_eq!(entry(&records).sums.missing, 6, "4 of those that are held may be the 10");
    let found = books(&records);
    assert_eq!((found.closes, found.totals[0].open), (false, 1));
    assert!(found.table().join("\n").contains("open; its last batch came 2026-01-01T00:00:00Z"));
}

#[test]
fn epochs_of_one_instance_have_books_of_their_own() {
    let second = |mut records: Vec<Record>| {
        for record in &mut records {
            let body = String::from_utf8(record.body.to_vec()).unwrap();
            let body = body.replace("\"e1\"", "\"e2\"");
            let id = Uuid::from_u128(record.facts.batch.as_u128() + 100);
            record.body = body.replace(&record.facts.batch.to_string(), &id.to_string()).into();
            record.facts.batch = id;
        }
        records
    };
    let mut records = whole();
    records.extend(second(whole()));
    let found = books(&records);
    assert!(found.closes);
    assert_eq!(found.epochs.iter().map(|e| &*e.epoch).collect::<Vec<_>>(), ["e1", "e2"]);
    assert_eq!(
        (found.totals.len(), found.totals[0].epochs, found.totals[0].sums.acked),
        (1, 2, 40)
    );
    // What is missing in one is not made up for by the other.
    records.remove(4);
    records.push(batch_of("e1", 9, 30..=39, &Said::new(2, 10, 10).json()));
    let found = books(&records);
    let remainders: Vec<_> = found.epochs.iter().map(|entry| entry.sums.remainder).collect();
    assert_eq!((remainders, found.remainder), (vec![10, 10], 20));
}

#[test]
fn halves_of_a_batch_count_once_even_if_it_is_here_as_a_whole() {
    let mut records = vec![
        batch(2, 1..=5, &Said::new(2, 0, 10)),
        batch(3, 6..=10, &Said::new(3, 5, 5)),
        batch(4, [], &Said::new(4, 10, 0).fin(256)),
    ];
    assert_eq!(entry(&records).sums.remainder, 0);
    // It had arrived at a node with a higher limit, and the answer was lost.
    records.insert(0, batch(1, 1..=10, &Said::new(1, 0, 10)));
    let sums = entry(&records).sums;
    assert_eq!((sums.received, sums.accepted, sums.repeated_events), (10, 10, 10));
    assert_eq!(sums.remainder, 0);
}

#[test]
fn reports_that_make_no_sense_are_counted_and_ignored() {
    let broken = |id, text: &str| batch_of("e1", id, [], text);
    let good = Said::new(9, 20, 0).json();
    for (report, why) in [
        (broken(9, "{}"), "form"),
        (broken(9, &good.replace("20", "21").replacen("21", "20", 1)), "sums"),
        (batch(9, [], &Said::new(9, 9, 0)), "falls"),
        (batch(9, [], &Said::new(3, 19, 1)), "twice"),
        (batch(9, [], &Said::new(1, 0, 30)), "falls"),
        (batch(9, [], &Said::new(9, 20, 1).fin(256)), "held"),
    ] {
        let mut records = whole();
        records.push(report);
        let entry = entry(&records);
        assert_eq!((entry.sums.invalid_reports, entry.sums.remainder, entry.n), (1, 0, 3), "{why}");
        assert!(entry.invalid_why.clone().is_some_and(|said| said.contains(why)), "{entry:?}");
    }
}

#[test]
fn kills_leave_gaps_that_the_books_show() {
    // 14 were admitted, and numbers up to 256 reserved; 4 were not in the store when it was killed.
    let last = Said::new(3, 10, 0).post("store_error", 1, 4).fin(256);
    let records = [
        batch(1, 1..=6, &Said::new(1, 0, 14)),
        batch(2, 11..=14, &Said::new(2, 6, 4).post("store_error", 1, 4)),
        batch(3, [], &last),
    ];
    let entry = entry(&records);
    assert_eq!((entry.gaps, entry.sums.unused, entry.sums.remainder), (vec![(7, 10)], 242, 0));
}
