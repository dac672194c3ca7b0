//! A topic that is gone, a cluster that is gone, a client that has to be made anew: whoever is not
//! concerned notices nothing, and everything arrives in the end.

use loadtest::broker::{Broker, BrokerOptions, Message};
use rdkafka::mocking::MockCluster;
use tidegate::deliver::Mode;
use tidegate::route::Route;
use tidegate::settings::Settings;

use super::kafka::{self, read};
use super::support::batches::{self, Sealed, exactly_once};
use super::support::broker::{header, shared};
use super::support::{Client, Request, Served, eventually};

fn create(broker: &Broker, prefix: &str, lanes: &[&str]) {
    let names = ["raw", "dead"].iter().map(|name| format!("{prefix}.{name}"));
    for topic in names.chain(lanes.iter().map(|lane| format!("{prefix}.event.{lane}"))) {
        broker.topics().create(&topic, 1).expect("a topic");
    }
}

/// A gateway in front of a broker that notices everything soon.
fn served(address: &str, prefix: &str, adjust: impl FnOnce(&mut Settings)) -> Served {
    kafka::served(address, prefix, |settings| {
        settings.kafka.divert_ms = 300;
        settings.kafka.breaker.open_ms = 50;
        settings.kafka.breaker.open_ms_max = 200;
        adjust(settings);
    })
}

fn post(client: &mut Client, instance: &str, batches: usize) -> Vec<Sealed> {
    let send = |_| {
        let sealed = batches::sealed(instance, 8);
        let reply = client.send(&Request::batch(sealed.body.clone()));
        assert_eq!(reply.status, 200, "{}", reply.text());
        sealed
    };
    (0..batches).map(send).collect()
}

fn ids(messages: &[Message]) -> Vec<String> {
    let id = |message: &Message| {
        let value = message.value.as_deref().unwrap_or_default();
        let value: serde_json::Value = serde_json::from_slice(value).expect("tier 2 is JSON");
        value["_tg"]["id"].as_str().expect("an id").to_owned()
    };
    messages.iter().map(id).collect()
}

fn sent_ids(sent: &[Sealed]) -> Vec<String> {
    sent.iter().flat_map(|sealed| sealed.ids.iter().cloned()).collect()
}

