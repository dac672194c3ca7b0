//! `tidegate ledger` on what a real gateway has written: in its own store, and in Kafka.

use serde_json::Value;
use uuid::Uuid;

use super::kafka::create;
use super::support::broker::shared;
use super::support::{Binary, Client, Request, eventually, pack};

const CONFIGURATION: &str = r#"
[[keys]]
key = "wk_shop"
app = "shop"
kind = "public"

[[keys]]
key = "sk_shop"
app = "shop"
kind = "secret"

[[rules]]
name = "no-debug"
types = ["debug.*"]
action = "filter"
"#;

/// A client that keeps its ledger by the protocol, as far as these tests need one.
struct Sdk {
    instance: &'static str,
    epoch: Uuid,
    seq: u64,
    n: u64,
    acked: u64,
    sampled: u64,
    dropped: u64,
}

impl Sdk {
    fn new(instance: &'static str) -> Self {
        let epoch = Uuid::now_v7();
        Self { instance, epoch, seq: 0, n: 0, acked: 0, sampled: 0, dropped: 0 }
    }

    /// A batch of new events of these types.
    fn seal(&mut self, types: &[&str]) -> Vec<u8> {
        let mut events = String::new();
        for kind in types {
            self.seq += 1;
            let (seq, id) = (self.seq, Uuid::now_v7());
            let line = format!("{{\"id\":\"{id}\",\"seq\":{seq},\"type\":\"{kind}\"}}\n");
            events.push_str(&line);
        }
        self.around(&events, types.len(), "")
    }

    /// The last report.
    fn fin(&mut self) -> Vec<u8> {
        let reserved = self.seq.div_ceil(256) * 256;
        self.around("", 0, &format!(",\"reserved\":{reserved},\"fin\":1"))
    }

    fn around(&mut self, events: &str, count: usize, fin: &str) -> Vec<u8> {
        self.n += 1;
        let Self { instance, epoch, seq, n, acked, sampled, dropped } = self;
        let (batch, tracked) = (Uuid::now_v7(), *seq + *sampled);
        let held = *seq - *acked - *dropped;
        let rows = |name: &str, count: u64| match count {
            0 => String::new(),
            count => format!("[\"{name}\",2,{count}]"),
        };
        let (pre, post) = (rows("sampled", *sampled), rows("queue_full", *dropped));
        format!(
            "{{\"tidegate\":1,\"batch\":\"{batch}\",\"sdk\":\"suite/1\",\
             \"instance\":\"{instance}\",\"epoch\":\"{epoch}\",\"class\":1,\"count\":{count},\
             \"report\":{{\"n\":{n},\"tracked\":{tracked},\"admitted\":{seq},\"acked\":{acked},\
             \"held\":{held},\"pre\":[{pre}],\"post\":[{post}]{fin}}}}}\n{events}"
        )
        .into_bytes()
    }

    /// Seals and sends; the answer has to be a definitive one.
    fn send(&mut self, client: &mut Client, types: &[&str]) -> Vec<u8> {
        let body = self.seal(types);
        self.ask(client, &body);
        self.acked += types.len() as u64;
        body
    }

