//! What happens when there is too much to do: bulk events pause first, critical ones are taken
//! until memory or the journal really is full, every reply says so, and it ends by itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use loadtest::broker::{Broker, BrokerOptions};
use serde_json::{Value, json};
use tidegate::aside::Aside;
use tidegate::deliver::{Dedupe, Deliver, dedupe};
use tidegate::ingest::{Cost, Ingest};
use tidegate::journal;
use tidegate::model::budget::{LARGE_BODY_BYTES, Plan};
use tidegate::model::{Admitted, Budget, Caller, KeyKind, Part, Signal};
use tidegate::rulebook::Rulebooks;
use tidegate::settings::Settings;
use uuid::Uuid;

use super::support::{Binary, Client, Request, Response, batches, eventually, pack};

/// Nearly 10 MiB for batches and connections: the rest is the drainer's and the caches' (16 MiB of
/// buffers, and what is configured here).
pub(super) const TINY: &str = r"
workers = 1
retry_ms = 1000

[limits]
addresses_max = 1000
inflated_bytes_max = 1048576
output_bytes_max = 1048576

[memory]
budget_bytes = 28464000
drain_bytes = 1048576

[dedupe]
batches_max = 1000

[store]
flush_ms = 20
buffer_bytes_max = 65536

[pressure]
memory_enter_percent = [50, 70, 85]
memory_leave_percent = [40, 60, 75]
hold_ms = 300
";

/// The largest body that is not a large one, of which half the budget at most is taken: what a
/// request that announces it takes.
const ANNOUNCED: u64 = LARGE_BODY_BYTES;

fn post(client: &mut Client, class: u8) -> Response {
    client.send(&Request::post(&format!("/v1/batch?class={class}"), "{\"type\":\"click\"}\n"))
}

/// A request of class 0 that announces such a body and sends none of it.
fn hang(address: SocketAddr) -> Client {
    announce(address, "")
}

/// The same, with more in its query.
pub(super) fn announce(address: SocketAddr, query: &str) -> Client {
    let mut client = Client::connect(address);
    let line = format!("POST /v1/batch?class=0{query} HTTP/1.1\r\n");
    let head = format!("{line}Content-Length: {ANNOUNCED}\r\n");
    client.write(format!("{head}Host: t\r\n\r\n").as_bytes()).expect("room for a head");
    client
}

/// All gauges and counters of a page by name and labels.
fn page(binary: &Binary) -> BTreeMap<String, u64> {
    let text = binary.metrics();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.filter_map(|line| line.rsplit_once(' '));
    samples.filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?))).collect()
}

/// Memory by part; checks that the parts are all there is, and that they fit.
fn memory(binary: &Binary) -> BTreeMap<String, u64> {
    let page = page(binary);
    let part = |key: &str| {
        let rest = key.strip_prefix("tidegate_memory_bytes{part=\"")?;
        rest.strip_suffix("\"}").map(str::to_owned)
    };
    let parts: BTreeMap<_, _> =
        page.iter().filter_map(|(key, bytes)| Some((part(key)?, *bytes))).collect();
    let used = page["tidegate_memory_used_bytes"];
    assert_eq!(parts.values().sum::<u64>(), used, "{parts:?}");
    assert!(used <= page["tidegate_memory_budget_bytes"], "{parts:?}");
    parts
}

/// Waits until replies to critical batches tell this level.
fn reach(client: &mut Client, level: u64) {
    eventually(&format!("pressure {level}"), || {
        let reply = post(client, 0);
        assert_eq!(reply.status, 200, "{}", reply.text());
        (reply.json()["pressure"].as_u64().unwrap_or(0) == level).then_some(())
    });
}

/// Waits until the gauge shows this level.
fn show(binary: &Binary, level: u64) {
    eventually(&format!("pressure {level}"), || {
        (page(binary)["tidegate_pressure_level"] == level).then_some(())
    });
}

