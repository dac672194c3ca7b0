//! Runs one scenario: steps in, a verdict out.
//!
//! The driver owns time. Whatever it asks an adapter for, it then lets everything settle: replies
//! arrive, due timers run. So a run is the same every time, whatever the machine is doing.

mod actions;
mod clockwork;
mod processes;
mod spoil;
mod view;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::adapter::{Adapter, Fault};
use crate::gateway::Gateway;
use crate::invariants;
use crate::real;
use crate::scenario::{Book, Clock, Scenario, Step, Target};

use processes::Process;

/// What all scenarios of a run have in common.
pub struct Setup<'a> {
    /// Scenarios and defaults.
    pub book: &'a Book,
    /// Starts an adapter whose home is the given folder.
    pub start: &'a (dyn Fn(&Path) -> Result<Adapter, Fault> + Sync),
    /// The real gateway's program.
    pub gateway: Option<&'a Path>,
    /// How long things may take to settle in real time; long where the machine is busy.
    pub patience: Duration,
}

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every step and every invariant held.
    Passed,
    /// The SDK says that it cannot, and why.
    NotSupported(String),
    /// What was wrong, and in which step.
    Failed(String),
}

/// Why a run stops before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    Unsupported(String),
    Failed(String),
}

pub(crate) fn failed(text: impl Into<String>) -> Stop {
    Stop::Failed(text.into())
}

/// Where wall clocks begin: 2026-01-01T00:00:00Z.
const WALL_MS: i64 = 1_767_225_600_000;
/// Markers of events begin here, so that all of them have as many digits.
const MARKER: i64 = 1_000_000;

/// A scenario under way.
pub(crate) struct Run<'a> {
    setup: &'a Setup<'a>,
    scenario: &'a Scenario,
    /// Stores and homes of its processes.
    folder: TempDir,
    target: Backend,
    processes: BTreeMap<String, Process>,
    /// Which process a client lives in.
    clients: BTreeMap<String, String>,
    now_ms: i64,
    /// Wall clock minus monotonic clock.
    wall_off_ms: i64,
    started: Instant,
    /// Batch requests before the last `mark`.
    marked: usize,
    next_marker: i64,
    /// The driver's own log of what it tracked: type by marker.
    tracked: BTreeMap<i64, String>,
    last: Value,
    /// The last `flush` or `close`: process and number.
    call: Option<(String, u64)>,
    /// Options of the first `init`.
    options: Map<String, Value>,
    erased: bool,
    lives: u32,
}

/// Who answers the SDK.
pub(crate) enum Backend {
    Scripted(Gateway),
    Real(real::Gateway),
}

/// Runs a scenario from its start to its invariants.
pub fn run(setup: &Setup<'_>, scenario: &Scenario) -> Verdict {
    let mut run = match Run::new(setup, scenario) {
        Ok(run) => run,
        Err(stop) => return verdict(stop, "at the start"),
    };
    if let Err(stop) = run.start_process("1") {
        return verdict(stop, "at the start");
    }
    for (place, step) in scenario.steps.iter().enumerate() {
        if let Err(stop) = run.step(step) {
            return verdict(stop, &format!("step {} {}", place + 1, name(step)));
        }
    }
    match run.invariants() {
        Ok(()) => Verdict::Passed,
        Err(stop) => verdict(stop, "invariants"),
    }
}

fn verdict(stop: Stop, place: &str) -> Verdict {
    match stop {
        Stop::Unsupported(why) => Verdict::NotSupported(why),
        Stop::Failed(what) => Verdict::Failed(format!("{place}: {what}")),
    }
}

/// A step as a message shows it.
fn name(step: &Step) -> String {
    let kinds = [("do", &step.action), ("check", &step.check), ("until", &step.until)];
    let (kind, what) = kinds
        .into_iter()
        .find_map(|(kind, what)| what.as_ref().map(|what| (kind, what.as_str())))
        .unwrap_or_default();
    let fields = Value::Object(step.fields.clone()).to_string();
    format!("{kind} {what} {}", fields.chars().take(160).collect::<String>())
}

impl<'a> Run<'a> {
    fn new(setup: &'a Setup<'a>, scenario: &'a Scenario) -> Result<Self, Stop> {
        let folder = tempfile::Builder::new()
            .prefix("tidegate-harness-")
            .tempdir()
            .map_err(|error| failed(format!("no folder: {error}")))?;
        let target = match scenario.gateway {
            Target::Script => Gateway::start(&scenario.script, &scenario.config, WALL_MS)
                .map(Backend::Scripted)
                .map_err(|error| failed(format!("no gateway: {error}")))?,
            Target::Real => {
                let program = setup
                    .gateway
                    .ok_or_else(|| Stop::Unsupported("no gateway program was given".to_owned()))?;
                let started = real::Gateway::start(program, &folder.path().join("gateway"));
                Backend::Real(started.map_err(|error| failed(error.to_string()))?)
            }
        };
        Ok(Self {
            setup,
            scenario,
            folder,
            target,
            processes: BTreeMap::new(),
            clients: BTreeMap::new(),
            now_ms: 0,
            wall_off_ms: WALL_MS,
            started: Instant::now(),
            marked: 0,
            next_marker: MARKER,
            tracked: BTreeMap::new(),
            last: json!({}),
            call: None,
            options: Map::new(),
            erased: false,
            lives: 0,
        })
    }

    fn real_time(&self) -> bool {
        self.scenario.clock == Clock::Real
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn step(&mut self, step: &Step) -> Result<(), Stop> {
        if let Some(path) = &step.check {
            return self.check(path, &step.fields);
        }
        if let Some(path) = &step.until {
            return self.until(path, &step.fields);
        }
        self.act(step.action.as_deref().unwrap_or_default(), step)
    }

    /// What has to hold whatever the scenario was about.
    fn invariants(&mut self) -> Result<(), Stop> {
        self.quiesce()?;
        let clients = self.clients.keys().filter(|client| self.lives_on(client));
        let clients: Vec<String> = clients.cloned().collect();
        let mut ledgers = Vec::new();
        for client in clients {
            let Some(stats) = self.stats(&client)? else { continue };
            let drops = self.drops(&client)?;
            ledgers.push(invariants::Ledger { stats, drops });
        }
        let Backend::Scripted(gateway) = &self.target else {
            let faults =
                invariants::ledgers(&ledgers, &BTreeMap::new(), &self.options, self.erased);
            return report(&faults);
        };
        let record = gateway.record();
        let evidence = invariants::Evidence {
            record: &record,
            tracked: &self.tracked,
            ledgers: &ledgers,
            options: &self.options,
            erased: self.erased,
            lives: self.lives,
        };
        report(&invariants::check(&evidence))
    }
}

fn report(faults: &[String]) -> Result<(), Stop> {
    const SHOWN: usize = 5;
    if faults.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = faults.iter().take(SHOWN).map(String::as_str).collect();
    Err(failed(format!("{} broken: {}", faults.len(), shown.join("; "))))
}

#[cfg(test)]
mod tests;
