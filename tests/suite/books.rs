//! The books: every event that was answered has exactly one end, and `/metrics` says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::support::batches;
use super::support::broker::shared;
use super::support::certificates::Authority;
use super::support::{Binary, Client, Request, eventually, root};

/// Samples by name and labels, as Prometheus reads them.
#[derive(Debug, Default)]
struct Page {
    samples: BTreeMap<String, String>,
    names: BTreeSet<String>,
    described: BTreeSet<String>,
}

impl Page {
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                page.described.extend(help.split(' ').next().map(str::to_owned));
            }
            let Some((key, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))
            else {
                continue;
            };
            let before = page.samples.insert(key.to_owned(), value.to_owned());
            assert!(before.is_none(), "twice: {key}");
            page.names.extend(key.split('{').next().map(str::to_owned));
        }
        page
    }

    /// A whole number; 0 when there is no such sample.
    fn count(&self, key: &str) -> u64 {
        self.samples.get(key).map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// Sums by the labels that are asked for.
    fn sums(&self, name: &str, labels: &[&str]) -> BTreeMap<Vec<String>, u64> {
        let mut sums = BTreeMap::new();
        for (key, value) in &self.samples {
            let Some(rest) = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('{')) else {
                continue;
            };
            let label = |label: &&str| {
                let (_, rest) = rest.split_once(&format!("{label}=\""))?;
                rest.split('"').next().map(str::to_owned)
            };
            let count: u64 = value.parse().expect("a whole number");
            *sums.entry(labels.iter().filter_map(label).collect()).or_default() += count;
        }
        sums
    }
}

const CONFIGURATION: &str = r#"
[store]
flush_ms = 20
checkpoint_ms = 100

[limits]
connections_max = 3

[[keys]]
key = "wk_shop"
app = "shop"
kind = "public"

[[keys]]
key = "wk_games"
app = "games"
kind = "public"

[[rules]]
name = "no-debug"
types = ["debug.*"]
action = "filter"

[[rules]]
name = "no-tests"
types = ["test"]
action = "reject"
reason = "test_event"
"#;

/// Sends good, bad, filtered and refused; gives accepted, filtered and rejected as they were told.
fn mixed_load(client: &mut Client, app: &str) -> [u64; 3] {
    let mut told = [0; 3];
    for round in 0..20 {
        let sealed = batches::sealed("books", 10 + round);
        let bare = concat!(
            "{\"type\":\"click\"}\n{\"type\":\"debug.a\"}\n{\"type\":\"debug.b\"}\nno JSON\n",
            "{\"type\":\"test\"}\n{\"type\":\"click\"}\n{\"type\":7}\n"
        );
        for body in [sealed.body, bare.into()] {
            let reply = client.send(&Request::post(&format!("/v1/batch?key=wk_{app}"), body));
            assert_eq!(reply.status, 200, "{}", reply.text());
            let said = reply.json();
            let rejected = said["rejected"].as_array().map_or(0, Vec::len) as u64;
            let count = |key: &str| said[key].as_u64().expect("a number");
            for (sum, count) in
                told.iter_mut().zip([count("accepted"), count("filtered"), rejected])
            {
                *sum += count;
            }
        }
        // A batch that is refused as a whole never was received.
        let target = format!("/v1/batch?key=wk_{app}");
        assert_eq!(client.send(&Request::post(&target, "")).status, 400);
        assert_eq!(
            client.send(&Request::get(&format!("/v1/pixel.gif?key=wk_{app}&type=open"))).status,
            200
        );
    }
    told
}