/// The classes of `limits`, which only say something together with a wait.
fn limited(reply: &Value) -> Vec<u64> {
    let limits = reply["limits"].as_array().into_iter().flatten();
    limits
        .map(|limit| {
            assert!(limit[1].as_u64().is_some_and(|wait_ms| wait_ms >= 300), "{reply}");
            limit[0].as_u64().expect("a class")
        })
        .collect()
}

/// Sends one batch of each class; says which were taken, and checks what all of them were told.
fn taken(client: &mut Client, level: u64) -> Vec<u8> {
    let paused: &[u64] = match level {
        0 | 1 => &[],
        2 => &[2],
        _ => &[1, 2],
    };
    let mut taken = Vec::new();
    for class in 0..=2 {
        let reply = post(client, class);
        let said = reply.json();
        assert_eq!(said["pressure"].as_u64().unwrap_or(0), level, "{said}");
        assert_eq!(limited(&said), paused, "{said}");
        if reply.status == 200 {
            taken.push(class);
            continue;
        }
        assert_eq!((reply.status, &said["reason"]), (503, &json!("pressure")), "{said}");
        let retry_ms = said["retry_ms"].as_u64().expect("a wait");
        let seconds = reply.header("retry-after").and_then(|value| value.parse::<u64>().ok());
        assert_eq!(seconds, Some(retry_ms.div_ceil(1_000)), "the header mirrors the body");
    }
    taken
}

#[test]
fn bulk_pauses_first_critical_is_taken_last_and_it_ends_by_itself() {
    let binary = Binary::start(TINY);
    let mut client = Client::connect(binary.address());
    assert_eq!(taken(&mut client, 0), [0, 1, 2]);
    let mut hanging = Vec::new();
    for (held, level, expected) in [(38, 1, vec![0, 1, 2]), (50, 2, vec![0, 1]), (60, 3, vec![0])] {
        hanging.resize_with(held, || hang(binary.address()));
        reach(&mut client, level);
        assert_eq!(taken(&mut client, level), expected, "level {level}");
        assert_eq!(page(&binary)["tidegate_pressure_level"], level);
    }
    // Decided from the head: the body of a class that pauses is not waited for.
    let mut bulk = Client::connect(binary.address());
    bulk.write(b"POST /v1/batch?class=2 HTTP/1.1\r\nHost: t\r\nContent-Length: 900000\r\n\r\n")
        .expect("room for a head");
    let reply = bulk.read(false).expect("an answer without a body");
    assert_eq!(reply.json()["reason"], "pressure");
    // Beyond the levels: what is left is less than the next body, so that nobody gets in.
    let body = vec![b' '; 900 << 10];
    let reply = client.send(&Request::post("/v1/batch?class=0", body));
    assert_eq!((reply.status, &reply.json()["reason"]), (503, &json!("busy")), "{}", reply.text());
    assert!(reply.json()["retry_ms"].as_u64() >= Some(1_000), "{}", reply.text());
    let held = memory(&binary);
    assert_eq!(held["bodies"], 60 * ANNOUNCED, "{held:?}");
    drop((hanging, bulk));
    reach(&mut client, 0);
    assert_eq!(taken(&mut client, 0), [0, 1, 2]);
    let page = page(&binary);
    assert!(page["tidegate_paused_batches_total{class=\"2\"}"] >= 3);
    assert!(page["tidegate_paused_batches_total{class=\"1\"}"] >= 1);
}