/// What `/readyz` says of the first cluster.
fn first_cluster(served: &Served) -> serde_json::Value {
    let reply = Client::connect(served.admin()).send(&Request::get("/readyz"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["clusters"][0].clone()
}

#[test]
fn a_topic_that_is_gone_is_parked_alone_and_catches_up() {
    let broker = shared();
    create(broker, "parked", &["other"]);
    let mut served = served(&broker.addr(), "parked", |settings| {
        settings.kafka.divert_ms = 5_000;
        settings.routes = vec![Route {
            types: vec!["lost".to_owned().try_into().expect("a pattern")],
            lane: "lost".to_owned(),
            key: "none".to_owned(),
        }];
    });
    let mut client = Client::connect(served.address());
    let mut lost = Vec::new();
    let mut send_lost = |client: &mut Client| {
        let id = format!("lost-{}", lost.len());
        let event = format!(r#"{{"id":"{id}","type":"lost"}}"#);
        assert_eq!(client.send(&Request::batch(event)).status, 200);
        lost.push(id);
    };
    send_lost(&mut client);
    eventually("readiness names the topic", || {
        let parked = first_cluster(&served)["parked"].clone();
        (parked[0]["topic"] == "parked.event.lost").then_some(())
    });
    // From now on everybody else goes straight to Kafka, whatever comes for the lost lane.
    let diverted = journalled(&served);
    let mut sent = Vec::new();
    for _ in 0..5 {
        send_lost(&mut client);
        sent.extend(post(&mut client, "well", 4));
    }
    assert_eq!(journalled(&served), diverted, "a healthy lane went through the journal");
    exactly_once(&sent_ids(&sent), ids(&read(broker, "parked.event.other")));
    // What is parked survives a restart, and leaves by itself when its topic comes.
    drop(client);
    served.restart(|_| ());
    let mut client = Client::connect(served.address());
    send_lost(&mut client);
    broker.topics().create("parked.event.lost", 1).expect("a topic");
    eventually("what was parked has arrived", || {
        (ids(&read(broker, "parked.event.lost")).len() >= lost.len()).then_some(())
    });
    eventually("nothing is parked any more", || {
        first_cluster(&served)["parked"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let event = r#"{"id":"lost-direct","type":"lost"}"#;
    assert_eq!(client.send(&Request::batch(event)).status, 200);
    lost.push("lost-direct".to_owned());
    drop(client);
    served.stop();
    exactly_once(&lost, ids(&read(broker, "parked.event.lost")));
}

/// Batches that went through the journal.
fn journalled(served: &Served) -> u64 {
    let mut records = 0;
    tidegate::journal::dump(&served.data_dir().join("journal"), 0, |frame| {
        records += u64::from(matches!(frame.entry, tidegate::journal::Entry::Record { .. }));
    })
    .expect("a journal");
    records
}

#[test]
fn the_second_cluster_takes_over_and_gives_back() {
    let mut first = Broker::start(BrokerOptions::default()).expect("a broker");
    let second = shared();
    for broker in [&first, second] {
        create(broker, "failover", &["other"]);
    }
    let mut served = served(&first.addr(), "failover", |settings| {
        settings.kafka.second.brokers = second.addr();
        settings.kafka.second.mode = Mode::Failover;
        settings.kafka.second.failback_ms = 200;
    });
    let mut client = Client::connect(served.address());
    let mut sent = post(&mut client, "before", 3);
    first.stop().expect("a stop");
    eventually("the second cluster takes batches", || {
        sent.extend(post(&mut client, "during", 1));
        (!read(second, "failover.event.other").is_empty()).then_some(())
    });
    sent.extend(post(&mut client, "during", 3));
    for message in read(second, "failover.event.other") {
        assert_eq!(header(&message, "tg-failover"), Some("1"));
    }
    first.restart().expect("a start");
    eventually("the first cluster takes batches again", || {
        sent.extend(post(&mut client, "after", 1));
        let last: Vec<_> = sent.last().map(|sealed| sealed.ids.clone()).unwrap_or_default();
        let there = ids(&read(&first, "failover.event.other"));
        last.iter().all(|id| there.contains(id)).then_some(())
    });
    drop(client);
    served.stop();
    let mut found = ids(&read(&first, "failover.event.other"));
    found.extend(ids(&read(second, "failover.event.other")));
    found.sort();
    found.dedup();
    exactly_once(&sent_ids(&sent), found);
}

#[test]
fn a_mirror_that_was_away_gets_everything_later() {
    let mut second = Broker::start(BrokerOptions::default()).expect("a broker");
    let first = shared();
    for broker in [first, &second] {
        create(broker, "mirror", &["other"]);
    }
    let mut served = served(&first.addr(), "mirror", |settings| {
        settings.kafka.second.brokers = second.addr();
        settings.kafka.second.mode = Mode::Mirror;
    });
    let mut client = Client::connect(served.address());
    let mut sent = post(&mut client, "both", 3);
    second.stop().expect("a stop");
    sent.extend(post(&mut client, "one", 5));
    // What one of them is owed survives a restart.
    drop(client);
    served.restart(|_| ());
    let mut client = Client::connect(served.address());
    sent.extend(post(&mut client, "one", 2));
    second.restart().expect("a start");
    let all = sent_ids(&sent);
    eventually("the mirror has everything", || {
        let mut there = ids(&read(&second, "mirror.event.other"));
        there.sort();
        there.dedup();
        (there.len() >= all.len()).then_some(())
    });
    sent.extend(post(&mut client, "both again", 2));
    drop(client);
    served.stop();
    for broker in [first, &second] {
        let mut there = ids(&read(broker, "mirror.event.other"));
        there.sort();
        there.dedup();
        exactly_once(&sent_ids(&sent), there);
    }
}

#[test]
fn a_producer_that_is_dead_for_good_is_made_anew() {
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    let mock = MockCluster::new(1).expect("a mock cluster");
    for topic in ["fatal.raw", "fatal.event.other", "fatal.dead", "fatal.rules"] {
        mock.create_topic(topic, 1, 1).expect("a topic");
    }
    let mut served = served(&mock.bootstrap_servers(), "fatal", |_| ());
    let mut client = Client::connect(served.address());
    post(&mut client, "before", 2);
    let gap = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    mock.request_errors(RDKafkaApiKey::Produce, &[gap; 4]);
    post(&mut client, "fatal", 2);
    // Batches go straight to Kafka again: nothing is owed, and no producer is dead.
    eventually("a batch arrives without the journal", || {
        let before = journalled(&served);
        post(&mut client, "after", 1);
        (journalled(&served) == before).then_some(())
    });
    eventually("nothing is wrong any more", || {
        (first_cluster(&served)["state"] == "ok").then_some(())
    });
    drop(client);
    served.stop();
}

#[test]
fn after_a_503_a_retry_sends_only_what_no_cluster_has() {
    let broker = shared();
    create(broker, "halves", &["other"]);
    // Lane `lost` has no topic, and its park log cannot be made: the batch is refused although most
    // of it has arrived.
    let mut served = served(&broker.addr(), "halves", |settings| {
        settings.routes = vec![Route {
            types: vec!["click".to_owned().try_into().expect("a pattern")],
            lane: "lost".to_owned(),
            key: "none".to_owned(),
        }];
        settings.kafka.divert_ms = 5_000;
    });
    let in_the_way = served.data_dir().join("park");
    std::fs::write(&in_the_way, "a file where a folder should be").expect("a file");
    let mut client = Client::connect(served.address());
    let sealed = batches::sealed("halves", 20);
    let refused = client.send(&Request::batch(sealed.body.clone()));
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.json()["reason"], "not_durable", "{}", refused.text());
    std::fs::remove_file(in_the_way).expect("the file");
    broker.topics().create("halves.event.lost", 1).expect("a topic");
    eventually("its retry is taken", || {
        let reply = client.send(&Request::batch(sealed.body.clone()));
        (reply.status == 200).then_some(())
    });
    drop(client);
    let both = || {
        let mut found = ids(&read(broker, "halves.event.other"));
        found.extend(ids(&read(broker, "halves.event.lost")));
        found
    };
    eventually("the parked part has arrived", || (both().len() >= 20).then_some(()));
    served.stop();
    exactly_once(&sealed.ids, both());
    assert_eq!(read(broker, "halves.raw").len(), 1, "tier 1 was sent again");
}
