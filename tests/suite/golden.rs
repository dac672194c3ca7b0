//! Formats that somebody else reads, pinned to files in `tests/golden/`. A difference here breaks
//! readers, journals on disks or dashboards; it is never just refreshed.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tidegate::ingest::refine;
use tidegate::journal::frame::{self, Seed};
use tidegate::journal::{self, Draft, Entry};
use tidegate::model::batch::made_id;
use tidegate::model::{Coding, Facts, Format, KeyKind, Owed, Record, owed};
use tidegate::rulebook::{Rulebook, Rulebooks};
use tidegate::settings::Settings;
use uuid::Uuid;

use super::support::{Binary, pages, root};

/// Facts with every tag in them.
fn facts() -> Facts {
    Facts {
        app: Arc::from("shop"),
        key_kind: KeyKind::Public,
        address: IpAddr::from([192, 0, 2, 7]),
        user_agent: "curl/8.5".into(),
        coding: Coding::Identity,
        format: Format::Lines,
        arrival_ms: 1_767_225_600_000,
        sent_ms: Some(1_767_225_599_990),
        wait_ms: Some(1_200),
        attempt: 3,
        class: 1,
        batch: Uuid::from_u128(0x0198_f0c0_a1b2_7cc3_8dd4_e5f6_0718_293a),
        batch_made: false,
        rules: 0x0123_4567_89ab_cdef,
        node: Uuid::from_u128(0x0198_f0c0_0000_7000_8000_0000_0000_0001),
    }
}

fn routing() -> Rulebook {
    let settings: Settings = toml::from_str(&pages::case("routing.toml")).expect("a configuration");
    settings.rulebook().expect("rules and routes")
}

#[test]
fn facts_have_their_bytes_and_are_read_back() {
    let mut bytes = Vec::new();
    facts().encode(&mut bytes);
    pages::compare("facts.hex", &pages::hex(&bytes));
    let stored = fs::read_to_string(root().join("tests/golden/facts.hex")).expect("a golden page");
    assert_eq!(Facts::decode(&pages::unhex(&stored)), Ok(facts()));
}

#[test]
fn tier_2_values_have_their_bytes() {
    let body = Bytes::from(pages::case("routing.ndjson"));
    let mut record = Record { facts: facts(), body };
    let (_, routed) = refine(&mut record, None, &routing(), |_, _, _| ()).expect("a good batch");
    let text = String::from_utf8(routed.values.clone()).expect("UTF-8");
    pages::compare("tier2.ndjson", &text);
}

#[test]
fn routes_and_rules_decide_as_they_did() {
    let binary = Binary::prepare(&pages::case("routing.toml"));
    let body = pages::case("routing.ndjson");
    let output = binary.command(&["explain", "--json", "--app", "shop", &body]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let types = body.lines().skip(1).map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).expect("an event");
        event["type"].to_string().trim_matches('"').to_owned()
    });
    let mut text = String::from("# type | verdict | why | lane | topic | key\n");
    let mut lines = 0;
    for (kind, line) in types.zip(String::from_utf8_lossy(&output.stdout).lines()) {
        let fate: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        assert_eq!(fate["index"], lines);
        let part = |key: &str| fate[key].as_str().unwrap_or("-").to_owned();
        let shown = ["verdict", "why", "lane", "topic", "key"].map(part).join(" | ");
        writeln!(text, "{kind} | {shown}").expect("in memory");
        lines += 1;
    }
    assert_eq!(lines, body.lines().count() - 1);
    pages::compare("routing.txt", &text);
}

#[test]
fn made_ids_follow_from_batch_and_index() {
    let mut text = String::new();
    for batch in [facts().batch, Uuid::nil(), Uuid::max()] {
        for index in [0, 1, 2, 9, 10, 41, 4_999] {
            writeln!(text, "{batch} {index} {}", made_id(batch, index)).expect("in memory");
        }
    }
    pages::compare("made-ids.txt", &text);
}

#[test]
fn lanes_are_topics_under_the_prefix() {
    let lanes = routing();
    let topics: Vec<_> = lanes.table.lanes().iter().map(|lane| lane.topic.as_str()).collect();
    assert_eq!(
        topics,
        [
            "shop.event.other",
            "shop.event.page",
            "shop.event.order",
            "shop.event.never",
            "shop.event.hot"
        ]
    );
}

