//! What the gateway decided is found again: by the rules that a record names, event by event.

use super::super::State;
use super::*;

const BODY: &str = r#"{"tidegate":1,"batch":"00000000-0000-0000-0000-000000000001","instance":"i1","epoch":"e1","count":7,"report":{"n":1,"tracked":7,"admitted":7,"acked":0,"held":7}}

{"seq":1,"type":"t"}
{"seq":2,"type":"debug.x"}
{"seq":3}
{"seq":"4","type":"t"}
   
{"seq":5,"type":5}
{"seq":6,"type":"t"}
garbage
"#;

fn rules() -> Rulebook {
    let rules = "name = 'no-debug'\ntypes = ['debug.*']\naction = 'filter'";
    let shape = Shape { rules: vec![toml::from_str(rules).expect("a rule")], ..book().shape };
    Rulebook::compile(shape).expect("valid")
}

fn judged(known: Rules, hash: u64) -> Books {
    let mut record = record(Uuid::from_u128(1), BODY.to_owned());
    record.facts.rules = hash;
    let mut ledger = Ledger::new(Scope::default(), known);
    ledger.take(&record, String::new).expect("room");
    ledger.close()
}

#[test]
fn each_event_has_the_verdict_of_its_own_rules() {
    let dir = tempfile::tempdir().expect("a folder");
    let theirs = rules();
    crate::config::texts::keep(dir.path(), theirs.hash, &theirs.text).expect("kept");
    let mut from_dir = Rules::new(book());
    from_dir.add_dir(dir.path().to_owned());
    let mut from_texts = Rules::new(book());
    from_texts.add_texts([(theirs.hash, theirs.text.clone())]);
    for known in [from_dir, from_texts, Rules::new(rules())] {
        let found = judged(known, theirs.hash);
        let sums = &found.epochs[0].sums;
        assert_eq!((sums.accepted, sums.filtered, sums.rejected, sums.unjudged), (2, 1, 4, 0));
        // Numbers 4 and 7 cannot be read; both events are there all the same.
        assert_eq!((sums.received, found.epochs[0].gaps.clone()), (7, vec![(4, 4), (7, 7)]));
        assert!(found.closes && found.unknown_rules.is_empty());
    }
}

#[test]
fn without_its_rules_a_batch_counts_and_nobody_guesses() {
    let found = judged(Rules::new(book()), 0xabc);
    let sums = &found.epochs[0].sums;
    assert_eq!((sums.accepted, sums.filtered, sums.rejected, sums.unjudged), (0, 0, 0, 7));
    assert_eq!((sums.received, found.unknown_rules.clone()), (7, vec!["0000000000000abc".into()]));
    assert!(found.table().join("\n").contains("not judged: 0000000000000abc"));
}

#[test]
fn what_has_no_epoch_no_report_or_no_sense_is_named() {
    let header = |more: &str| {
        let count = 1;
        format!(
            "{{\"tidegate\":1,\"instance\":\"i1\",{more}\"count\":{count}}}\n{{\"type\":\"t\"}}\n"
        )
    };
    let id = Uuid::from_u128(7);
    let found = books(&[
        record(id, "[{\"type\":\"t\"},{\"type\":\"t\"}]".to_owned()),
        record(id, header("")),
        record(id, header("\"epoch\":\"e9\",")),
        record(id, "{\"tidegate\":1,\"count\":3}\n".to_owned()),
    ]);
    let [stranger] = &found.without_epoch[..] else { panic!("{found:?}") };
    assert_eq!((stranger.records, stranger.events, stranger.key_kind), (2, 3, "public"));
    let [entry] = &found.epochs[..] else { panic!("{found:?}") };
    assert_eq!((entry.state, entry.sums.received), (State::Unreported, 1));
    assert_eq!((found.unreadable.records, &*found.unreadable.named[0].0), (1, "record 3"));
    assert!(!found.closes && found.remainder == 0);
    let table = found.table().join("\n");
    for text in ["2 records with 3 events", "record 3: ", "no valid report", "do not close"] {
        assert!(table.contains(text), "{text} is not in\n{table}");
    }
}
