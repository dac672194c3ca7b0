//! One batch of 50 events under every content coding: tier 2 does not know how it came.

use std::fs;

use super::support::files::Stored;
use super::support::{Request, Served, batches, pack};

#[test]
fn every_coding_gives_the_same_bytes_of_tier_2() {
    let sealed = batches::sealed("phone-1", 50);
    let plain = sealed.body.clone();
    let (one, two) = plain.split_at(plain.len() / 2);
    let bodies = [
        ("plain", plain.clone(), ""),
        ("gzip", pack::gzip(&plain), ""),
        ("gzip, said", pack::gzip(&plain), "gzip"),
        ("gzip of two members", [pack::gzip(one), pack::gzip(two)].concat(), ""),
        ("zstd", pack::zstandard(&plain), "zstd"),
        ("zstd of two frames", [pack::zstandard(one), pack::zstandard(two)].concat(), ""),
        ("deflate as zlib", pack::zlib(&plain), "deflate"),
        ("deflate as it comes", pack::raw_deflate(&plain), "deflate"),
    ];
    let mut first: Option<Vec<Stored>> = None;
    for (name, body, said) in bodies {
        let stored = stored(body, said);
        assert_eq!(stored.len(), 50, "{name}");
        check_own_bytes(&stored, &plain, name);
        let Some(first) = &first else {
            first = Some(stored);
            continue;
        };
        for (one, other) in first.iter().zip(&stored) {
            assert_eq!(without_arrival(one), without_arrival(other), "{name}");
            assert_eq!(one.lane(), other.lane(), "{name}");
        }
    }
}

/// Sends a body to a gateway of its own; gives tier 2 in the order of the batch.
fn stored(body: Vec<u8>, said: &str) -> Vec<Stored> {
    let mut served = Served::start(|settings| {
        fs::create_dir_all(&settings.data_dir).expect("a folder");
        fs::write(settings.data_dir.join("node-id"), NODE).expect("a node's identity");
    });
    let request = Request::batch(body);
    let request = if said.is_empty() { request } else { request.header("Content-Encoding", said) };
    let reply = served.send(&request);
    assert_eq!((reply.status, reply.json()["accepted"].as_u64()), (200, Some(50)), "{said}");
    served.stop();
    let mut stored = served.stored();
    stored.sort_by_key(|event| event.tg["index"].as_u64());
    stored
}

const NODE: &str = "0198f0c0-a1b2-7cc3-8dd4-e5f60718293a\n";

/// Behind `_tg` stand the bytes that the client sent behind its opening brace.
fn check_own_bytes(stored: &[Stored], plain: &[u8], name: &str) {
    let plain = std::str::from_utf8(plain).expect("our own batch");
    let sent = plain.lines().skip(1).map(|line| line.strip_prefix('{').expect("an object"));
    for (event, sent) in stored.iter().zip(sent) {
        let own = event.line.strip_suffix(sent);
        let tg = own.unwrap_or_else(|| panic!("{name}: {sent} is not in {}", event.line));
        assert!(tg.starts_with(r#"{"_tg":{"v":1,"id":""#) && tg.ends_with("},"), "{name}: {tg}");
    }
}

/// The line with the two numbers that follow the clock taken out; these events tell no time.
fn without_arrival(event: &Stored) -> String {
    let tg = &event.tg;
    let (ts, recv) = (tg["ts"].to_string(), tg["recv"].to_string());
    assert_eq!(ts, recv, "an event without a time has that of its arrival");
    event.line.replace(&format!(r#""ts":{ts}"#), "").replace(&format!(r#""recv":{recv}"#), "")
}
