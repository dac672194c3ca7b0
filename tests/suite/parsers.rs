//! Every parser of outside bytes: the fuzzer's targets, run with its seeds and with every case that
//! it has ever found.
//!
//! Seeds are made of what other tests use, so that they never grow old; `.ci/fuzz` has them written
//! to `SEEDS_DIR`. Cases lie in `tests/cases/fuzz/<target>/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tidegate::journal::cursor::{SLOT_BYTES, Saved};
use tidegate::journal::frame::ALIGN;
use tidegate::settings::Settings;
use uuid::Uuid;

use super::requests;
use super::support::{batches, pack, pages, root};

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is also a library of its own, which the fuzzer links")]
pub(crate) mod targets;

/// Larger seeds only slow the fuzzer down.
const SEED_BYTES_MAX: usize = 16 << 10;

#[test]
fn every_seed_and_every_case_passes_every_target() {
    let cases = cases();
    let seeds = seeds();
    assert!(seeds.values().map(Vec::len).sum::<usize>() > 300, "hardly any seeds");
    let all = seeds.values().flatten().chain(&cases);
    for (input, number) in all.zip(0..) {
        for (name, target) in targets::TARGETS {
            let passed = std::panic::catch_unwind(|| target(input));
            assert!(passed.is_ok(), "{name}: input {number}: {}", input.escape_ascii());
        }
    }
}

/// Without a fuzzer's knowledge of what was reached, but with every build; `MUTATIONS` for more.
#[test]
fn changed_seeds_pass_their_targets() {
    let told = std::env::var("MUTATIONS").ok().and_then(|told| told.parse().ok());
    let wanted = told.unwrap_or(1_500);
    let seeds = seeds();
    for (name, target) in targets::TARGETS {
        let began = std::time::Instant::now();
        for (seed, number) in seeds[name].iter().cycle().zip(0..wanted) {
            let input = targets::differential::generate::mutated(seed, number);
            let passed = std::panic::catch_unwind(|| target(&input));
            assert!(passed.is_ok(), "{name}: change {number}: {}", input.escape_ascii());
        }
        println!("{name}: {wanted} changed seeds in {:?}", began.elapsed());
    }
}

#[test]
fn every_target_has_its_program_and_its_seeds() {
    let mut programs: Vec<_> = fs::read_dir(root().join("tests/fuzz/fuzz_targets"))
        .expect("programs")
        .flatten()
        .filter_map(|entry| entry.path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    programs.sort();
    let names: Vec<_> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(programs, names);
    let seeds = seeds();
    for name in names {
        assert!(seeds.get(name).is_some_and(|seeds| !seeds.is_empty()), "no seed for {name}");
    }
}

/// Not a test of anything: `.ci/fuzz` runs it to get the seeds as files.
#[test]
#[ignore = "writes files, for .ci/fuzz"]
fn seeds_are_written() {
    let to = std::env::var("SEEDS_DIR").expect("SEEDS_DIR");
    for (target, inputs) in seeds() {
        let dir = Path::new(&to).join(target);
        fs::create_dir_all(&dir).expect("a folder");
        for (input, number) in inputs.iter().zip(0..) {
            fs::write(dir.join(format!("seed-{number:04}")), input).expect("room for a seed");
        }
    }
}

/// What the fuzzer found, once and for all.
fn cases() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for folder in fs::read_dir(root().join("tests/cases/fuzz")).into_iter().flatten().flatten() {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            found.push(fs::read(file.path()).expect("a case"));
        }
    }
    found
}