#[test]
fn received_is_accepted_and_filtered_and_rejected_per_app_and_type() {
    let binary = Binary::start(CONFIGURATION);
    let mut client = Client::connect(binary.address());
    let shop = mixed_load(&mut client, "shop");
    let games = mixed_load(&mut client, "games");
    let page = Page::read(&binary.metrics());
    let received = page.sums("tidegate_events_received_total", &["app", "type"]);
    let ends = page.sums("tidegate_events_total", &["app", "type"]);
    assert_eq!(received, ends);
    assert!(received.keys().any(|labels| labels == &["shop", "page.view"]), "{received:?}");
    let by_outcome = page.sums("tidegate_events_total", &["app", "outcome"]);
    for (app, [accepted, filtered, rejected]) in [("shop", shop), ("games", games)] {
        for (outcome, told) in [
            ("accepted", accepted),
            ("filtered", filtered),
            ("rejected", rejected),
            ("unacknowledged", 20),
        ] {
            let counted = by_outcome.get(&vec![app.to_owned(), outcome.to_owned()]).copied();
            assert_eq!(counted, Some(told), "{app} {outcome}");
        }
    }
    assert!(!by_outcome.keys().any(|labels| labels[1] == "lost"), "{by_outcome:?}");
    let reasons = page.sums("tidegate_events_rejected_total", &["reason"]);
    let reasons: BTreeMap<_, _> =
        reasons.iter().map(|(label, n)| (label[0].as_str(), *n)).collect();
    assert_eq!(reasons, [("bad_type", 40), ("invalid_json", 40), ("test_event", 40)].into());
    assert_eq!(page.count("tidegate_events_filtered_total{rule=\"no-debug\"}"), 80);
    assert_eq!(page.count("tidegate_http_refusals_total{reason=\"empty\"}"), 40);
    check_requests(&page);
    eventually("the store has everything that was accepted, and memory is given back", || {
        let page = Page::read(&binary.metrics());
        let kept = shop[0] + games[0] + 40;
        let given_back = page.count("tidegate_memory_bytes{part=\"batches\"}") == 0;
        (page.count("tidegate_store_events_total") == kept && given_back).then_some(())
    });
}

fn check_requests(page: &Page) {
    let sample = |name: &str, more: &str| {
        page.count(&format!("{name}{{route=\"batch\",status=\"200\"{more}}}"))
    };
    let answered = sample("tidegate_http_requests_total", "");
    assert_eq!(answered, 80);
    assert_eq!(sample("tidegate_http_request_seconds_count", ""), answered);
    assert_eq!(sample("tidegate_http_request_seconds_bucket", ",le=\"+Inf\""), answered);
    let seconds = "tidegate_http_request_seconds_sum{route=\"batch\",status=\"200\"}";
    let seconds: Option<f64> = page.samples.get(seconds).and_then(|sum| sum.parse().ok());
    assert!(seconds.is_some_and(|sum| sum > 0.0), "{seconds:?}");
    assert!(page.count("tidegate_body_bytes_total") > 0);
    assert!(page.count("tidegate_inflated_bytes_total") >= page.count("tidegate_body_bytes_total"));
    assert_eq!(page.count("tidegate_memory_budget_bytes"), 536_870_912);
    assert_eq!(page.count("tidegate_http_connections"), 1);
    assert_eq!(page.count("tidegate_journal_frames_total{journal=\"main\"}"), 120);
    let bytes = |name: &str| page.count(&format!("tidegate_journal_{name}{{journal=\"main\"}}"));
    assert!(bytes("owed_bytes") <= bytes("bytes"));
}

