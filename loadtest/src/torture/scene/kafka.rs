//! Steps that are done to Kafka: its brokers, its topics, and who may write to them.

use anyhow::{Context, bail};
use rdkafka::Message as _;

use super::{Scene, State};
use crate::broker::Broker;
use crate::torture::step::Act;

impl Scene {
    pub(super) fn broker(&mut self, node: usize, act: Act) -> anyhow::Result<()> {
        let at = node.checked_sub(1).context("brokers are counted from 1")?;
        let broker = self.brokers.get_mut(at).context("there is no such broker")?;
        if !deal(broker, act)? {
            return Ok(());
        }
        self.timeline.note(format!("broker {node}: {:?}", broker.1));
        let gone = self.brokers.iter().all(|(_, state)| *state == State::Down);
        self.kafka_gone_ms = gone.then(|| self.crowd.claims.now_ms());
        Ok(())
    }

    pub(super) fn second_broker(&mut self, act: Act) -> anyhow::Result<()> {
        let broker = self.second.as_mut().context("this step needs stage.second")?;
        if deal(broker, act)? {
            self.timeline.note(format!("the second cluster's broker: {:?}", broker.1));
        }
        Ok(())
    }

    /// Keeps what the topic holds, and excuses what comes in between.
    pub(super) fn delete_topic(&mut self, topic: &str) -> anyhow::Result<()> {
        let topics = self.topics()?;
        let mut values = Vec::new();
        topics.consume_each(topic, |message| {
            let appended_ms = message.timestamp().to_millis();
            values.push((message.payload().unwrap_or_default().to_vec(), appended_ms));
        })?;
        topics.delete(topic)?;
        let short = topic.strip_prefix("tidegate.event.").or(topic.strip_prefix("tidegate."));
        let lane = short.unwrap_or(topic).to_owned();
        let until_ms = self.crowd.claims.now_ms() + BELATED_MS;
        let read = values.len();
        self.timeline.note(format!(
            "{topic} is gone; {read} of its records were read before, batches sent until {until_ms} \
             ms after the first may have lost their part of it"
        ));
        self.excuses.lanes.push((lane.clone(), until_ms));
        self.kept.push((lane, values));
        Ok(())
    }

    /// As an operator would; the gateway's own command decides what is missing.
    pub(super) fn apply_topics(&self) -> anyhow::Result<()> {
        self.gateway.apply_topics(self.stage.partitions, self.stage.replication)?;
        Ok(())
    }

    pub(super) fn limit_topic(&self, topic: &str, bytes: u64) -> anyhow::Result<()> {
        let limit = format!("max.message.bytes={bytes}");
        let words =
            ["--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", &limit];
        self.first_broker()?.tool("kafka.admin.ConfigCommand", &words)?;
        Ok(())
    }

    /// Adds or removes a rule by which nobody may write to a topic.
    pub(super) fn permit(&self, topic: &str, how: &str) -> anyhow::Result<()> {
        let mut words = vec![how, "--deny-principal", "User:ANONYMOUS", "--operation", "Write"];
        words.extend(["--topic", topic]);
        if how == "--remove" {
            words.push("--force");
        }
        self.first_broker()?.tool("org.apache.kafka.tools.AclCommand", &words)?;
        Ok(())
    }

    fn first_broker(&self) -> anyhow::Result<&Broker> {
        self.brokers.first().map(|(broker, _)| broker).context("this step needs mode kafka")
    }
}

/// A broker takes records for a topic a moment longer than the deletion is confirmed.
const BELATED_MS: u32 = 1000;

/// Does it; `false` when there was nothing to do, because in an interleaving somebody else did it.
fn deal((broker, state): &mut (Broker, State), act: Act) -> anyhow::Result<bool> {
    match (act, *state) {
        (Act::Kill, _) => broker.kill()?,
        (Act::Stop, State::Up | State::Down) => broker.stop()?,
        (Act::Stop, State::Paused) => bail!("a paused broker cannot stop"),
        (Act::Start, State::Down) => broker.restart()?,
        (Act::Pause, State::Up) => broker.pause()?,
        (Act::Resume, State::Paused) => broker.resume()?,
        (Act::Start | Act::Pause | Act::Resume, _) => return Ok(false),
    }
    *state = match act {
        Act::Kill | Act::Stop => State::Down,
        Act::Start | Act::Resume => State::Up,
        Act::Pause => State::Paused,
    };
    Ok(true)
}
