//! `tidegate explain`: one event in; which rule, lane, topic and key, and why.

use std::collections::HashMap;
use std::io::Read as _;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::say;
use crate::ingest::{reason_name, refine};
use crate::model::{Facts, Format, KeyKind, Reason, Record, Routed, Row};
use crate::rulebook::{Rulebook, Shape};
use crate::settings::Settings;
use crate::{clock, decode};

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The event or batch, as a client would send it; without it, standard input.
    event: Option<String>,
    /// The app that sends it.
    #[arg(long, default_value = "default")]
    app: String,
    /// The class of its batch.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    class: u8,
    /// One JSON object per event.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(settings: &Settings, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let body = if let Some(text) = &arguments.event {
        text.clone().into_bytes()
    } else {
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body)?;
        body
    };
    let book = settings.rulebook()?;
    for fate in explain(&book, body, &arguments.app, arguments.class, clock::now_ms())? {
        if arguments.json {
            say(&serde_json::to_string(&fate)?);
        } else {
            say(&fate.text());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What would become of one event.
#[derive(Debug, Default, Serialize)]
struct Fate {
    index: u32,
    verdict: &'static str,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl Fate {
    fn text(&self) -> String {
        let mut text = format!("event {}: {} ({})", self.index, self.verdict, self.why);
        for (name, value) in [
            ("lane", &self.lane),
            ("topic", &self.topic),
            ("key", &self.key),
            ("value", &self.value),
        ] {
            if let Some(value) = value {
                text.extend(["\n  ", name, " ", value]);
            }
        }
        text
    }
}

fn explain(
    book: &Rulebook,
    body: Vec<u8>,
    app: &str,
    class: u8,
    now_ms: i64,
) -> anyhow::Result<Vec<Fate>> {
    let coding = decode::sniff(&body, None)?;
    let facts = Facts {
        app: Arc::from(app),
        key_kind: KeyKind::Open,
        address: IpAddr::from([127, 0, 0, 1]),
        user_agent: Box::default(),
        coding,
        format: Format::Unknown,
        arrival_ms: now_ms,
        sent_ms: None,
        wait_ms: None,
        attempt: 0,
        class,
        batch: Uuid::nil(),
        batch_made: true,
        rules: book.hash,
        node: Uuid::nil(),
    };
    let mut record = Record { facts, body: Bytes::from(body) };
    // Once without rules, so that events are there to be asked about even if a rule rejects them.
    let mut matched = HashMap::new();
    let bare = Rulebook::compile(Shape { rules: Vec::new(), ..book.shape.clone() })?;
    refine(&mut record.clone(), None, &bare, |facts, batch, body| {
        for event in &batch.events {
            matched.insert(event.index, book.rules.matched(facts, batch, event, body));
        }
    })?;
    let rule_of = |index: u32| match matched.get(&index).copied().flatten() {
        Some(rule) => format!("rule {:?} matches first", book.rules.name(rule)),
        None => "no rule matches".to_owned(),
    };
    let (batch, routed) = refine(&mut record, None, book, |_, _, _| ())?;
    let mut fates = Vec::new();
    for event in &batch.events {
        let rule = rule_of(event.index);
        let row = routed.rows.iter().find(|row| row.index == event.index);
        fates.push(match row {
            Some(row) => kept(row, &routed, book, &rule),
            None => Fate { index: event.index, verdict: "filtered", why: rule, ..Fate::default() },
        });
    }
    for (index, reason) in &batch.rejected {
        let why = match reason {
            Reason::Rule(_) => format!("{}: {}", rule_of(*index), reason_name(*reason, book)),
            reason => reason.name().to_owned(),
        };
        fates.push(Fate { index: *index, verdict: "rejected", why, ..Fate::default() });
    }
    fates.sort_by_key(|fate| fate.index);
    Ok(fates)
}

fn kept(row: &Row, routed: &Routed, book: &Rulebook, rule: &str) -> Fate {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let kind = text(row.kind.of(&routed.values));
    let target = book.table.target(&kind);
    let lane = routed.lanes.get(usize::from(row.lane.0));
    let route = target.route.map_or_else(
        || format!("type {kind:?} has no route"),
        |at| format!("type {kind:?} matches route {} first", at + 1),
    );
    let key = row.key.of(&routed.keys);
    Fate {
        index: row.index,
        verdict: "kept",
        why: format!("{rule}; {route}"),
        lane: lane.map(|lane| lane.name.clone()),
        topic: lane.map(|lane| lane.topic.clone()),
        key: Some(if key.is_empty() { "(none)".to_owned() } else { text(key) }),
        value: Some(text(row.value.of(&routed.values))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_rule_and_route_decide() {
        let text = r#"
            [[rules]]
            name = "no-debug"
            types = ["debug.*"]
            action = "filter"
            [[routes]]
            types = ["page.*"]
            lane = "page"
            key = "props.user"
        "#;
        let settings: Settings = toml::from_str(text).expect("valid");
        let book = settings.rulebook().expect("valid");
        let body = br#"[{"type":"page.view","props":{"user":"u1"}},{"type":"debug.x"},{"type":1}]"#;
        let fates = explain(&book, body.to_vec(), "demo", 1, 0).expect("explained");
        let shown: Vec<_> = fates.iter().map(|fate| (fate.verdict, fate.why.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("kept", r#"no rule matches; type "page.view" matches route 1 first"#),
                ("filtered", r#"rule "no-debug" matches first"#),
                ("rejected", "bad_type"),
            ]
        );
        assert_eq!(fates[0].topic.as_deref(), Some("tidegate.event.page"));
        assert_eq!(fates[0].key.as_deref(), Some("u1"));
    }
}
