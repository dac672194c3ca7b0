//! The house rules as a test: floors, crate fences, sizes, headers, words. The drawing is in
//! ARCHITECTURE.md; what fails here names the rule that it breaks.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules by floor; imports go to a lower floor, or stay inside their own module.
const FLOORS: [&[&str]; 7] = [
    &["config", "telemetry", "clock", "json"],
    &["model"],
    &["decode", "split", "route", "deliver", "journal"],
    &["ingest", "ledger", "rulebook", "aside"],
    &["accept", "admit", "admin"],
    &["gateway", "settings"],
    &["commands", "main", "lib"],
];

/// Imports within one floor that are allowed, with the reason.
const SIDEWAYS: [(&str, &str, &str); 6] = [
    ("deliver", "journal", "what a sink does not take in time is journalled"),
    ("ingest", "aside", "large bodies are worked on where they stall nobody"),
    ("ingest", "rulebook", "the page runs under the rulebook in force"),
    ("ledger", "rulebook", "verdicts are those of the rules that a record names"),
    ("gateway", "settings", "the assembly is built from the settings"),
    ("config", "config", "units"),
];

/// Crates, and the only places that may name them.
const FENCES: [(&str, &[&str]); 17] = [
    ("hyper", &["src/accept/", "src/admit/", "src/admin/"]),
    ("hyper_util", &["src/accept/", "src/admin/"]),
    ("http_body_util", &["src/admit/", "src/admin/"]),
    ("rdkafka", &["src/deliver/sinks/kafka/"]),
    ("flate2", &["src/decode/"]),
    ("zstd", &["src/decode/"]),
    ("socket2", &["src/accept/"]),
    ("tower", &["src/admit/"]),
    ("h2", &["src/accept/"]),
    ("rustls", &["src/accept/tls/"]),
    ("tokio_rustls", &["src/accept/tls/"]),
    ("x509_parser", &["src/accept/tls/"]),
    ("ppp", &["src/accept/proxy.rs"]),
    ("ipnet", &["src/accept/networks.rs"]),
    ("listenfd", &["src/accept/listen.rs"]),
    ("anyhow", &["src/commands/"]),
    ("metrics_exporter_prometheus", &["src/telemetry/", "src/gateway/"]),
];

/// Text that may only stand in these places.
const WORDS: [(&str, &[&str]); 6] = [
    (
        "tokio::",
        &[
            "src/accept/",
            "src/admit/",
            "src/admin/",
            "src/gateway/",
            "src/ingest.rs",
            "src/aside.rs",
            "src/deliver/",
            "src/journal/",
            "src/commands/",
        ],
    ),
    ("SystemTime::now", &["src/clock.rs"]),
    ("File::create", &["src/journal/", "src/deliver/sinks/", "src/config/"]),
    ("OpenOptions", &["src/journal/", "src/deliver/sinks/file/", "src/config/"]),
    ("fs::write", &["src/journal/", "src/deliver/sinks/file/", "src/config/"]),
    ("serde_json::Value", &["src/commands/", "src/admin/", "src/gateway/", "src/model/reply.rs"]),
];

const BANNED_NAMES: [&str; 10] =
    ["util", "utils", "common", "helper", "helpers", "misc", "manager", "base", "info", "handler"];

/// Words that mean unfinished work. Written in two parts, so that this file does not hold them.
const LEFTOVERS: [(&str, &str); 6] = [
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X"),
    ("dbg", "!("),
    ("todo", "!("),
    ("unimplemented", "!("),
];

const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;