#[test]
fn a_header_or_a_key_cannot_talk_a_batch_past_its_class() {
    let keys = "\n[[keys]]\nkey = \"wk_bulk\"\napp = \"a\"\nkind = \"public\"\nclass = 2\n\
                \n[[keys]]\nkey = \"wk_main\"\napp = \"a\"\nkind = \"public\"\nclass = 0\n";
    let binary = Binary::start(&format!("{TINY}{keys}"));
    let address = binary.address();
    let mut hanging: Vec<_> = Vec::new();
    for _ in 0..50 {
        let mut client = Client::connect(address);
        let head = format!("Host: t\r\nContent-Length: {ANNOUNCED}\r\n\r\n");
        let line = format!("POST /v1/batch?key=wk_main HTTP/1.1\r\n{head}");
        client.write(line.as_bytes()).expect("room for a head");
        hanging.push(client);
    }
    let mut client = Client::connect(address);
    let mut send = |query: &str, body: &[u8]| {
        let reply = client.send(&Request::post(&format!("/v1/batch?{query}"), body));
        (reply.status, reply.json()["reason"].as_str().unwrap_or_default().to_owned())
    };
    eventually("class 2 pauses", || {
        let (status, reason) = send("key=wk_bulk", b"{\"type\":\"click\"}");
        (status == 503 && reason == "pressure").then_some(())
    });
    // The key's class counts where the query has none, and the query's where it has one.
    assert_eq!(send("key=wk_main", b"{\"type\":\"click\"}").0, 200);
    assert_eq!(send("key=wk_bulk&class=1", b"{\"type\":\"click\"}").0, 200);
    let sealed = batches::sealed("liar", 1);
    let lie = String::from_utf8(sealed.body).expect("text").replace("\"class\":1", "\"class\":2");
    let (status, reason) = send("key=wk_main&class=0", lie.as_bytes());
    assert_eq!((status, reason.as_str()), (400, "class_conflict"));
    // A pixel gets its GIF whatever happens, and is counted.
    let before = page(&binary)["tidegate_paused_batches_total{class=\"2\"}"];
    let pixel = Request::get("/v1/pixel.gif?key=wk_bulk&type=open");
    assert_eq!(Client::connect(address).send(&pixel).status, 200);
    assert_eq!(page(&binary)["tidegate_paused_batches_total{class=\"2\"}"], before + 1);
}

#[test]
fn a_full_journal_raises_the_pressure_and_a_broker_that_comes_back_ends_it() {
    let mut broker = Broker::start(BrokerOptions::default()).expect("a broker");
    for topic in ["pressure.raw", "pressure.dead", "pressure.event.other"] {
        broker.topics().create(topic, 1).expect("a topic");
    }
    broker.stop().expect("a stop");
    let mut binary = Binary::prepare(
        "[journal]\nsegment_bytes = 65536\nbytes_max = 1048576\n[pressure]\nhold_ms = 300\n\
         [kafka]\ntopic_prefix = \"pressure\"\ndivert_ms = 50\n[kafka.properties]\n\
         \"topic.metadata.refresh.interval.ms\" = \"500\"\n\"reconnect.backoff.max.ms\" = \"200\"\n",
    );
    binary.set("TIDEGATE__KAFKA__BROKERS", &broker.addr());
    binary.run();
    let mut client = Client::connect(binary.address());
    let mut sent = 0;
    let noise: String = (0..120).map(|_| Uuid::new_v4().to_string()).collect();
    let body = format!("{{\"type\":\"click\",\"x\":\"{noise}\"}}\n");
    let critical = Request::post("/v1/batch?class=0", body);
    for (percent, level, expected) in
        [(55, 1, vec![0, 1, 2]), (75, 2, vec![0, 1]), (90, 3, vec![0])]
    {
        while page(&binary)["tidegate_journal_owed_bytes{journal=\"main\"}"] * 100 < percent << 20 {
            let reply = client.send(&critical);
            assert_eq!(reply.status, 200, "{}", reply.text());
            sent += 1;
        }
        show(&binary, level);
        assert_eq!(taken(&mut client, level), expected, "level {level}");
        sent += expected.len();
    }
    let said = eventually("the journal is full, nothing drains, and it says so", || {
        let reply = client.send(&critical);
        sent += usize::from(reply.status == 200);
        let said = reply.json();
        let refused = (reply.status, &said["reason"]) == (503, &json!("not_durable"));
        // Told anew a few times a second.
        (refused && said["retry_ms"].as_u64() > Some(5_000)).then_some(said)
    });
    assert_eq!(limited(&said), [1, 2]);
    broker.restart().expect("a start");
    show(&binary, 0);
    assert_eq!(taken(&mut client, 0), [0, 1, 2]);
    // What was acknowledged meanwhile is all there, and the memory that it took is not.
    eventually("everything that was acknowledged is in Kafka", || {
        (broker.topics().consume_all("pressure.raw").ok()?.len() >= sent).then_some(())
    });
    idle(&binary);
}

