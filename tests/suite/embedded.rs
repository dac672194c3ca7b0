//! The embedded store, through the front door: where events lie, and what survives what.

use std::collections::BTreeMap;
use std::fs;

use tidegate::clock;
use tidegate::route::Route;
use time::OffsetDateTime;

use super::support::batches::{self, exactly_once};
use super::support::files::{self, Stored};
use super::support::{Binary, Client, Request, Served, eventually};

const HOUR_MS: i64 = 3_600_000;

fn ids(stored: &[Stored]) -> Vec<String> {
    stored.iter().map(|event| event.id().to_owned()).collect()
}

/// Sends batches and gives the ids of those that were answered with 200.
fn post(client: &mut Client, name: &str, batches: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for _ in 0..batches {
        let sealed = batches::sealed(name, 20);
        let reply = client.send(&Request::batch(sealed.body));
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["batch"], sealed.id.to_string());
        acknowledged.extend(sealed.ids);
    }
    acknowledged
}

#[test]
fn events_lie_under_their_lane_and_their_hour() {
    let mut served = Served::start(|settings| {
        let types = vec!["page.*".to_owned().try_into().expect("a pattern")];
        settings.routes = vec![Route { types, lane: "page".into(), key: "instance".into() }];
    });
    let now = clock::now_ms();
    let hour_of = |ms: i64| {
        let at = OffsetDateTime::from_unix_timestamp(ms / 1_000).expect("a time");
        format!("date={}/hour={:02}", at.date(), at.hour())
    };
    let cases = [
        ("page.view", now - 5 * HOUR_MS, "lane=page", now - 5 * HOUR_MS),
        ("click", now - 30 * HOUR_MS, "lane=click", now - 30 * HOUR_MS),
        ("A_b:C", now + 3 * HOUR_MS, "lane=a-b-c", now + 3 * HOUR_MS),
        ("old", 86_400_000, "lane=old", now),
        ("future", now + 100 * HOUR_MS, "lane=future", now),
    ];
    let lines = cases.map(|(kind, ts, ..)| format!("{{\"type\":\"{kind}\",\"ts\":{ts}}}\n"));
    let lines = lines.concat();
    assert_eq!(served.send(&Request::batch(lines)).json()["accepted"], 5);
    served.stop();
    let stored = served.stored();
    assert_eq!(stored.len(), cases.len());
    for (kind, ts, lane, filed) in cases {
        let event = stored.iter().find(|event| event.text("type") == kind).expect("stored");
        assert_eq!(event.tg["ts"], ts, "the time itself is not touched");
        // An event without a usable time lies under its arrival, maybe in the next hour.
        let near = [filed, filed + 60_000].map(|at| format!("{lane}/{}", hour_of(at)));
        assert!(near.contains(&event.folder), "{kind}: {} is not {near:?}", event.folder);
    }
}

#[test]
fn a_second_gateway_on_the_same_data_is_refused() {
    let served = Served::start(|_| ());
    let settings = served.settings();
    let error = tidegate::gateway::Gateway::start(settings, None).err().expect("refused");
    assert!(error.to_string().contains("another process"), "{error}");
}

#[test]
fn a_restart_keeps_everything_and_doubles_nothing() {
    let mut served = Served::start(|settings| settings.store.checkpoint_ms = 3_600_000);
    let mut sent = Vec::new();
    for round in 0..3 {
        let mut client = Client::connect(served.address());
        sent.extend(post(&mut client, &format!("round-{round}"), 5));
        drop(client);
        served.restart(|_| ());
    }
    served.stop();
    exactly_once(&sent, ids(&served.stored()));
}