    fn ask(&self, client: &mut Client, body: &[u8]) {
        let request = if self.instance.starts_with("server") {
            let request = Request::post("/v1/batch?class=1", pack::gzip(body));
            request.header("Authorization", "Bearer sk_shop")
        } else {
            Request::post("/v1/batch?key=wk_shop&class=1", body)
        };
        let reply = client.send(&request);
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

/// The books as JSON, and the exit code.
fn ledger(binary: &Binary, words: &[&str]) -> (Value, Option<i32>) {
    let output = binary.command(&[&["ledger", "--json"], words].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let books = serde_json::from_slice(&output.stdout);
    (books.unwrap_or_else(|error| panic!("{error}: {said}")), output.status.code())
}

/// One number of each epoch of an instance.
fn numbers(books: &Value, instance: &str, name: &str) -> Vec<u64> {
    let epochs = books["epochs"].as_array().expect("a list").iter();
    let ours = epochs.filter(|entry| entry["instance"] == instance);
    ours.map(|entry| entry[name].as_u64().unwrap_or_else(|| panic!("{name}: {entry}"))).collect()
}

const TYPES: [&str; 5] = ["click", "debug.x", "click", "scroll", "click"];

#[test]
fn the_books_of_the_embedded_store_close_through_a_kill_and_show_a_lie() {
    let mut binary = Binary::start(CONFIGURATION);
    let (mut phone, mut server) = (Sdk::new("phone-1"), Sdk::new("server-1"));
    let mut client = Client::connect(binary.address());
    for _ in 0..4 {
        let body = phone.send(&mut client, &TYPES);
        // The answer was lost, says the client: it is answered again.
        phone.ask(&mut client, &body);
        server.send(&mut client, &TYPES[..2]);
        phone.sampled += 3;
    }
    // Of another batch only the gateway knows that it came before it was killed.
    let unanswered = phone.seal(&TYPES);
    phone.ask(&mut client, &unanswered);
    let (books, code) = ledger(&binary, &[]);
    assert_eq!((code, &books["remainder"]), (Some(0), &0.into()), "while it runs: {books:#}");
    assert_eq!(numbers(&books, "phone-1", "held"), [5]);
    assert_eq!(books["epochs"][0]["state"], "open");
    binary.kill();
    binary.run();
    let mut client = Client::connect(binary.address());
    phone.ask(&mut client, &unanswered);
    phone.acked += 5;
    // Two more that never left the client, because its queue was full.
    (phone.seq, phone.dropped) = (phone.seq + 2, 2);
    for sdk in [&mut phone, &mut server] {
        let fin = sdk.fin();
        sdk.ask(&mut client, &fin);
    }
    client.send(&Request::post("/v1/batch?key=wk_shop", "[{\"type\":\"curl\"}]"));
    let data = binary.data_dir().display().to_string();
    let (books, code) = ledger(&binary, &["--data", &data, "--app", "shop"]);
    assert_eq!((code, &books["closes"]), (Some(0), &true.into()), "{books:#}");
    for (name, expected) in [
        ("tracked", 39),
        ("admitted", 27),
        ("acked", 25),
        ("accepted", 20),
        ("filtered", 5),
        ("received", 25),
        ("gap_events", 2),
        ("held", 0),
        ("batches", 6),
    ] {
        assert_eq!(numbers(&books, "phone-1", name), [expected], "{name}");
    }
    let kinds: Vec<_> = books["totals"].as_array().expect("totals").iter().collect();
    assert_eq!((&kinds[0]["key_kind"], &kinds[0]["acked"]), (&"public".into(), &25.into()));
    assert_eq!((&kinds[1]["key_kind"], &kinds[1]["filtered"]), (&"secret".into(), &4.into()));
    assert_eq!(books["without_epoch"][0]["events"], 1);
    // Somebody who says that more was acknowledged than ever came is found out.
    let mut liar = Sdk::new("phone-2");
    liar.send(&mut client, &TYPES);
    (liar.seq, liar.acked) = (liar.seq + 7, liar.acked + 7);
    let fin = liar.fin();
    liar.ask(&mut client, &fin);
    let (books, code) = ledger(&binary, &[]);
    assert_eq!((code, numbers(&books, "phone-2", "missing")), (Some(1), vec![7]));
    let (_, code) = ledger(&binary, &["--instance", "phone-1"]);
    assert_eq!(code, Some(0));
    assert_eq!(binary.stop().code(), Some(0));
    let output = binary.command(&["ledger"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("the books do not close: remainder 7 in 3 epochs"), "{text}");
}

#[test]
fn a_command_line_or_a_source_that_makes_no_sense_is_one_clear_line() {
    let binary = Binary::prepare("");
    for (words, code, line) in [
        (vec!["--since", "yesterday"], 2, "2026-01-31T12:00:00Z"),
        (vec!["--kafka"], 2, "--data"),
        (vec!["--memory-mb", "0"], 2, "--memory-mb"),
        (vec!["--data", "/nonexistent"], 1, "holds no journal"),
        (vec!["--data", "/nonexistent", "--kafka"], 1, "kafka.brokers is empty"),
    ] {
        let output = binary.command(&[&["ledger"], &words[..]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.contains(line)), (Some(code), true), "{said}");
    }
}

#[test]
fn the_books_of_two_nodes_and_their_kafka_close() {
    let broker = shared();
    create(broker, "ledger", &["other"]);
    broker.topics().create("ledger.rules", 1).expect("a topic");
    let kafka = "[kafka]\ntopic_prefix = \"ledger\"\n";
    let start = |configuration: &str| {
        let mut binary = Binary::prepare(configuration);
        binary.set("TIDEGATE__KAFKA__BROKERS", &broker.addr());
        binary
    };
    let mut nodes = [0, 1].map(|_| start(&format!("{kafka}{CONFIGURATION}")));
    nodes.iter_mut().for_each(Binary::run);
    let mut clients = [0, 1].map(|at| Client::connect(nodes[at].address()));
    let mut phone = Sdk::new("phone-1");
    for _ in 0..3 {
        let body = phone.send(&mut clients[0], &TYPES);
        // To the other node after a timeout: it cannot know that the first has it.
        phone.ask(&mut clients[1], &body);
    }
    phone.send(&mut clients[1], &TYPES);
    let fin = phone.fin();
    phone.ask(&mut clients[0], &fin);
    eventually("the rules are in Kafka", || {
        let texts = broker.topics().consume_all("ledger.rules").ok()?;
        (!texts.is_empty()).then_some(())
    });
    // From a machine that has no data of its own, and other rules.
    let auditor = start(kafka);
    let (books, code) = ledger(&auditor, &[]);
    assert_eq!((code, &books["closes"]), (Some(0), &true.into()), "{books:#}");
    for (name, expected) in [
        ("acked", 20),
        ("accepted", 16),
        ("filtered", 4),
        ("unjudged", 0),
        ("batches", 5),
        ("repeated_batches", 3),
    ] {
        assert_eq!(numbers(&books, "phone-1", name), [expected], "{name}");
    }
    assert!(books["sources"][0]["name"].as_str().is_some_and(|name| name.contains("ledger.raw")));
    for node in &mut nodes {
        assert_eq!(node.stop().code(), Some(0));
    }
}
