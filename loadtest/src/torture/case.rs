//! Torture cases: a TOML file each in `loadtest/torture`, which says what stands, what breaks when,
//! and what has to be true afterwards beside "nothing acknowledged is missing".
//!
//! Every case mends what it broke with its own last steps, so that cases can be interleaved.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::step::{Span, Step};
use crate::run::Mode;

/// One fault, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is to show, in a sentence or two.
    pub goal: String,
    /// Whether it may be interleaved with others in random rounds.
    #[serde(default)]
    pub mix: bool,
    /// Its part in `--quick`; without it the case is not in there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quick: Option<Quick>,
    /// What is built.
    #[serde(default)]
    pub stage: Stage,
    /// Who sends, and how much.
    #[serde(default)]
    pub load: Load,
    /// What must be true beside a clean verdict.
    #[serde(default)]
    pub expect: Expect,
    /// Laid over the rig's configuration of the gateway.
    #[serde(default)]
    pub gateway: toml::Table,
    /// What happens, one after the other, while the load runs.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// How much of a case a quick run plays; 0 is as much as the file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quick {
    /// Kills of the gateway, over all steps.
    pub kills: u32,
    /// Power cuts, over all steps.
    pub cuts: u32,
}

/// Where the data folder of the gateway lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In a folder of this machine.
    #[default]
    Folder,
    /// On an ext4 image of its own, which needs root and loop devices.
    Ext4,
    /// In memory of a limited size, which needs root.
    Tmpfs,
}

/// What a second cluster is for, as `kafka.second.mode` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Second {
    /// It takes what the first one cannot.
    Failover,
    /// Both get everything.
    Mirror,
}

/// What is built before the load begins.
#[expect(clippy::struct_excessive_bools, reason = "each is a part of the stage, there or not")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stage {
    /// What stands behind the gateway.
    pub mode: Mode,
    /// How many brokers.
    pub brokers: u32,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Replicas of each topic; with 3, two have to be in sync.
    pub replication: u32,
    /// A second cluster, of one broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<Second>,
    /// Whether brokers check who may do what.
    pub authorizer: bool,
    /// Whether a proxy that can be poisoned stands before the first broker.
    pub proxy: bool,
    /// Where the data lies.
    pub disk: Place,
    /// How large that is.
    pub disk_mib: u64,
    /// Further options of the mount, for ext4.
    pub mount_options: String,
    /// Whether the gateway's fsync can be slowed down or made to fail.
    pub sync_faults: bool,
    /// Whether the gateway's wall clock can be set.
    pub clock_faults: bool,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            mode: Mode::Embedded,
            brokers: 1,
            partitions: 1,
            replication: 1,
            second: None,
            authorizer: false,
            proxy: false,
            disk: Place::Folder,
            disk_mib: 256,
            mount_options: String::new(),
            sync_faults: false,
            clock_faults: false,
        }
    }
}

/// Who sends, and how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    /// Events per second of all clients together.
    pub events_per_s: f64,
    /// Events in a batch.
    pub batch_events: u16,
    /// Clients.
    pub connections: usize,
    /// Further clients that go away in the middle of a body, or right behind it.
    pub rude_clients: usize,
    /// How long the load runs before the first step.
    pub before_ms: u64,
    /// How long it runs on when everything is whole again.
    pub after_ms: u64,
    /// How often memory, rates and lags are noted.
    pub sample_ms: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            events_per_s: 4000.0,
            batch_events: 20,
            connections: 32,
            rude_clients: 0,
            before_ms: 1500,
            after_ms: 2000,
            sample_ms: 1000,
        }
    }
}

/// Limits of a case; what is left out is not checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// Answers 503 that there must be.
    pub refused_503_min: Option<u64>,
    /// Whether every 503 has to say when to come back.
    pub retry_after: bool,
    /// The longest time without a 200 of anybody.
    pub silence_ms_max: Option<u64>,
    /// p99 of `/healthz` while something is broken.
    pub healthz_p99_ms_max: Option<f64>,
    /// p99 of replies 200 while something is broken.
    pub during_p99_ms_max: Option<f64>,
    /// Batches whose clients stopped trying.
    pub given_up_max: Option<u64>,
    /// Claims that the rig itself destroyed, in events.
    pub excused_max: Option<u64>,
    /// Power cuts after which something must be missing: for cases that test this rig.
    pub unclean_cuts_min: Option<u64>,
    /// Dead letters that there must be.
    pub buried_min: Option<u64>,
    /// Dead letters that there may be. Default 0.
    pub buried_max: u64,
    /// What the gateway's metrics must have reached at the end: name and least value.
    pub metrics_min: BTreeMap<String, f64>,
    /// What they must not have gone beyond.
    pub metrics_max: BTreeMap<String, f64>,
}

/// Where the cases of this workspace are.
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("torture")
}

/// All cases of a folder by name, sorted.
pub fn all(dir: &Path) -> anyhow::Result<Vec<(String, Case)>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            cases.push((name, read(&path)?));
        }
    }
    cases.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(cases)
}

/// Reads one file.
pub fn read(path: &Path) -> anyhow::Result<Case> {
    let shown = || path.display().to_string();
    toml::from_str(&fs::read_to_string(path).with_context(shown)?).with_context(shown)
}

impl Case {
    /// Changes the number of kills and cuts, keeping their shares among the steps; `None` leaves
    /// them.
    pub fn scale(&mut self, kills: Option<u32>, cuts: Option<u32>) {
        let sum = |steps: &[Step], of: fn(&Step) -> u32| steps.iter().map(of).sum::<u32>();
        let (all_kills, all_cuts) = (sum(&self.steps, Step::kills), sum(&self.steps, Step::cuts));
        for step in &mut self.steps {
            match step {
                Step::KillGateway { times, .. } => share(times, kills, all_kills),
                Step::PowerCut { times, .. } => share(times, cuts, all_cuts),
                _ => {}
            }
        }
    }
}

impl Case {
    /// Gives long waits another length.
    pub fn stretch(&mut self, minutes: Option<u64>) {
        let Some(minutes) = minutes else { return };
        for step in &mut self.steps {
            if let Step::Wait { ms: ms @ Span::Exactly(60_000..) } = step {
                *ms = Span::Exactly(minutes * 60_000);
            }
        }
    }
}

fn share(times: &mut u32, wanted: Option<u32>, all: u32) {
    if let Some(wanted) = wanted {
        *times = (*times * wanted).div_ceil(all.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_of_the_workspace_can_be_read() {
        let cases = all(&dir()).unwrap();
        assert!(cases.len() >= 10, "{}", cases.len());
        for (name, case) in &cases {
            assert!(case.goal.len() > 20 && !case.steps.is_empty(), "{name}");
            let again: Case = toml::from_str(&toml::to_string(case).unwrap()).unwrap();
            assert_eq!(again, *case, "{name}");
        }
    }

    #[test]
    fn kills_are_shared_among_the_steps() {
        let text = "goal = 'x'\n[[step]]\ndo = 'kill-gateway'\ntimes = 3\nevery_ms = 1\n\
                    [[step]]\ndo = 'kill-gateway'\ntimes = 1\nevery_ms = 1\n";
        let mut case: Case = toml::from_str(text).unwrap();
        case.scale(Some(40), Some(7));
        assert_eq!(case.steps.iter().map(Step::kills).collect::<Vec<_>>(), [30, 10]);
        assert_eq!(case.steps.iter().map(Step::cuts).sum::<u32>(), 0);
    }
}