/// What the journal of [`frames`] holds: two batches and what one of them still owes.
fn write_journal(dir: &std::path::Path) {
    let (log, _) = journal::open("main", dir, &journal::Settings::default()).expect("a journal");
    let record = Record { facts: facts(), body: Bytes::from_static(b"{\"type\":\"a\"}\n") };
    let all: Owed = [owed::RAW, owed::event(0), owed::event(64)].into_iter().collect();
    let embedded = Draft::Record { pending: false, owed: &[], record: &record };
    assert_eq!(log.append(embedded, None).wait().expect("durable"), 1);
    let diverted =
        Draft::Record { pending: true, owed: std::slice::from_ref(&all), record: &record };
    assert_eq!(log.append(diverted, None).wait().expect("durable"), 2);
    let left: Owed = [owed::event(64)].into_iter().collect();
    let settle = Draft::Settle { record: 2, cluster: 0, owed: &left };
    assert_eq!(log.append(settle, None).wait().expect("durable"), 3);
    log.close();
}

/// The one segment of a journal folder.
fn segment(dir: &std::path::Path) -> Vec<u8> {
    fs::read(dir.join("00000000000000000001.tgj")).expect("a segment")
}

/// Every frame of a segment as text: kind, flags, seq, payload.
fn frames(segment: &[u8]) -> String {
    assert_eq!(segment[..8], *b"TGJN\x01\0\0\0");
    let journal = Uuid::from_slice(&segment[32..48]).expect("16 bytes");
    let mut rest = &segment[64..];
    let mut text = String::new();
    while let Ok((found, span)) = frame::parse(rest, Seed::of(journal)) {
        let header = found.header;
        let (kind, flags, seq) = (header.kind, header.flags, header.seq);
        writeln!(text, "kind {kind} flags {flags} seq {seq} bytes {}", header.payload_bytes)
            .expect("in memory");
        text.push_str(&pages::hex(found.payload));
        rest = &rest[span..];
    }
    text
}

#[test]
fn journal_frames_have_their_bytes() {
    let dir = tempfile::tempdir().expect("a folder");
    write_journal(dir.path());
    pages::compare("frames.txt", &frames(&segment(dir.path())));
}

#[test]
fn a_journal_of_version_1_is_read_for_ever() {
    let golden = root().join("tests/golden/journal.hex");
    if !golden.exists() {
        // Written once, with the first version; nothing but its removal makes this happen again.
        let dir = tempfile::tempdir().expect("a folder");
        write_journal(dir.path());
        fs::write(&golden, pages::hex(&segment(dir.path()))).expect("a golden page");
    }
    let bytes = pages::unhex(&fs::read_to_string(&golden).expect("a golden page"));
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("00000000000000000001.tgj"), &bytes).expect("a segment");
    let mut shown = Vec::new();
    let count = journal::dump(dir.path(), 0, |frame| match frame.entry {
        Entry::Record { pending, owed, record } => {
            assert_eq!((record.facts, &record.body[..]), (facts(), &b"{\"type\":\"a\"}\n"[..]));
            let owed: Vec<Vec<u32>> = owed.iter().map(|owed| owed.iter().collect()).collect();
            shown.push(format!("{} {pending} {owed:?}", frame.seq));
        }
        Entry::Settle { record, cluster, owed } => {
            let owed: Vec<u32> = owed.iter().collect();
            shown.push(format!("{} settles {record} {cluster} {owed:?}", frame.seq));
        }
    });
    assert_eq!(count.expect("readable"), 3);
    assert_eq!(shown, ["1 false []", "2 true [[0, 1, 65]]", "3 settles 2 0 [65]"]);
    assert!(journal::verify(dir.path()).expect("readable").intact);
}

#[test]
fn a_rules_text_of_version_1_is_read_for_ever() {
    let golden = root().join("tests/golden/rules.json");
    let now = routing();
    if !golden.exists() {
        fs::write(&golden, &now.text).expect("a golden page");
    }
    let text = fs::read_to_string(&golden).expect("a golden page");
    let dir = tempfile::tempdir().expect("a folder");
    // Records name a text by its hash, and find it whatever today's version would write.
    fs::write(dir.path().join("00000000000000aa"), &text).expect("a rules text");
    let current = Settings::default().rulebook().expect("defaults");
    let books = Rulebooks::open(dir.path().to_owned(), current).expect("a folder");
    let found = books.find(0xaa).expect("readable");
    assert_eq!((found.hash, &found.shape), (0xaa, &now.shape));
}