/// Seeds by target.
fn seeds() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut seeds: BTreeMap<_, Vec<Vec<u8>>> = BTreeMap::new();
    let mut add = |target, input: &[u8]| {
        if input.len() <= SEED_BYTES_MAX {
            seeds.entry(target).or_default().push(input.to_vec());
        }
    };
    for (target, body) in requests::samples() {
        if let Some((_, query)) = target.split_once('?') {
            add("query", query.as_bytes());
        }
        for name in ["split", "differential", "pixel"] {
            add(name, &body);
        }
        add("coding", &[&[0], &body[..]].concat());
        match body.get(..4) {
            Some([0x1f, 0x8b, ..]) => add("gzip", &body),
            Some([0x28, 0xb5, 0x2f, 0xfd]) => add("zstd", &body[4..]),
            _ => {}
        }
    }
    for number in 0..100 {
        add("differential", &targets::differential::generate::body(number));
    }
    let sealed = batches::sealed("seed", 3).body;
    add("split", &sealed);
    add("header", sealed.split(|byte| *byte == b'\n').next().unwrap_or_default());
    add("header", br#","batch":"0198f0c0-a1b2-7cc3-8dd4-e5f60718293a","class":2,"count":2"#);
    let plain = sealed.repeat(3);
    add("gzip", &pack::gzip(&plain));
    let deflated = pack::raw_deflate(&plain);
    for name in ["deflate", "zlib"] {
        add(name, &deflated);
    }
    add("gzip", &[&[1], &deflated[..]].concat());
    add("zstd", &pack::zstandard(&plain)[4..]);
    stored(&mut add);
    texts(&mut add);
    for header in PROXY_HEADERS {
        add("proxy", header);
    }
    for line in FORWARDED {
        add("forwarded", line.as_bytes());
    }
    seeds
}

/// What proxies begin a connection with.
const PROXY_HEADERS: [&[u8]; 4] = [
    b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n",
    b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\nGET / HTTP/1.1\r\n",
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x12\x34\0\x50",
];
/// What they say of whom they speak for.
const FORWARDED: [&str; 3] = [
    "6.6.6.6, 192.0.2.7, 10.0.0.2\n[fd00::1]:80",
    "for=192.0.2.60;proto=http;by=203.0.113.43, For=\"[2001:db8::17]:4711\"",
    "for=_hidden, unknown, for=\"_x;y\"",
];

/// Journals, cursors and facts.
fn stored(add: &mut impl FnMut(&'static str, &[u8])) {
    let golden = |name: &str| {
        let path = root().join("tests/golden").join(name);
        pages::unhex(&fs::read_to_string(path).expect("a golden file"))
    };
    let facts = golden("facts.hex");
    add("facts", &facts);
    let journal = golden("journal.hex");
    for at in (0..journal.len()).step_by(ALIGN) {
        let rest = &journal[at..];
        if rest.starts_with(b"TGFR") {
            add("journal_frame", rest);
        }
    }
    // A record that owes its raw half to one cluster: flags, clusters, a set of one word, facts.
    let length = u32::try_from(facts.len()).expect("short facts").to_le_bytes();
    let owed = [0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let payload = [&owed[..], &length, &facts, br#"{"type":"a"}"#].concat();
    for name in ["journal_frame", "journal_export"] {
        add(name, &[&[1], &payload[..]].concat());
    }
    let saved = |generation| Saved { generation, next_seq: 9, journal: Uuid::nil() }.encode();
    let mut slots = saved(4).to_vec();
    slots.resize(SLOT_BYTES, 0);
    slots.extend_from_slice(&saved(5));
    add("journal_cursor", &slots);
    add("journal_cursor", &[&4_u64.to_le_bytes()[..], &saved(5)].concat());
}

/// Configuration: the reference, its examples, and one variable for each key.
fn texts(add: &mut impl FnMut(&'static str, &[u8])) {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("a text");
    let reference = read("config/tidegate.toml");
    let mut examples = String::new();
    for block in reference.split("\n\n").filter(|block| block.contains("# [[")) {
        let from = block.find("# [[").unwrap_or(0);
        for line in block[from..].lines() {
            examples.extend([line.trim_start_matches('#').trim_start(), "\n"]);
        }
    }
    assert!(toml::from_str::<Settings>(&examples).is_ok(), "{examples}");
    add("config", examples.as_bytes());
    add("config", pages::case("routing.toml").as_bytes());
    // Without its comments the reference is small enough for a seed.
    let bare: Vec<_> = reference.lines().filter(|line| !line.starts_with('#')).collect();
    add("config", bare.join("\n").as_bytes());
    let mut section = String::new();
    for line in bare {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{}__", name.replace('.', "__"));
        } else if let Some((key, value)) = line.split_once(" = ") {
            add("environment", format!("{section}{key}={value}").to_uppercase().as_bytes());
        }
    }
}