/// Every name that a file of the source writes as text.
fn named_in(path: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(path)).expect("a source file");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.split('"')
        .filter(|text| text.starts_with("tidegate_") && !text.ends_with('_') && !text.contains(' '))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_metric_that_is_named_exists() {
    let mut seen = embedded_names();
    seen.extend(kafka_names());
    seen.extend(tls_names());
    let mut missing = Vec::new();
    for path in
        ["src/telemetry/metrics.rs", "src/journal/meters.rs", "src/deliver/sinks/file/meters.rs"]
    {
        let named = named_in(path);
        assert!(named.len() > 5, "{path}: {named:?}");
        for name in named {
            if ![name.clone(), format!("{name}_count")].iter().any(|name| seen.contains(name)) {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "named, provoked and not on the page: {missing:?}");
}

/// An embedded gateway to which everything happens that can.
fn embedded_names() -> BTreeSet<String> {
    let mut binary = Binary::start(CONFIGURATION);
    let mut client = Client::connect(binary.address());
    mixed_load(&mut client, "shop");
    let sealed = batches::sealed("again", 3);
    for _ in 0..2 {
        let request = Request::post("/v1/batch?key=wk_shop", sealed.body.clone());
        assert_eq!(client.send(&request).status, 200);
    }
    let idle: Vec<_> = (0..6).map(|_| Client::connect(binary.address())).collect();
    let text =
        eventually("refused connections, a checkpoint and the drainer's lag are shown", || {
            let text = binary.metrics();
            let page = Page::read(&text);
            let refused = r#"tidegate_http_connections_refused_total{reason="total"}"#;
            let refused = page.count(refused) > 0;
            let checkpointed = page.count("tidegate_store_checkpoint_seconds_count") > 0;
            let shown = page.names.contains("tidegate_drain_lag_frames");
            (refused && checkpointed && shown).then_some(text)
        });
    drop((idle, client));
    let mut names = Page::read(&text).names;
    // Rules that are gone: what was accepted under them waits for them, counted and not ready.
    binary.kill();
    fs::remove_dir_all(binary.data_dir().join("events")).expect("the store");
    fs::remove_dir_all(binary.data_dir().join("rules")).expect("the rules");
    binary.configure_anew(&CONFIGURATION.replace("no-debug", "no-debugging"));
    binary.listen();
    eventually("it says that it is not ready", || (binary.readiness()? == 503).then_some(()));
    let text = eventually("frames that cannot be split are counted", || {
        let text = binary.metrics();
        let page = Page::read(&text);
        (page.count("tidegate_drain_unreadable_records_total") > 0).then_some(text)
    });
    let page = Page::read(&text);
    names.extend(page.names);
    // Every metric of ours has a text that says what it is.
    let ours = named_in("src/telemetry/metrics.rs");
    let silent: Vec<_> = ours
        .iter()
        .filter(|name| names.contains(*name) && !page.described.contains(*name))
        .filter(|name| page.samples.keys().any(|key| key.starts_with(name.as_str())))
        .collect();
    assert!(silent.is_empty(), "without a description: {silent:?}");
    names
}

/// A gateway that speaks TLS.
fn tls_names() -> BTreeSet<String> {
    let authority = Authority::new();
    let pair = authority.server("books", &["localhost"]);
    let (cert, key) = (pair.cert.display(), pair.key.display());
    let binary = Binary::start(&format!("[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n"));
    Page::read(&binary.metrics()).names
}

/// A gateway with Kafka that diverts everything, sends one event to the dead letters and parks one.
fn kafka_names() -> BTreeSet<String> {
    let broker = shared();
    let mut binary = Binary::prepare(
        "[kafka]\ntopic_prefix = \"books\"\ndivert_ms = 1\n\
         [kafka.properties]\n\"topic.metadata.propagation.max.ms\" = \"500\"\n\
         [[routes]]\ntypes = [\"large\"]\nlane = \"narrow\"\n\
         [[routes]]\ntypes = [\"lost\"]\nlane = \"lost\"\n",
    );
    binary.set("TIDEGATE__KAFKA__BROKERS", &broker.addr());
    for topic in ["books.raw", "books.event.other", "books.dead"] {
        broker.topics().create(topic, 1).expect("a topic");
    }
    binary.run();
    // Narrower than an event: the broker refuses it for good. Made after the start, which would
    // have lowered the gateway's own limits to it.
    let narrow = [("max.message.bytes", "1000")];
    broker.topics().create_with("books.event.narrow", 1, &narrow).expect("a topic");
    let mut client = Client::connect(binary.address());
    // Text that does not compress below the limit of its topic.
    let noise: String = (0..400).map(|_| uuid::Uuid::new_v4().to_string()).collect();
    let large = format!("{{\"type\":\"large\",\"x\":\"{noise}\"}}\n");
    // Its topic does not exist: it is parked.
    let lost = b"{\"type\":\"lost\"}".to_vec();
    for body in [batches::sealed("kafka", 5).body, large.into_bytes(), lost] {
        assert_eq!(client.send(&Request::batch(body)).status, 200);
    }
    let text =
        eventually("a dead letter, a diverted batch and Kafka's reports are counted", || {
            let text = binary.metrics();
            let page = Page::read(&text);
            let counted =
                |name: &str| page.samples.iter().any(|(key, n)| key.starts_with(name) && n != "0");
            let all = [
                "tidegate_dead_letters_total",
                "tidegate_diverted_batches_total",
                "tidegate_kafka_ack_seconds_count",
                "tidegate_parked_bytes",
                "tidegate_parked_records_total",
            ];
            all.iter().all(|name| counted(name)).then_some(text)
        });
    assert_eq!(binary.stop().code(), Some(0));
    Page::read(&text).names
}
