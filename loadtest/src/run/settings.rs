//! The parameters of a run, for the command line and for case files alike.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::batch::Plan;
use crate::disturb::Disturbance;
use crate::send::Manners;

/// What stands behind the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A broker of the run's own.
    Kafka,
    /// Nothing: the gateway's files.
    Embedded,
}

/// Everything that makes one run differ from another.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Events to send; a disturbed run sends more if it takes longer
    #[arg(long, default_value_t = Settings::default().events)]
    pub events: u64,
    /// Events in a batch
    #[arg(long, default_value_t = Settings::default().batch_events)]
    pub batch_events: u16,
    /// Clients, each with a keep-alive connection and an address of its own
    #[arg(long, default_value_t = Settings::default().connections)]
    pub connections: usize,
    /// Further connections that are open and silent
    #[arg(long, default_value_t = Settings::default().idle_connections)]
    pub idle_connections: usize,
    /// What stands behind the gateway
    #[arg(long, value_enum, default_value_t = Settings::default().mode)]
    pub mode: Mode,
    /// The tidegate binary
    #[arg(long, default_value = "target/release/tidegate")]
    pub gateway: PathBuf,
    /// Decides ids, types and properties of all events
    #[arg(long, default_value_t = Settings::default().seed)]
    pub seed: u64,
    /// Batches per second of all clients together (open loop); without it as fast as replies come
    #[arg(long)]
    pub rate: Option<f64>,
    /// Devices and servers that take turns; at least one per app
    #[arg(long, default_value_t = Settings::default().instances)]
    pub instances: u32,
    /// Partitions of each topic
    #[arg(long, default_value_t = Settings::default().partitions)]
    pub partitions: u32,
    /// none, kafka-late[-Ns], kafka-stop-Ns, kafka-kill-Ns, kafka-pause-Ns, kill9xN,
    /// restartxN or greedy-NxNs
    #[arg(long, default_value_t = Settings::default().disturb)]
    #[serde(with = "as_text")]
    pub disturb: Disturbance,
    /// TOML laid over the gateway's configuration file
    #[arg(long)]
    pub gateway_config: Option<PathBuf>,
    /// The same as a table, for case files
    #[arg(skip)]
    pub gateway_settings: toml::Table,
    /// Environment of the gateway, NAME=VALUE, any number
    #[arg(long = "env")]
    pub env: Vec<String>,
    /// Threads of the clients
    #[arg(long, default_value_t = Settings::default().client_threads)]
    pub client_threads: usize,
    /// Batches made before the clock starts, MiB of gzipped bytes
    #[arg(long, default_value_t = Settings::default().ahead_mib)]
    pub ahead_mib: u64,
    /// How long one answer may take
    #[arg(long, default_value_t = Settings::default().request_ms)]
    pub request_ms: u64,
    /// The longest delay before a retry
    #[arg(long, default_value_t = Settings::default().retry_ms_max)]
    pub retry_ms_max: u64,
    /// How long one batch is tried
    #[arg(long, default_value_t = Settings::default().give_up_ms)]
    pub give_up_ms: u64,
    /// After the load: how long nothing may arrive before what is missing counts as missing
    #[arg(long, default_value_t = Settings::default().settle_ms)]
    pub settle_ms: u64,
    /// A line on stderr this often; 0 is never
    #[arg(long, default_value_t = Settings::default().progress_ms)]
    pub progress_ms: u64,
    /// Writes the report as JSON
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Leaves the gateway's and the broker's folders
    #[arg(long)]
    pub keep: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            events: 1_000_000,
            batch_events: 50,
            connections: 64,
            idle_connections: 0,
            mode: Mode::Embedded,
            gateway: PathBuf::from("target/release/tidegate"),
            seed: 1,
            rate: None,
            instances: 10_000,
            partitions: 4,
            disturb: Disturbance::None,
            gateway_config: None,
            gateway_settings: toml::Table::new(),
            env: Vec::new(),
            client_threads: 1,
            ahead_mib: 1024,
            request_ms: 30_000,
            retry_ms_max: 1000,
            give_up_ms: 180_000,
            settle_ms: 60_000,
            progress_ms: 5000,
            report: None,
            keep: false,
        }
    }
}

impl Settings {
    /// Refuses what cannot be run.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let events = self.batch_events;
        let max = Plan::EVENTS_MAX;
        ensure!((1..=max).contains(&events), "batch_events is {events}, not from 1 to {max}");
        ensure!(self.events <= EVENTS_MAX, "events is {}, over {EVENTS_MAX}", self.events);
        ensure!(self.connections > 0 && self.client_threads > 0, "nobody would send anything");
        ensure!(self.instances > 0, "instances is 0");
        let positive = self.rate.is_none_or(|rate| rate.is_finite() && rate > 0.0);
        ensure!(positive, "rate is {:?}; leave it out for a closed loop", self.rate);
        let possible = self.mode == Mode::Kafka || !self.disturb.needs_kafka();
        ensure!(possible, "{} needs --mode kafka", self.disturb);
        ensure!(self.gateway.is_file(), "no gateway binary at {}", self.gateway.display());
        Ok(())
    }

    /// What is laid over the gateway's configuration: the file, then the case's table.
    pub(super) fn configuration(&self) -> anyhow::Result<toml::Table> {
        let mut table = match &self.gateway_config {
            None => toml::Table::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.with_context(|| path.display().to_string())?;
                text.parse().with_context(|| path.display().to_string())?
            }
        };
        crate::gateway::configuration::merge(&mut table, self.gateway_settings.clone());
        Ok(table)
    }

    pub(super) fn environment(&self) -> anyhow::Result<Vec<(String, String)>> {
        let pair = |entry: &String| {
            let (name, value) = entry.split_once('=').context("env takes NAME=VALUE")?;
            Ok((name.to_owned(), value.to_owned()))
        };
        self.env.iter().map(pair).collect()
    }

    pub(super) fn manners(&self, target: SocketAddr) -> Manners {
        Manners {
            target,
            connections: self.connections,
            rate: self.rate,
            request: Duration::from_millis(self.request_ms),
            retry_max: Duration::from_millis(self.retry_ms_max),
            give_up: Duration::from_millis(self.give_up_ms),
        }
    }
}

/// Five bytes of memory for each.
const EVENTS_MAX: u64 = 1_000_000_000;

mod as_text {
    //! A disturbance by its name.

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Disturbance;

    pub(super) fn serialize<S: Serializer>(
        disturbance: &Disturbance,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(disturbance)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Disturbance, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_and_case_files_have_the_same_defaults() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            settings: Settings,
        }
        let line = <Line as clap::Parser>::parse_from(["loadtest"]);
        assert_eq!(line.settings, Settings::default());
        assert_eq!(toml::from_str::<Settings>("").unwrap(), Settings::default());
    }

    #[test]
    fn says_what_cannot_be_run() {
        let gateway = std::env::current_exe().unwrap();
        let good = Settings { gateway, ..Settings::default() };
        good.check().unwrap();
        let kafka = Settings { disturb: Disturbance::KafkaStop(1), ..good.clone() };
        assert!(kafka.check().unwrap_err().to_string().contains("--mode kafka"));
        for bad in [
            Settings { batch_events: 0, ..good.clone() },
            Settings { rate: Some(0.0), ..good.clone() },
            Settings { gateway: PathBuf::from("/nowhere"), ..good.clone() },
        ] {
            assert!(bad.check().is_err());
        }
        let pairs = Settings { env: vec!["A=b=c".to_owned()], ..good }.environment().unwrap();
        assert_eq!(pairs, [("A".to_owned(), "b=c".to_owned())]);
    }
}
