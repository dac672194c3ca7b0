//! Another configuration while the gateway runs: all of it or nothing, and nobody notices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::Signal;

use super::support::broker::shared;
use super::support::{Binary, Client, Request, Response, batches, eventually, files};

/// How often the configuration changes under load; `make reloads` does it more often.
fn reloads() -> u64 {
    std::env::var("TIDEGATE_RELOADS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

fn reload(binary: &Binary) -> Response {
    Client::connect(binary.admin()).send(&Request::post("/admin/reload", ""))
}

fn state(binary: &Binary) -> serde_json::Value {
    Client::connect(binary.admin()).send(&Request::get("/admin/state")).json()
}

fn status(binary: &Binary, key: &str) -> u16 {
    let request = Request::post(&format!("/v1/batch?key={key}"), r#"{"type":"a"}"#);
    Client::connect(binary.address()).send(&request).status
}

/// Two keys that stay and change, and a rule that takes one of two types away.
fn configuration(taken: &str) -> String {
    format!(
        "watch_ms = 0\n[store]\nflush_ms = 20\n\
         [[keys]]\nkey = \"wk_both\"\napp = \"shop\"\nkind = \"public\"\n\
         [[keys]]\nkey = \"wk_only_{taken}\"\napp = \"{taken}\"\nkind = \"public\"\n\
         [[rules]]\nname = \"no-{taken}\"\ntypes = [\"{taken}\"]\naction = \"filter\"\n"
    )
}

/// Sends batches of both types until it is over, and gives how many; each of them has to be taken.
fn load(binary: &Binary, over: &AtomicBool, sent: &AtomicU64) {
    let body = "{\"type\":\"one\"}\n{\"type\":\"two\"}\n".repeat(3);
    let request = Request::post("/v1/batch?key=wk_both", body);
    let mut client = Client::connect(binary.address());
    while !over.load(Ordering::Acquire) {
        let reply = client.send(&request);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let said = reply.json();
        let counts = (said["accepted"].as_u64(), said["filtered"].as_u64());
        assert_eq!(counts, (Some(3), Some(3)), "one rule or the other: {said}");
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn reloads_under_load_fail_nobody_and_mix_nothing() {
    let reloads = reloads();
    let mut binary = Binary::start(&configuration("one"));
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut sizes = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| load(&binary, &over, &sent))).collect();
        for round in 1..=reloads {
            let taken = if round % 2 == 1 { "two" } else { "one" };
            binary.configure_anew(&configuration(taken));
            let reply = reload(&binary);
            assert_eq!((reply.status, reply.json()["result"].as_str()), (200, Some("applied")));
            if round % (reloads / 10).max(1) == 0 {
                sizes.push(binary.resident_bytes() >> 20);
            }
            if threads.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        over.store(true, Ordering::Release);
    });
    assert_eq!(state(&binary)["config"]["version"], reloads + 1);
    let metrics = binary.metrics();
    assert_eq!(binary.stop().code(), Some(0));
    let batches = check_books(&binary);
    assert_eq!(batches as u64, sent.load(Ordering::Relaxed), "every batch is there");
    println!("{reloads} reloads, {batches} batches, resident MiB after each tenth: {sizes:?}");
    assert!(
        metrics.contains(&format!("reloads_total{{result=\"applied\"}} {reloads}")),
        "{metrics}"
    );
    // Whatever fills at first has filled after three tenths.
    let (early, late) = (sizes[2], sizes[sizes.len() - 1]);
    assert!(late <= early + 24, "it grows: {sizes:?}");
}

/// Every batch has events of one type under one rules text, and each text took one type.
fn check_books(binary: &Binary) -> usize {
    let mut by_batch: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    let mut taken: BTreeSet<(String, String)> = BTreeSet::new();
    for event in files::stored(&binary.data_dir()) {
        let fate = (event.text("rules").to_owned(), event.text("type").to_owned());
        taken.insert(fate.clone());
        by_batch.entry(event.text("batch").to_owned()).or_default().insert(fate);
    }
    let mixed = by_batch.values().filter(|fates| fates.len() != 1).count();
    assert_eq!(mixed, 0, "batches under two rules, of {}", by_batch.len());
    assert_eq!(taken.len(), 2, "two texts, each with the type that it leaves: {taken:?}");
    by_batch.len()
}

#[test]
fn a_bad_file_keeps_the_old_configuration_and_says_so() {
    let binary = Binary::start(&configuration("one"));
    assert_eq!((status(&binary, "wk_only_one"), status(&binary, "wk_only_two")), (200, 401));
    for (text, told) in [
        ("watch_ms = 0\n[kafka]\nackk = 1\n", "line 3, column 1, key kafka.ackk"),
        ("watch_ms = 0\n[[rules]]\nname = \"x\"\naction = \"reject\"\n", "line 2"),
        ("watch_ms = 0\nworkers = 7\n", "need a restart: workers"),
        (
            "watch_ms = 0\n[kafka]\nbrokers = \"a:1\"\n[journal]\ngather_us = 7\n",
            "need a restart: journal.gather_us, kafka.brokers",
        ),
        ("watch_ms = 0\n[limits]\nevents_max = 0\n", "limits.events_max"),
        ("watch_ms = 0\n[sdk]\ndocuments = \"/no/such/folder\"\n", "/no/such/folder"),
    ] {
        binary.configure_anew(text);
        let refused = reload(&binary);
        let said = refused.json();
        assert_eq!((refused.status, said["reason"].as_str()), (422, Some("config_rejected")));
        assert!(said["error"].as_str().is_some_and(|error| error.contains(told)), "{told}: {said}");
        assert_eq!(status(&binary, "wk_only_one"), 200, "the old keys stay");
        let config = &state(&binary)["config"];
        assert_eq!(
            (config["version"].as_u64(), &config["rejected"]["error"]),
            (Some(1), &said["error"])
        );
        assert!(binary.metrics().contains("tidegate_config_rejected 1"));
        let log = binary.log();
        let mut lines = log.lines().filter(|line| line.contains("configuration is refused"));
        assert!(lines.next_back().is_some_and(|line| line.contains(told)), "{told}: {log}");
    }
    binary.configure_anew(&configuration("one"));
    let same = reload(&binary);
    assert_eq!((same.status, same.json()["result"].as_str()), (200, Some("unchanged")));
    assert!(binary.metrics().contains("tidegate_config_rejected 0"));
    assert_eq!(state(&binary)["config"]["rejected"], serde_json::Value::Null);
    binary.configure_anew(&configuration("two"));
    let good = reload(&binary);
    assert_eq!(good.json()["changed"], serde_json::json!(["keys", "rules"]));
    assert_eq!((status(&binary, "wk_only_one"), status(&binary, "wk_only_two")), (401, 200));
    assert_eq!(state(&binary)["config"]["version"], 2);
}

#[test]
fn a_signal_and_a_saved_file_are_orders_too() {
    let mut binary = Binary::start(&configuration("one"));
    binary.configure_anew(&configuration("two"));
    binary.signal(Signal::HUP);
    eventually("the signal is obeyed", || (status(&binary, "wk_only_two") == 200).then_some(()));
    assert_eq!(binary.stop().code(), Some(0));
    let watched = |taken: &str| configuration(taken).replace("watch_ms = 0", "watch_ms = 20");
    binary.configure_anew(&watched("one"));
    binary.run();
    assert_eq!(status(&binary, "wk_only_one"), 200);
    // As editors save: another file is moved over it.
    let draft = binary.write("tidegate.toml.draft", &watched("two"));
    std::fs::rename(&draft, draft.with_extension("")).expect("renamed");
    eventually("the file is obeyed", || (status(&binary, "wk_only_two") == 200).then_some(()));
    // What the environment says still wins: its key is not part of any file.
    assert_eq!(state(&binary)["config"]["effective"]["admin"]["listen"], "127.0.0.1:0");
}

#[test]
fn limits_change_under_open_connections() {
    let limited = |bytes: u64| format!("watch_ms = 0\n[limits]\nbody_bytes_max = {bytes}\n");
    let binary = Binary::start(&limited(900_000));
    let mut client = Client::connect(binary.address());
    let large = Request::batch(vec![b' '; 2_000]);
    assert_eq!(client.send(&large).json()["reason"], "empty");
    binary.configure_anew(&limited(1_000));
    assert_eq!(reload(&binary).status, 200);
    let refused = client.send(&large);
    assert_eq!((refused.status, refused.json()["limit"].as_u64()), (413, Some(1_000)));
    binary.configure_anew(&limited(900_000));
    assert_eq!(reload(&binary).status, 200);
    assert_eq!(client.send(&large).json()["reason"], "empty");
}

#[test]
fn operators_see_the_state_and_nobody_else_does() {
    let binary = Binary::start("watch_ms = 0\n[admin]\ntoken = \"sesame-sesame\"\n");
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let mut request = Request::new(method, path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Client::connect(binary.admin()).send(&request)
    };
    let bearer = ("Authorization", "Bearer sesame-sesame");
    for (method, path, headers, status, reason) in [
        ("GET", "/healthz", &[][..], 200, ""),
        ("GET", "/readyz", &[], 200, ""),
        ("GET", "/metrics", &[], 401, "admin_token"),
        ("GET", "/admin/state", &[], 401, "admin_token"),
        ("POST", "/admin/reload", &[], 401, "admin_token"),
        ("GET", "/admin/state", &[("Authorization", "Bearer sesame")], 401, "admin_token"),
        ("GET", "/admin/reload", &[bearer], 405, "method_not_allowed"),
        ("POST", "/admin/state", &[bearer], 405, "method_not_allowed"),
        ("GET", "/admin/state", &[bearer, ("Origin", "https://a.example")], 403, "admin_browser"),
        ("GET", "/admin", &[bearer], 404, "not_found"),
        ("GET", "/metrics", &[bearer], 200, ""),
        ("POST", "/admin/reload", &[bearer], 200, ""),
        ("GET", "/admin/state", &[bearer], 200, ""),
    ] {
        let reply = ask(method, path, headers);
        assert_eq!(reply.status, status, "{method} {path} {headers:?}: {}", reply.text());
        let said = reply.json()["reason"].as_str().unwrap_or_default().to_owned();
        assert!(said == reason || reason.is_empty(), "{method} {path}: {said}");
        assert_eq!(reply.header("www-authenticate").is_some(), status == 401, "{path}");
    }
    let state = ask("GET", "/admin/state", &[bearer]).json();
    for key in ["config", "rules", "documents", "pressure", "memory", "talkers", "journal"] {
        assert!(!state[key].is_null(), "{key} of {state}");
    }
    assert_eq!(state["config"]["effective"]["admin"]["token"], "***");
    let ready = ask("GET", "/readyz", &[]).json();
    assert_eq!(
        (ready["pressure"].as_u64(), ready["journal_full"].as_bool()),
        (Some(0), Some(false))
    );
}

#[test]
fn kafka_learns_every_rules_text() {
    let broker = shared();
    for topic in ["reload.raw", "reload.dead", "reload.rules", "reload.event.other"] {
        broker.topics().create(topic, 1).expect("a topic");
    }
    let kafka = "[kafka]\ntopic_prefix = \"reload\"\n";
    let mut binary = Binary::prepare(&format!("{}{kafka}", configuration("one")));
    binary.set("TIDEGATE__KAFKA__BROKERS", &broker.addr());
    binary.run();
    let mut wanted = BTreeSet::from([state(&binary)["rules"].as_str().expect("a hash").to_owned()]);
    binary.configure_anew(&format!("{}{kafka}", configuration("two")));
    let applied = reload(&binary);
    assert_eq!(applied.status, 200, "{}", applied.text());
    wanted.insert(applied.json()["rules"].as_str().expect("a hash").to_owned());
    assert_eq!(wanted.len(), 2);
    let sealed = batches::sealed("reload", 5);
    let batch = Request::post("/v1/batch?key=wk_both", sealed.body);
    assert_eq!(Client::connect(binary.address()).send(&batch).status, 200);
    eventually("both texts are on their topic", || {
        let messages = broker.topics().consume_all("reload.rules").expect("a topic");
        let key = |key: Vec<u8>| String::from_utf8(key).expect("a hash");
        let found: BTreeSet<_> =
            messages.into_iter().filter_map(|message| message.key).map(key).collect();
        (found == wanted).then_some(())
    });
    // A lane whose topic is missing is no reason to refuse, as at the start; it is said.
    let lane = "[[routes]]\ntypes = [\"far\"]\nlane = \"far\"\n";
    binary.configure_anew(&format!("{}{kafka}{lane}", configuration("two")));
    assert_eq!(reload(&binary).json()["changed"], serde_json::json!(["routes"]));
    assert!(binary.log().contains("reload.event.far"), "{}", binary.log());
}
