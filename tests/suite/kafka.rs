//! A real Kafka behind the gateway: what stands in both tiers, byte by byte, and what happens when
//! Kafka is not there.

use std::collections::BTreeMap;

use loadtest::broker::{Broker, BrokerOptions, Message};
use tidegate::deliver::Ack;
use tidegate::route::Route;
use tidegate::settings::Settings;

use super::support::batches::{self, Sealed, exactly_once};
use super::support::broker::{header, partition_of, shared};
use super::support::{Binary, Client, Request, Served, eventually, pack};

const PARTITIONS: i32 = 3;

/// Creates the topics of a prefix with these lanes.
pub(super) fn create(broker: &Broker, prefix: &str, lanes: &[&str]) {
    let names = ["raw", "dead"].iter().map(|name| format!("{prefix}.{name}"));
    let lanes = lanes.iter().map(|lane| format!("{prefix}.event.{lane}"));
    for topic in names.chain(lanes) {
        broker.topics().create(&topic, PARTITIONS).expect("a topic");
    }
}

/// A gateway in front of a broker.
pub(super) fn served(address: &str, prefix: &str, adjust: impl FnOnce(&mut Settings)) -> Served {
    Served::start(|settings| {
        address.clone_into(&mut settings.kafka.brokers);
        prefix.clone_into(&mut settings.kafka.topic_prefix);
        // So that a topic that appears is found soon, and a broker that comes back is as well.
        let quick = [
            ("topic.metadata.refresh.interval.ms", "500"),
            ("topic.metadata.propagation.max.ms", "500"),
            ("reconnect.backoff.max.ms", "200"),
        ];
        let quick = quick.map(|(name, value)| (name.to_owned(), value.to_owned()));
        settings.kafka.properties = BTreeMap::from(quick).into();
        adjust(settings);
    })
}

pub(super) fn read(broker: &Broker, topic: &str) -> Vec<Message> {
    // A broker that has just started may still be looking for the leaders of its topics.
    eventually("a topic that can be read", || broker.topics().consume_all(topic).ok())
}

