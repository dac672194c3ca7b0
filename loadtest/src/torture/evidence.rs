//! Everything that is known about the first batch that is missing: the claim, the journal's frames
//! of it, and where parts of it were found after all.

use rdkafka::Message as _;

use super::scene::Scene;
use crate::claims::Row;
use crate::judge::Judge;
use crate::run::Mode;

/// Lines for people; the gateway must have been stopped.
pub fn of(scene: &Scene, judge: &Judge, number: u32, row: Row) -> Vec<String> {
    let plan = judge.plan();
    let id = plan.origin(number).id.to_string();
    let Row { sent_ms, ended_ms, sends, unclear, .. } = row;
    let mut lines = vec![format!(
        "first missing: batch {number}, id {id}, first sent {sent_ms} ms and acknowledged \
         {ended_ms} ms after the clients began, sent {sends} times, {unclear} of them without an \
         answer"
    )];
    let missing = judge.missing_of(number);
    let names = missing.iter().map(|index| {
        let kind = plan.kind(number, *index);
        let lane = kind.lane.unwrap_or("other");
        format!("{index} ({}, lane {lane}, {})", kind.name, plan.event_id(number, *index))
    });
    lines.push(format!("missing events of it: {}", names.collect::<Vec<_>>().join("; ")));
    match scene.gateway.command(&["journal", "dump"]) {
        Ok(text) => {
            let ours: Vec<_> = text.lines().filter(|line| line.contains(&id)).collect();
            let seqs = ours.iter().filter_map(|line| {
                serde_json::from_str::<serde_json::Value>(line).ok()?.get("seq")?.as_u64()
            });
            let settles: Vec<String> = seqs.map(|seq| format!("\"record\":{seq},")).collect();
            lines.extend(ours.iter().map(|line| format!("journal: {line}")));
            let settled = text.lines().filter(|line| settles.iter().any(|seq| line.contains(seq)));
            lines.extend(settled.map(|line| format!("journal: {line}")));
            if ours.is_empty() {
                lines.push("journal: holds no frame of it".to_owned());
            }
        }
        Err(error) => lines.push(format!("journal: {error}")),
    }
    if scene.stage.mode == Mode::Kafka {
        found_in_kafka(scene, &id, &mut lines);
    }
    lines
}

fn found_in_kafka(scene: &Scene, id: &str, lines: &mut Vec<String>) {
    let Ok(topics) = scene.topics() else { return };
    let names = topics.list().unwrap_or_default();
    for topic in names.iter().filter(|name| name.starts_with("tidegate.")) {
        let mut found = Vec::new();
        let read = topics.consume_each(topic, |message| {
            let value = message.payload().unwrap_or_default();
            let key = message.key().unwrap_or_default();
            if contains(value, id) || contains(key, id) || facts_name(message, id) {
                found.push(format!("{}/{}", message.partition(), message.offset()));
            }
        });
        if let Err(error) = read {
            lines.push(format!("{topic}: {error}"));
        }
        if !found.is_empty() {
            lines.push(format!("{topic}: partition/offset {}", found.join(", ")));
        }
    }
}

fn facts_name(message: &rdkafka::message::BorrowedMessage<'_>, id: &str) -> bool {
    use rdkafka::message::Headers as _;
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    headers.into_iter().any(|header| header.value.is_some_and(|value| contains(value, id)))
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len().max(1)).any(|window| window == text.as_bytes())
}