#[test]
fn kill_9_right_after_the_answer_loses_and_doubles_nothing() {
    let mut binary = Binary::prepare("[store]\nflush_ms = 20\ncheckpoint_ms = 100\n");
    let mut sent = Vec::new();
    for round in 0..3 {
        binary.run();
        let mut client = Client::connect(binary.address());
        sent.extend(post(&mut client, &format!("round-{round}"), 25));
        binary.kill();
    }
    binary.run();
    eventually("every acknowledged event is in the store", || {
        (files::stored(&binary.data_dir()).len() >= sent.len()).then_some(())
    });
    assert_eq!(binary.stop().code(), Some(0));
    exactly_once(&sent, ids(&files::stored(&binary.data_dir())));
    let verified = binary.command(&["journal", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn the_first_types_get_lanes_and_the_rest_lies_in_other() {
    let mut served = Served::start(|settings| settings.store.types_max = 3);
    for kind in ["a", "b", "c", "d", "a", "e"] {
        let reply = served.send(&Request::batch(format!("{{\"type\":\"{kind}\"}}")));
        assert_eq!(reply.status, 200);
    }
    // The types that have a lane keep it over a restart.
    served.restart(|_| ());
    for kind in ["f", "c"] {
        assert_eq!(served.send(&Request::batch(format!("{{\"type\":\"{kind}\"}}"))).status, 200);
    }
    served.stop();
    let mut lanes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in served.stored() {
        lanes.entry(event.lane().to_owned()).or_default().push(event.text("type").to_owned());
    }
    for kinds in lanes.values_mut() {
        kinds.sort();
    }
    let expected = [
        ("a", vec!["a", "a"]),
        ("b", vec!["b"]),
        ("c", vec!["c", "c"]),
        ("other", vec!["d", "e", "f"]),
    ];
    let shown: Vec<_> = lanes.iter().map(|(lane, kinds)| (lane.as_str(), kinds.clone())).collect();
    assert_eq!(
        shown,
        expected.map(|(lane, kinds)| (lane, kinds.into_iter().map(str::to_owned).collect()))
    );
}

#[test]
fn files_that_somebody_removed_are_no_catastrophe() {
    let mut served = Served::start(|settings| settings.store.checkpoint_ms = 50);
    let mut client = Client::connect(served.address());
    let before = post(&mut client, "before", 2);
    eventually("the first events are in the store", || {
        (served.stored().len() == before.len()).then_some(())
    });
    for path in files::paths(&served.data_dir()) {
        fs::remove_file(path).expect("a file of the store");
    }
    let during = post(&mut client, "during", 3);
    drop(client);
    served.restart(|_| ());
    for path in files::paths(&served.data_dir()).into_iter().take(1) {
        fs::remove_file(path).expect("a file of the store");
    }
    served.restart(|_| ());
    let after = post(&mut Client::connect(served.address()), "after", 3);
    served.stop();
    let found = ids(&served.stored());
    exactly_once(&after, found.iter().filter(|id| after.contains(id)).cloned());
    let known = |id: &String| before.contains(id) || during.contains(id) || after.contains(id);
    assert!(found.iter().all(known), "nothing alien");
}

#[test]
fn a_store_that_was_removed_is_rebuilt_from_the_journal() {
    let mut served = Served::start(|_| ());
    let sent = post(&mut Client::connect(served.address()), "one", 4);
    served.stop();
    fs::remove_dir_all(served.data_dir().join("events")).expect("the store");
    served.resume();
    served.stop();
    exactly_once(&sent, ids(&served.stored()));
}

#[test]
fn a_change_to_kafka_first_brings_the_rest_into_the_files() {
    let mut binary = Binary::start("[store]\nflush_ms = 60000\n");
    let sent = post(&mut Client::connect(binary.address()), "embedded", 10);
    binary.kill();
    assert!(
        files::stored(&binary.data_dir()).len() < sent.len(),
        "something is left to be drained"
    );
    binary.set("TIDEGATE__KAFKA__BROKERS", &closed_port());
    binary.run();
    // The files are written before the first batch for Kafka is taken.
    exactly_once(&sent, ids(&files::stored(&binary.data_dir())));
    binary.set("TIDEGATE__KAFKA__DIVERT_MS", "50");
    binary.kill();
    binary.run();
    let later = post(&mut Client::connect(binary.address()), "kafka", 2);
    assert_eq!(binary.stop().code(), Some(0));
    let found = ids(&files::stored(&binary.data_dir()));
    exactly_once(&sent, found.clone());
    assert!(!later.iter().any(|id| found.contains(id)), "Kafka's own stays in the journal");
    // What is owed to Kafka must not be forgotten by an embedded start.
    binary.set("TIDEGATE__KAFKA__BROKERS", "");
    let refused = binary.command(&["run"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("kafka.brokers"), "{text}");
}

/// An address of this machine where nobody listens.
fn closed_port() -> String {
    format!("127.0.0.1:{}", loadtest::ports::free().expect("a free port"))
}