#[test]
fn imports_go_down_only() {
    let mut broken = Vec::new();
    for (path, text) in sources("src") {
        let Some(from) = module(&path) else { continue };
        for to in imported(code(&text)) {
            if let Some(rule) = refused(from, to) {
                broken.push(format!("{}: {rule}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_floor_rule_sees_a_climb() {
    assert!(refused("split", "ingest").is_some());
    assert!(refused("split", "route").is_some());
    assert!(refused("model", "journal").is_some());
    assert!(refused("deliver", "journal").is_none());
    assert!(refused("ingest", "split").is_none());
    let declared = "#[cfg(test)]\nmod tests;\nuse crate::ingest;\n#[cfg(test)]\nmod tests {}";
    assert_eq!(imported(code(&declared.replace("{}", "{\nuse crate::gateway;"))).count(), 1);
    let imports: Vec<_> = imported("use crate::ingest::refine; crate::model::Event").collect();
    assert_eq!(imports, ["ingest", "model"]);
}

#[test]
fn libraries_stay_behind_their_fences() {
    let mut broken = Vec::new();
    // Tests compare with what other libraries make of the same bytes, so no fence is around them.
    for (path, text) in sources("src").into_iter().filter(|(path, _)| !is_test(path)) {
        let shown = path.display().to_string();
        let allowed = |places: &[&str]| places.iter().any(|place| shown.starts_with(place));
        let text = code(&text);
        for (library, places) in FENCES {
            let named = text.contains(&format!("use {library}::"))
                || text.contains(&format!(" {library}::"))
                || text.contains(&format!("({library}::"));
            if named && !allowed(places) {
                broken.push(format!("{shown}: {library} may only be named in {places:?}"));
            }
        }
        for (word, places) in WORDS {
            if text.contains(word) && !allowed(places) {
                broken.push(format!("{shown}: {word} may only stand in {places:?}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_have_headers_and_sizes() {
    let mut broken = Vec::new();
    for (path, text) in all_sources() {
        let shown = path.display();
        if !text.starts_with("//!") {
            broken.push(format!("{shown}: a file starts with //! and says what it is"));
        }
        let lines = code(&text).lines().count();
        if lines > LINES_MAX {
            broken.push(format!("{shown}: {lines} lines without tests, at most {LINES_MAX}"));
        }
        for (line, at) in text.lines().zip(1..) {
            // Code is laid out by rustfmt, which breaks everything but a long literal.
            if line.trim_start().starts_with("//") && line.chars().count() > COLUMNS_MAX {
                broken.push(format!("{shown}:{at}: more than {COLUMNS_MAX} columns"));
            }
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if BANNED_NAMES.contains(&stem) || stem.ends_with("_handler") {
            broken.push(format!("{shown}: {stem} says nothing; name what it does"));
        }
        for (one, two) in LEFTOVERS {
            if says(&text, &format!("{one}{two}")) {
                broken.push(format!("{shown}: {one}{two} is unfinished work"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_top_level_is_as_agreed() {
    // The last folder is where proptest keeps the seeds of cases that once failed, to be committed.
    const AGREED: [&str; 17] = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "sdk",
        "config",
        "loadtest",
        "benches",
        "tests",
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "target",
        "data",
        "",
        "proptest-regressions",
    ];
    for entry in fs::read_dir(root()).expect("the project").flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        assert!(name.starts_with('.') || AGREED.contains(&name.as_str()), "top level: {name}");
    }
}

#[test]
fn the_map_is_one_page() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map");
    assert!(
        map.lines().count() <= 120,
        "{} lines: what is told in detail belongs to its folder",
        map.lines().count()
    );
}

/// Whether a mark stands in a text as a word of its own: the four digits of an escape in the prose
/// about JSON, and the currency code for "none", are not unfinished work.
fn says(text: &str, mark: &str) -> bool {
    text.match_indices(mark).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let behind = text.get(at + mark.len()..).and_then(|text| text.chars().next());
        let glued = |next: Option<char>| next.is_some_and(|c| c.is_alphanumeric() || c == '"');
        !glued(before) && (mark.ends_with('(') || !glued(behind))
    })
}

fn refused(from: &str, to: &str) -> Option<String> {
    let floor = |name| FLOORS.iter().position(|floor| floor.contains(&name));
    let (Some(above), Some(below)) = (floor(from), floor(to)) else {
        return Some(format!("{from} imports {to}, which stands on no floor"));
    };
    let sideways = SIDEWAYS.iter().any(|(one, two, _)| (*one, *two) == (from, to));
    let allowed = from == to || below < above || (below == above && sideways);
    (!allowed).then(|| format!("{from} (floor {above}) imports {to} (floor {below})"))
}

/// Whether a whole file is compiled for tests only.
fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

/// Every `crate::name` of a text.
fn imported(text: &str) -> impl Iterator<Item = &str> {
    text.split("crate::").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..end];
        // `use crate::{a, b}` is written out in the few files that use it.
        (!name.is_empty() && name.chars().all(|c| c.is_lowercase() || c == '_')).then_some(name)
    })
}

/// The module on a floor that a file belongs to.
fn module(path: &Path) -> Option<&str> {
    let first = path.components().nth(1)?.as_os_str().to_str()?;
    Some(first.strip_suffix(".rs").unwrap_or(first))
}

/// A file without its tests, which stand last.
fn code(text: &str) -> &str {
    const MARK: &str = "#[cfg(test)]\nmod ";
    // A declaration such as `mod tests;` stands among the others, with code behind it.
    let inline = |at: &usize| {
        let line = text[at + MARK.len()..].lines().next().unwrap_or_default();
        line.ends_with('{')
    };
    let at = text.match_indices(MARK).map(|(at, _)| at).find(inline);
    at.map_or(text, |at| &text[..at])
}

fn all_sources() -> Vec<(PathBuf, String)> {
    ["src", "tests/suite", "loadtest/src", "benches", "sdk/harness/src"]
        .into_iter()
        .flat_map(sources)
        .collect()
}

fn sources(dir: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(dir)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let path = path.strip_prefix(root()).expect("below the root").to_owned();
                found.push((path, text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{dir} holds no sources");
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
