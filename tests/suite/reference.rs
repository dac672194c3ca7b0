//! `config/tidegate.toml` is the reference: all keys, their defaults, a comment above each, and
//! examples that work when somebody takes their `#` away.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use tidegate::config;
use tidegate::settings::Settings;
use toml::{Table, Value};

use super::support::binary::program;
use super::support::{Binary, root};

/// Lists of tables: empty by default, so they stand in the file as examples only.
const LISTS: [&str; 5] = ["keys", "rules", "routes", "listeners", "tls.certificates"];

fn text() -> String {
    fs::read_to_string(root().join("config/tidegate.toml")).expect("the reference")
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("tidegate.toml");
    fs::write(&path, text).expect("room for a file");
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    config::load(Some(&path), variables).map_err(|error| error.to_string())
}

#[test]
fn the_reference_says_the_defaults() {
    assert_eq!(load(&text(), &[]), Ok(Settings::default()));
}

#[test]
fn the_reference_has_every_key_with_a_comment_and_no_other() {
    let defaults = Table::try_from(Settings::default()).expect("defaults are TOML");
    let mut wanted = BTreeSet::new();
    keys("", &defaults, &mut wanted);
    let mut found = BTreeSet::new();
    keys("", &text().parse().expect("TOML"), &mut found);
    wanted.retain(|key| !LISTS.contains(&key.as_str()));
    assert_eq!(found, wanted);
    let text = text();
    for list in LISTS {
        assert!(text.contains(&format!("# [[{list}]]")), "no example of {list}");
    }
    let lines: Vec<_> = text.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let above = at.checked_sub(1).and_then(|above| lines.get(above)).copied().unwrap_or("");
        let said = above.starts_with("# ");
        assert!(line.starts_with('#') || said, "line {}: no comment above {line}", at + 1);
        assert!(line.chars().count() <= 100, "line {}: longer than 100 columns", at + 1);
    }
}

/// Every key by its path; tables by what is in them.
fn keys(prefix: &str, table: &Table, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                found.insert(format!("[{prefix}{key}]"));
                keys(&format!("{prefix}{key}."), inner, found);
            }
            _ => {
                found.insert(format!("{prefix}{key}"));
            }
        }
    }
}

#[test]
fn numbers_with_a_unit_say_it_in_words() {
    let text = text();
    let lines: Vec<_> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let comment: Vec<_> =
            lines[..at].iter().rev().take_while(|line| line.starts_with('#')).copied().collect();
        let comment = comment.join(" ").to_lowercase();
        for (unit, word) in [("_ms", "milliseconds"), ("_bytes", "bytes"), ("bytes_max", "bytes")] {
            assert!(!key.ends_with(unit) || comment.contains(word), "{key}: its unit is not said");
        }
    }
}

#[test]
fn the_examples_work_without_their_marks() {
    let mut examples = String::new();
    let mut inside = false;
    for line in text().lines() {
        // An example begins with its table's name and ends with the block of comments.
        inside = (inside || line.starts_with("# [[")) && line.starts_with('#');
        if inside {
            examples.push_str(line.trim_start_matches('#'));
            examples.push('\n');
        }
    }
    let settings = load(&examples, &[]).expect("examples");
    settings.check().expect("examples that fit together");
    assert!(settings.keys.len() >= 2 && settings.routes.len() >= 2, "{examples}");
    let conditions: BTreeSet<_> =
        settings.rules.iter().flat_map(|rule| rule.conditions.keys().map(String::as_str)).collect();
    let known = tidegate::split::rules::CONDITIONS.map(|condition| condition.name);
    assert_eq!(conditions, BTreeSet::from(known), "every condition has an example");
    let actions: Vec<_> = settings.rules.iter().map(|rule| format!("{:?}", rule.action)).collect();
    for action in ["Filter", "Reject", "Sample"] {
        assert!(actions.iter().any(|known| known == action), "no example of {action}");
    }
}

#[test]
fn properties_of_the_client_are_uncommented_as_they_are() {
    let text = text().replace("# \"s", "\"s");
    let settings = load(&text, &[]).expect("the reference with properties");
    assert_eq!(settings.kafka.properties["statistics.interval.ms"], "0");
    assert_eq!(settings.kafka.properties.len(), 2);
}

