//! Windows, filters and limits: what is left out on purpose, and what is refused aloud.

use super::super::{RUNS_MAX, Source, State};
use super::*;

#[test]
fn a_window_selects_epochs_by_their_first_arrival() {
    let early = || batch_of("early", 1, [1], &Said::new(1, 0, 1).json());
    let late = || batch_of("late", 2, [1], &Said::new(1, 0, 1).json());
    let more = || batch_of("early", 3, [2], &Said::new(2, 1, 1).json());
    // Read in another order than they came.
    let records = [at(150, more()), at(200, late()), at(100, early())];
    for (since_ms, until_ms, expected) in [
        (None, None, vec!["early", "late"]),
        (Some(100), None, vec!["early", "late"]),
        (Some(101), None, vec!["late"]),
        (None, Some(200), vec!["early"]),
        (Some(101), Some(200), vec![]),
        (Some(100), Some(101), vec!["early"]),
    ] {
        let found = books_within(Scope { since_ms, until_ms, ..Scope::default() }, &records);
        let names: Vec<_> = found.epochs.iter().map(|entry| &*entry.epoch).collect();
        assert_eq!(names, expected, "{since_ms:?} {until_ms:?}");
        let whole = found.epochs.iter().all(|entry| entry.epoch != "early" || entry.n == 2);
        assert!(whole, "an epoch is in with all its batches");
    }
}

#[test]
fn one_app_or_one_instance_can_be_asked_for() {
    let said = Said::new(1, 0, 1);
    let records = [batch(1, [1], &said), of_app("other", batch(2, [1], &said))];
    let scope = |app: Option<&str>, instance: Option<&str>| Scope {
        app: app.map(str::to_owned),
        instance: instance.map(str::to_owned),
        ..Scope::default()
    };
    for (scope, epochs) in [
        (scope(None, None), 2),
        (scope(Some("other"), None), 1),
        (scope(None, Some("i1")), 2),
        (scope(None, Some("i2")), 0),
        (scope(Some("none"), None), 0),
    ] {
        assert_eq!(books_within(scope, &records).epochs.len(), epochs);
    }
}

#[test]
fn keys_that_can_lie_are_shown_apart() {
    let said = Said::new(1, 0, 1).json();
    let mut secret = batch_of("e2", 2, [1], &said);
    secret.facts.key_kind = KeyKind::Secret;
    let found = books(&[batch_of("e1", 1, [1], &said), secret]);
    let kinds: Vec<_> = found.totals.iter().map(|t| (t.key_kind, t.sums.received)).collect();
    assert_eq!(kinds, [("public", 1), ("secret", 1)]);
    assert_eq!(found.table().join("\n").matches("public keys can lie").count(), 1);
}

#[test]
fn books_that_need_too_much_memory_are_refused() {
    let scope = Scope { bytes_max: 1 << 20, ..Scope::default() };
    let mut ledger = Ledger::new(scope.clone(), Rules::new(book()));
    let mut taken = 0;
    let refused = (1..10_000_u32).find_map(|id| {
        taken += 1;
        let record = batch_of(&format!("e{id}"), id.into(), [1], "{}");
        ledger.take(&at(id.into(), record), String::new).err()
    });
    let refused = refused.expect("a limit").to_string();
    assert!((200..400).contains(&taken), "{taken} epochs in 1 MiB");
    assert!(refused.contains("need more than 1 MiB") && refused.contains("--since"), "{refused}");
    // Epochs from before the window take next to nothing but are not forgotten.
    let mut ledger = Ledger::new(Scope { since_ms: Some(1 << 40), ..scope }, Rules::new(book()));
    for id in 1..200_u128 {
        for (half, seqs) in [(0, 1..=9), (1, 21..=29)] {
            let record = batch_of(&format!("e{}", id % 7), 2 * id + half, seqs, "{}");
            ledger.take(&at(1, record), String::new).expect("room");
        }
    }
    assert_eq!((ledger.bytes < 7 * 512, ledger.close().epochs.len()), (true, 0));
}

#[test]
fn an_epoch_of_nothing_but_holes_is_refused_alone() {
    let mut records = vec![batch_of("good", 1, 1..=9, &Said::new(1, 0, 9).json())];
    let numbers: Vec<u64> = (1..=RUNS_MAX as u64 + 1).map(|number| 2 * number).collect();
    for (part, id) in numbers.chunks(5_000).zip(10..) {
        records.push(batch_of("bad", id, part.iter().copied(), "{}"));
    }
    let found = books(&records);
    let states: Vec<_> = found.epochs.iter().map(|e| (&*e.epoch, e.state)).collect();
    assert_eq!(states, [("bad", State::Refused), ("good", State::Open)]);
    assert!(!found.closes && found.remainder == 0);
}

#[test]
fn what_may_have_lain_before_the_oldest_record_is_not_missing() {
    let records = [
        batch(5, 41..=50, &Said::new(5, 40, 10)),
        batch(7, 61..=70, &Said::new(7, 60, 10)),
        batch(8, [], &Said::new(8, 70, 0).fin(256)),
    ];
    assert_eq!(books(&records).remainder, 50);
    let cut = |records: &[Record]| {
        let mut ledger = Ledger::new(Scope::default(), Rules::new(book()));
        for record in records {
            ledger.take(record, String::new).expect("room");
        }
        ledger.source(Source { cut: true, ..Source::default() });
        ledger.close()
    };
    // 40 were acknowledged before the first batch that is left; the batch with 51 to 60 was not.
    let found = cut(&records);
    assert_eq!((found.epochs[0].may_lie_before, found.remainder), (40, 10));
    let begun_here = [batch(1, 1..=5, &Said::new(1, 0, 5)), batch(2, [], &Said::new(2, 9, 0))];
    assert_eq!(cut(&begun_here).remainder, 4, "its first report is here");
}

#[test]
fn the_table_has_a_row_for_each_epoch_and_the_json_every_number() {
    let long = "i".repeat(100);
    let said = Said::new(1, 0, 2).pre("sampled", 2, 30).json();
    let body = batch_of("e1", 1, [1, 2], &said).body;
    let body = String::from_utf8(body.to_vec()).unwrap().replace("\"i1\"", &format!("\"{long}\""));
    let found = books(&[record(Uuid::from_u128(1), body)]);
    let table = found.table();
    assert!(table[0].starts_with("app   key     instance"), "{}", table[0]);
    assert!(table[1].contains(&format!("{}...  e1 ", &long[..40])), "{}", table[1]);
    assert_eq!(table[2], "    pre: sampled/2 30");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["epochs"][0]["pre"], serde_json::json!([["sampled", 2, 30]]));
    assert_eq!(json["epochs"][0]["instance"], long.as_str());
    assert_eq!(json["epochs"][0]["state"], "open");
    assert_eq!((&json["closes"], &json["remainder"]), (&true.into(), &0.into()));
}
