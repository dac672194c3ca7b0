//! One real broker through its whole life.

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::*;

#[test]
fn keeps_a_thousand_messages_over_a_restart() {
    let mut broker = Broker::start(BrokerOptions::default()).unwrap();
    let addr = broker.addr();
    broker.topics().create("things", 3).unwrap();
    broker.topics().create("things", 3).unwrap();
    assert_eq!(broker.topics().list().unwrap(), ["things"]);
    produce(&addr, "things", 1000);
    assert_eq!(broker.topics().end_offsets("things").unwrap().iter().sum::<i64>(), 1000);

    let before = broker.topics().consume_all("things").unwrap();
    check(&before);

    broker.stop().unwrap();
    assert!(std::net::TcpStream::connect(&addr).is_err());
    broker.restart().unwrap();
    assert_eq!(broker.addr(), addr);
    check(&broker.topics().consume_all("things").unwrap());

    broker.kill().unwrap();
    broker.restart().unwrap();
    check(&broker.topics().consume_all("things").unwrap());
    assert!(broker.usage().cpu_s > 0.0 && broker.usage().resident_bytes_max > 0);
}

#[test]
fn a_paused_broker_is_silent_and_comes_back() {
    let mut broker = Broker::start(BrokerOptions::default()).unwrap();
    broker.topics().create("things", 1).unwrap();
    let mut reader = Reader::open(&broker.addr(), "things").unwrap();
    produce(&broker.addr(), "things", 10);
    assert_eq!(reader.read_on(|_| {}).unwrap(), 10);
    broker.pause().unwrap();
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", broker.addr()).create().unwrap();
    assert!(client.fetch_metadata(None, Duration::from_millis(500)).is_err());
    broker.resume().unwrap();
    produce(&broker.addr(), "things", 5);
    let mut keys = Vec::new();
    assert_eq!(reader.read_on(|message| keys.push(Message::from(message).key)).unwrap(), 5);
    assert_eq!(keys[0].as_deref(), Some(&b"key-0"[..]));
    assert_eq!(reader.read_on(|_| {}).unwrap(), 0);
}

#[test]
fn a_topic_that_is_not_there_is_an_error_and_stays_away() {
    let broker = Broker::start(BrokerOptions::default()).unwrap();
    assert!(broker.topics().consume_all("nowhere").is_err());
    assert_eq!(broker.topics().list().unwrap(), [""; 0]);
}

fn produce(addr: &str, topic: &str, count: usize) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", addr).set("acks", "all").create().unwrap();
    for number in 0..count {
        let (key, value) = (format!("key-{number}"), format!("value-{number}"));
        let header = Header { key: "tg-number", value: Some(&value) };
        let record = BaseRecord::to(topic)
            .key(&key)
            .payload(&value)
            .headers(OwnedHeaders::new().insert(header));
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

fn check(messages: &[Message]) {
    let mut numbers: Vec<usize> = messages
        .iter()
        .map(|message| {
            let key = String::from_utf8(message.key.clone().unwrap()).unwrap();
            let number = key.strip_prefix("key-").unwrap().parse().unwrap();
            let value = format!("value-{number}").into_bytes();
            assert_eq!(message.value.as_ref(), Some(&value));
            assert_eq!(message.headers, [("tg-number".to_owned(), value)]);
            number
        })
        .collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..1000));
}