#[test]
fn the_environment_overrides_keys_of_any_depth() {
    let variables = [
        ("TIDEGATE__LISTEN", "127.0.0.1:1"),
        ("TIDEGATE__ADMIN__LISTEN", "127.0.0.1:2"),
        ("TIDEGATE__DATA_DIR", "/var/lib/tidegate"),
        ("TIDEGATE__KAFKA__BROKERS", "a:9092,b:9092"),
        ("TIDEGATE__KAFKA__ACK", "disk"),
        ("TIDEGATE__KAFKA__TOPICS__PARTITIONS", "12"),
        ("TIDEGATE__STORE__FLUSH_MS", "7"),
        ("TIDEGATE__KEYS", "[{ key = 'wk_env', app = 'env', kind = 'public' }]"),
    ];
    let settings = load(&text(), &variables).expect("overrides");
    assert_eq!(settings.listen.0, ["127.0.0.1:1".parse().expect("an address")]);
    assert_eq!(settings.admin.listen.port(), 2);
    assert_eq!(settings.data_dir.to_str(), Some("/var/lib/tidegate"));
    assert_eq!(settings.kafka.brokers, "a:9092,b:9092");
    assert_eq!(settings.kafka.ack, tidegate::deliver::Ack::Disk);
    assert_eq!(settings.kafka.topics.partitions, 12);
    assert_eq!(settings.store.flush_ms, 7);
    assert_eq!(settings.keys[0].app, "env");
    let error = load(&text(), &[("TIDEGATE__KAFKA__BROKER", "a")]).expect_err("an unknown key");
    assert!(error.contains("TIDEGATE__KAFKA__BROKER") && error.contains("broker"), "{error}");
}

#[test]
fn a_mistake_is_told_with_file_line_and_key() {
    let cases = [
        ("listen = \"127.0.0.1:1\"\nlisten_on = 3\n", "line 2", "listen_on"),
        ("[kafka]\nbrokers = \"\"\nackk = \"disk\"\n", "line 3", "ackk"),
        ("[store]\n\nflush_ms = \"soon\"\n", "line 3", "flush_ms"),
        ("[[rules]]\nname = \"a\"\naction = \"filter\"\ntypos = [\"x\"]\n", "line 1", "typos"),
        ("[[routes]]\ntypes = [\"a b\"]\nlane = \"x\"\n", "line 2", "types"),
    ];
    for (text, line, key) in cases {
        let binary = Binary::prepare(text);
        let output = binary.command(&["check"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains("tidegate.toml"), "{text}: {said}");
        assert!(said.contains(line) && said.contains(key), "{text}: {said}");
    }
}

#[test]
fn check_prints_the_effective_configuration_without_keys() {
    let mut binary =
        Binary::prepare("[[keys]]\nkey = \"wk_very_secret\"\napp = \"a\"\nkind = \"secret\"\n");
    binary.set("TIDEGATE__STORE__FLUSH_MS", "77");
    let output = binary.command(&["check"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("flush_ms = 77"), "{said}");
    assert!(!said.contains("wk_very_secret"), "{said}");
}

#[test]
fn output_that_nobody_reads_is_no_crash_and_output_that_is_lost_is_an_error() {
    let binary = Binary::prepare("");
    let run = |stdout: Stdio| {
        let mut command = Command::new(program());
        command.arg("check").stdout(stdout).stderr(Stdio::piped());
        binary.configure(&mut command);
        let output = command.spawn().expect("the binary").wait_with_output().expect("its end");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(run(writer.into()), (Some(0), String::new()));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let (code, said) = run(full.into());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot write to standard output") && !said.contains("panic"), "{said}");
}

#[test]
fn a_gateway_without_keys_stays_on_loopback() {
    let mut binary = Binary::prepare("");
    binary.set("TIDEGATE__LISTEN", "0.0.0.0:0");
    let output = binary.command(&["run"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("[[keys]]"), "{said}");
}