/// Waits until nothing is held but by the caches and the one connection that is open.
fn idle(binary: &Binary) {
    eventually("all memory is given back", || {
        let parts = memory(binary);
        let left = ["bodies", "large_bodies", "batches", "drain"].map(|part| parts[part]);
        (left == [0; 4]).then_some(())
    });
}

#[test]
fn all_memory_is_given_back_whatever_ended_the_requests() {
    let binary = Binary::start(TINY);
    let address = binary.address();
    let mut client = Client::connect(address);
    for round in 0..20 {
        let sealed = batches::sealed("memory", 50);
        let zipped = pack::gzip(&sealed.body);
        assert_eq!(client.send(&Request::batch(zipped.clone())).status, 200);
        assert_eq!(client.send(&Request::batch(zipped.clone()).chunked()).status, 200, "again");
        // Refused: damaged, too much, another class than it says.
        assert_eq!(client.send(&Request::batch(&zipped[..zipped.len() / 2])).status, 400);
        let bomb = pack::gzip(&vec![b' '; 2 << 20]);
        assert_eq!(client.send(&Request::batch(bomb)).status, 413);
        let other = Request::post("/v1/batch?class=2", sealed.body.clone());
        assert_eq!(client.send(&other).status, 400);
        // Hung up on: in the body, and while the answer is being made.
        let mut half = hang(address);
        half.write(&sealed.body).expect("room for a body");
        drop(half);
        let mut whole = Client::connect(address);
        let head = format!("Content-Length: {}\r\n\r\n", sealed.body.len());
        let head = format!("POST /v1/batch HTTP/1.1\r\nHost: t\r\n{head}");
        whole.write(&[head.into_bytes(), sealed.body].concat()).expect("room for a body");
        drop(whole);
        if round % 5 == 0 {
            memory(&binary);
        }
    }
    idle(&binary);
    drop(client);
    eventually("connections are given back", || {
        (memory(&binary)["connections"] == 0).then_some(())
    });
}

#[test]
fn a_batch_whose_task_panics_gives_its_memory_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let settings = Settings::default();
    let (journal, _) =
        journal::open("main", &dir.path().join("journal"), &settings.journal).expect("a journal");
    let book = settings.rulebook().expect("no rules");
    let books = Rulebooks::open(dir.path().join("rules"), book).expect("a folder");
    let budget = Budget::new(Plan { budget_bytes: 64 << 20, ..Plan::default() });
    let (_stop, stopping) = tokio::sync::watch::channel(false);
    let ingest = Arc::new(Ingest {
        books: Arc::new(books),
        deliver: Deliver::embedded(journal.clone()),
        dedupe: Dedupe::new(&dedupe::Settings::default()),
        node: Uuid::nil(),
        cost: Cost { copies: 1 },
        aside: Aside::start().expect("threads"),
        signal: Arc::new(Signal::new(1_000, 1_000)),
        document_version: Box::new(|_| panic!("on purpose, after the batch was made durable")),
        instance: Box::new(|_, _| Ok(None)),
        stopping,
    });
    let body = Bytes::from(batches::sealed("panic", 10).body);
    let nobody = IpAddr::from([127, 0, 0, 1]);
    let caller = Caller {
        app: Arc::from("default"),
        kind: KeyKind::Open,
        class: 1,
        address: nobody,
        user_agent: "".into(),
    };
    let charge = budget.take(Part::Bodies, body.len() as u64).expect("room");
    let admitted = Admitted {
        caller,
        body,
        said: None,
        class: None,
        attempt: 0,
        sent_ms: None,
        wait_ms: None,
        arrival_ms: 1_767_225_600_000,
        promised: true,
        charge,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended =
        runtime.expect("a runtime").block_on(async { tokio::spawn(ingest.ingest(admitted)).await });
    assert!(ended.is_err_and(|error| error.is_panic()));
    eventually("nothing is taken", || budget.parts().all(|(_, bytes)| bytes == 0).then_some(()));
    journal.close();
}