/// Ids of events in a topic of tier 2.
fn ids(broker: &Broker, topic: &str) -> Vec<String> {
    read(broker, topic)
        .iter()
        .map(|message| tg(message)["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// `_tg` of a record of tier 2.
fn tg(message: &Message) -> serde_json::Value {
    let value = message.value.as_deref().unwrap_or_default();
    let value: serde_json::Value = serde_json::from_slice(value).expect("tier 2 is JSON");
    value["_tg"].clone()
}

/// Ids of batches in tier 1.
fn batch_ids(broker: &Broker, prefix: &str) -> Vec<String> {
    let id = |message: &Message| header(message, "tg-batch").expect("tg-batch").to_owned();
    read(broker, &format!("{prefix}.raw")).iter().map(id).collect()
}

/// Sends new batches, all of which have to be taken.
pub(super) fn post(client: &mut Client, instance: &str, batches: usize) -> Vec<Sealed> {
    let send = |_| {
        let sealed = batches::sealed(instance, 8);
        let reply = client.send(&Request::batch(sealed.body.clone()));
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["batch"], sealed.id.to_string());
        sealed
    };
    (0..batches).map(send).collect()
}

/// Both tiers hold what was sent, exactly once.
pub(super) fn check_both(broker: &Broker, prefix: &str, sent: &[Sealed]) {
    let events: Vec<_> = sent.iter().flat_map(|sealed| sealed.ids.iter().cloned()).collect();
    exactly_once(&events, ids(broker, &format!("{prefix}.event.other")));
    let batches: Vec<_> = sent.iter().map(|sealed| sealed.id.to_string()).collect();
    exactly_once(&batches, batch_ids(broker, prefix));
}

#[test]
fn topics_are_planned_applied_and_then_as_they_should_be() {
    let mut binary = Binary::prepare(
        "[kafka]\ntopic_prefix = \"plan\"\n[[routes]]\ntypes = [\"page.*\"]\nlane = \"page\"\n",
    );
    binary.set("TIDEGATE__KAFKA__BROKERS", &shared().addr());
    let run = |words: &[&str]| {
        let output = binary.command(&[&["topics"], words].concat());
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    let shape = ["--partitions", "3", "--retention-ms", "86400000"];
    let (code, said) = run(&[&["plan"], &shape[..]].concat());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("+ plan.event.page (partitions 3"), "{said}");
    let (code, said) = run(&[&["apply"], &shape[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    let settled = eventually("the plan is empty", || {
        let (code, said) = run(&[&["plan"], &shape[..]].concat());
        (code == Some(0)).then_some(said)
    });
    assert!(settled.contains("as they should be"), "{settled}");
    let known = shared().topics().list().expect("topics");
    for name in ["raw", "dead", "report", "audit", "rules", "event.other", "event.page"] {
        assert!(known.contains(&format!("plan.{name}")), "{name} of {known:?}");
    }
    let (code, said) = run(&["plan", "--partitions", "3", "--retention-ms", "1000000"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("retention.ms 86400000 -> 1000000"), "{said}");
    let (code, said) = run(&["apply", "--partitions", "5", "--retention-ms", "86400000"]);
    assert!(code == Some(0) && said.contains("left alone"), "partitions stay: {said}");
}

#[test]
fn both_tiers_hold_what_was_sent() {
    let broker = shared();
    create(broker, "tiers", &["other", "page", "order", "hot"]);
    let route = |types: &str, lane: &str, key: &str| Route {
        types: vec![types.to_owned().try_into().expect("a pattern")],
        lane: lane.to_owned(),
        key: key.to_owned(),
    };
    let mut served = served(&broker.addr(), "tiers", |settings| {
        settings.routes = vec![
            route("page.*", "page", "instance"),
            route("cart.add", "order", "props.n"),
            route("scroll", "hot", "none"),
        ];
    });
    let sealed: Vec<_> = (0..6).map(|n| batches::sealed(&format!("phone-{n}"), 20)).collect();
    let mut client = Client::connect(served.address());
    let mut sent: BTreeMap<String, (Vec<u8>, &str)> = BTreeMap::new();
    for (sealed, at) in sealed.iter().zip(0..) {
        let (body, coding) = match at % 3 {
            0 => (sealed.body.clone(), "identity"),
            1 => (pack::gzip(&sealed.body), "gzip"),
            _ => (pack::zstandard(&sealed.body), "zstd"),
        };
        let target = "/v1/batch?attempt=2&sent=1767225600000&wait=0";
        let request = Request::post(target, body.clone()).header("User-Agent", "suite/1.0");
        let reply = client.send(&request);
        assert_eq!((reply.status, reply.json()["accepted"].as_u64()), (200, Some(20)));
        sent.insert(sealed.id.to_string(), (body, coding));
    }
    served.stop();
    check_tier_1(&read(broker, "tiers.raw"), &sent);
    let mut found = Vec::new();
    for lane in ["other", "page", "order", "hot"] {
        let messages = read(broker, &format!("tiers.event.{lane}"));
        assert!(!messages.is_empty(), "{lane}");
        for message in &messages {
            check_tier_2(message, lane, &sealed);
            found.push(tg(message)["id"].as_str().expect("an id").to_owned());
        }
    }
    exactly_once(sealed.iter().flat_map(|sealed| &sealed.ids), found);
}

fn check_tier_1(messages: &[Message], sent: &BTreeMap<String, (Vec<u8>, &str)>) {
    assert_eq!(messages.len(), sent.len());
    for message in messages {
        let of = |name| header(message, name).unwrap_or_else(|| panic!("no {name}"));
        let (body, coding) = &sent[of("tg-batch")];
        assert_eq!(message.value.as_ref(), Some(body), "the body as it was received");
        let names: Vec<_> = message.headers.iter().map(|(name, _)| name.as_str()).collect();
        let all = "tg-v tg-app tg-kind tg-ip tg-ua tg-coding tg-format tg-recv tg-sent tg-wait \
                   tg-attempt tg-class tg-batch tg-made tg-rules tg-node";
        assert_eq!(names.join(" "), all);
        for (name, value) in [
            ("tg-v", "1"),
            ("tg-app", "default"),
            ("tg-kind", "open"),
            ("tg-ip", "127.0.0.1"),
            ("tg-ua", "suite/1.0"),
            ("tg-coding", coding),
            ("tg-format", "lines"),
            ("tg-sent", "1767225600000"),
            ("tg-wait", "0"),
            ("tg-attempt", "2"),
            ("tg-class", "1"),
            ("tg-made", "0"),
        ] {
            assert_eq!(of(name), value, "{name}");
        }
        let key = message.key.as_deref().expect("tier 1 has a key");
        assert!(key.starts_with(b"phone-"), "the instance");
        assert_eq!(message.partition, partition_of(key, PARTITIONS.cast_unsigned()));
    }
}

fn check_tier_2(message: &Message, lane: &str, sealed: &[Sealed]) {
    let value = std::str::from_utf8(message.value.as_deref().unwrap_or_default()).expect("UTF-8");
    let tg = tg(message);
    let text = |key: &str| tg[key].as_str().unwrap_or_default();
    let batch = sealed.iter().find(|sealed| sealed.id.to_string() == text("batch")).expect("ours");
    let index = usize::try_from(tg["index"].as_u64().expect("an index")).expect("small");
    let body = std::str::from_utf8(&batch.body).expect("our own batch");
    let own = body.lines().nth(index + 1).and_then(|line| line.strip_prefix('{')).expect("a line");
    assert!(value.ends_with(own) && value.starts_with(r#"{"_tg":{"v":1,"id":""#), "{value}");
    assert_eq!((text("app"), text("ip"), tg["class"].as_u64()), ("default", "127.0.0.1", Some(1)));
    assert_eq!(tg["ctx"].to_string(), r#"{"os":"x"}"#);
    let expected = match lane {
        "other" | "page" => Some(text("instance").to_owned()),
        "order" => Some((index + 1).to_string()),
        _ => None,
    };
    let key = message.key.clone().map(|key| String::from_utf8(key).expect("UTF-8"));
    assert_eq!(key, expected, "the key of lane {lane}");
    if let Some(key) = key {
        assert_eq!(message.partition, partition_of(key.as_bytes(), PARTITIONS.cast_unsigned()));
    }
}

#[test]
fn with_ack_disk_kafka_follows_behind() {
    let broker = shared();
    create(broker, "disk", &["other"]);
    let mut served = served(&broker.addr(), "disk", |settings| settings.kafka.ack = Ack::Disk);
    let mut client = Client::connect(served.address());
    let mut sent = post(&mut client, "disk", 10);
    eventually("the drainer has brought everything to Kafka", || {
        (batch_ids(broker, "disk").len() == 10).then_some(())
    });
    drop(client);
    served.restart(|_| ());
    sent.extend(post(&mut Client::connect(served.address()), "disk", 5));
    eventually("the rest as well", || (batch_ids(broker, "disk").len() >= 15).then_some(()));
    served.stop();
    check_both(broker, "disk", &sent);
}

#[test]
fn batches_that_are_diverted_while_kafka_is_well_arrive_once() {
    let broker = shared();
    create(broker, "divert", &["other"]);
    // Shorter than the client's own linger: nearly every batch is late, and pending in the journal.
    let mut served = served(&broker.addr(), "divert", |settings| settings.kafka.divert_ms = 1);
    let mut sent = Vec::new();
    for round in 0..3 {
        let mut client = Client::connect(served.address());
        sent.extend(post(&mut client, &format!("round-{round}"), 10));
        drop(client);
        served.restart(|_| ());
    }
    served.stop();
    check_both(broker, "divert", &sent);
    let (mut pending, mut settled) = (0, 0);
    tidegate::journal::dump(&served.data_dir().join("journal"), 0, |frame| match frame.entry {
        tidegate::journal::Entry::Record { pending: true, .. } => pending += 1,
        tidegate::journal::Entry::Settle { owed, .. } if owed.is_empty() => settled += 1,
        _ => {}
    })
    .expect("a journal");
    assert!(pending > 0, "nothing was diverted, so this test has seen nothing");
    assert!(settled > 0, "nothing was settled");
}

#[test]
fn a_gateway_that_starts_before_its_topics_journals_and_then_delivers() {
    let broker = shared();
    let mut served = served(&broker.addr(), "late", |settings| settings.kafka.divert_ms = 100);
    let sent = post(&mut Client::connect(served.address()), "late", 6);
    create(broker, "late", &["other"]);
    eventually("everything that was journalled is in Kafka", || {
        let events = ids(broker, "late.event.other").len();
        (batch_ids(broker, "late").len() >= 6 && events >= 48).then_some(())
    });
    served.stop();
    check_both(broker, "late", &sent);
}

#[test]
fn a_gateway_that_starts_before_its_broker_journals_and_then_delivers() {
    let mut broker = Broker::start(BrokerOptions::default()).expect("a broker");
    create(&broker, "absent", &["other"]);
    broker.stop().expect("a stop");
    let mut served = served(&broker.addr(), "absent", |settings| settings.kafka.divert_ms = 100);
    let ready = Client::connect(served.admin()).send(&Request::get("/readyz"));
    assert_eq!(ready.status, 200, "readiness is about promises, and the journal keeps them");
    let mut sent = post(&mut Client::connect(served.address()), "absent", 6);
    // What is owed survives the gateway, too.
    served.restart(|_| ());
    sent.extend(post(&mut Client::connect(served.address()), "absent", 6));
    broker.restart().expect("a start");
    eventually("everything that was journalled is in Kafka", || {
        let events = ids(&broker, "absent.event.other").len();
        (batch_ids(&broker, "absent").len() >= 12 && events >= 96).then_some(())
    });
    sent.extend(post(&mut Client::connect(served.address()), "absent", 2));
    served.stop();
    check_both(&broker, "absent", &sent);
}

#[test]
fn what_a_topic_never_takes_is_a_dead_letter_with_its_reason() {
    let broker = shared();
    create(broker, "letters", &[]);
    let mut served = served(&broker.addr(), "letters", |_| ());
    // Made after the start, which would have lowered the gateway's own limits to it.
    let narrow = [("max.message.bytes", "1000")];
    broker.topics().create_with("letters.event.other", 1, &narrow).expect("a topic");
    // Text that does not compress below the limit of the topic.
    let noise: String = (0..400).map(|_| uuid::Uuid::new_v4().to_string()).collect();
    let event = format!(r#"{{"id":"large-1","type":"a","x":"{noise}"}}"#);
    let reply = served.send(&Request::batch(event.clone()));
    assert_eq!((reply.status, reply.json()["accepted"].as_u64()), (200, Some(1)));
    served.stop();
    let letters = read(broker, "letters.dead");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), Some(event.as_bytes()), "the client's own bytes");
    assert_eq!(letters[0].key.as_deref(), Some(&b"large-1"[..]));
    assert_eq!(header(&letters[0], "tg-topic"), Some("letters.event.other"));
    assert!(header(&letters[0], "tg-reason").is_some_and(|reason| !reason.is_empty()));
    assert_eq!(header(&letters[0], "tg-batch"), reply.json()["batch"].as_str());
}
