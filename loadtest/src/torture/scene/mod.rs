//! Everything that stands during a round, and how each step is done to it.
//!
//! In: a case's stage, then its steps. Out: the scene whole again, with claims that the rig itself
//! made impossible named as excuses. Whatever is broken here is noted in the timeline.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::cut::Cut;
use super::disk::Disk;
use super::proxy::Proxy;
use super::shim::Shim;
use super::step::Step;
use super::timeline::Timeline;
use super::watch::{Watch, metric};
use super::{case, stage};
use crate::batch::Random;
use crate::broker::{Broker, Topics};
use crate::clock::poll_until;
use crate::gateway::Gateway;
use crate::judge::Excuses;
use crate::judge::arrival::Arrivals;
use crate::run::Mode;
use crate::send::Crowd;

mod gateway;
mod journal;
mod kafka;

/// A value, and when the broker appended it.
pub type Kept = (Vec<u8>, Option<i64>);

/// How a broker is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Serving.
    Up,
    /// Not running.
    Down,
    /// Frozen.
    Paused,
}

/// The standing scene. Fields are dropped in order: processes before the disks that they use.
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that is broken, or not")]
#[derive(Debug)]
pub struct Scene {
    /// The gateway that suffers.
    pub gateway: Gateway,
    /// The brokers behind it.
    pub(super) brokers: Vec<(Broker, State)>,
    /// The broker of the second cluster.
    pub(super) second: Option<(Broker, State)>,
    pub(super) proxy: Option<Proxy>,
    pub(super) disk: Option<Disk>,
    pub(super) shim: Option<Shim>,
    /// What was asked for.
    pub(super) stage: case::Stage,
    /// The clients.
    pub crowd: Arc<Crowd>,
    /// What was done when.
    pub timeline: Arc<Timeline>,
    /// Looks at the gateway from outside.
    pub watch: Arc<Watch>,
    /// Claims that the rig destroyed.
    pub excuses: Excuses,
    /// Values of topics that the rig deleted, read just before.
    pub kept: Vec<(String, Vec<Kept>)>,
    /// Copies of the disk, to be judged.
    pub cuts: Vec<Cut>,
    /// How long each start took until the gateway answered, milliseconds.
    pub starts_ms: Vec<u64>,
    pub(super) broken_disk: bool,
    /// Whether the disk is full or fails at the moment, so that a gateway need not start on it.
    pub(super) sick_disk: bool,
    /// Whether the gateway's process may open only a few files.
    pub(super) few_files: bool,
    /// Whether a start has failed for that reason; the next mending starts it again.
    pub(super) waits_for_disk: bool,
    /// Since when no broker is there, on the claims' clock.
    pub(super) kafka_gone_ms: Option<u32>,
    pub(super) random: Random,
    pub(super) home: TempDir,
}

impl Scene {
    /// Does one step; the load goes on meanwhile.
    pub fn perform(&mut self, step: &Step) -> anyhow::Result<()> {
        if !matches!(step, Step::KillGateway { .. } | Step::PowerCut { .. } | Step::Wait { .. }) {
            self.timeline.note(step.to_string());
        }
        match step {
            Step::Wait { ms } => {
                let length = ms.draw_ms(&mut self.random);
                self.timeline.note(format!("wait {} ms", length.as_millis()));
                std::thread::sleep(length);
            }
            Step::KillGateway { times, every_ms } => self.kill_gateway(*times, *every_ms)?,
            Step::StopGateway { times, every_ms } => self.stop_gateway(*times, *every_ms)?,
            Step::Broker { node, act } => self.broker(*node, *act)?,
            Step::SecondBroker { act } => self.second_broker(*act)?,
            Step::DeleteTopic { topic } => self.delete_topic(topic)?,
            Step::ApplyTopics => self.apply_topics()?,
            Step::WidenTopic { topic, partitions } => self.topics()?.widen(topic, *partitions)?,
            Step::LimitTopic { topic, bytes } => self.limit_topic(topic, *bytes)?,
            Step::DenyTopic { topic } => self.permit(topic, "--add")?,
            Step::AllowTopic { topic } => self.permit(topic, "--remove")?,
            Step::PowerCut { times, every_ms } => {
                for _ in 0..*times {
                    std::thread::sleep(every_ms.draw_ms(&mut self.random));
                    let cut = Cut::take(self)?;
                    self.timeline.note(cut.to_string());
                    self.cuts.push(cut);
                }
            }
            Step::FillDisk { leave_kib } => {
                self.sick_disk = true;
                let bytes = self.disk()?.fill(*leave_kib)?;
                self.timeline.note(format!("{} MiB of ballast written", bytes >> 20));
            }
            Step::FreeDisk => {
                self.disk()?.free()?;
                self.disk_is_well()?;
            }
            Step::BreakDisk => {
                self.sick_disk = true;
                self.broken_disk = true;
                self.disk()?.break_it()?;
            }
            Step::MendDisk => self.mend_disk()?,
            Step::SlowSync { ms } => self.shim()?.slow(*ms)?,
            Step::FailSync { times } => {
                self.sick_disk = true;
                self.shim()?.fail(*times)?;
            }
            Step::LieSync => self.shim()?.lie()?,
            Step::MendSync => {
                self.shim()?.mend()?;
                self.disk_is_well()?;
            }
            Step::Toxic { kind, attributes } => {
                self.proxy.as_mut().context("no proxy")?.poison(kind, attributes)?;
            }
            Step::Antidote => self.proxy.as_ref().context("no proxy")?.clean()?,
            Step::SetClock { offset_s } => self.shim()?.clock(*offset_s)?,
            Step::LimitFiles { more } => self.limit_files(Some(*more))?,
            Step::UnlimitFiles => self.limit_files(None)?,
            Step::DamageJournal { flips, cuts } => self.damage_journal(*flips, *cuts)?,
            Step::Enter { phase } => self.crowd.recorder.enter(*phase),
            Step::TimeRestart => self.time_restart()?,
            Step::AwaitRefused { times, within_ms } => self.await_refused(*times, *within_ms)?,
            Step::AwaitTaken { within_ms } => self.await_taken(*within_ms)?,
            Step::AwaitOwed { mib, within_ms } => self.await_owed(*mib, *within_ms)?,
            Step::AwaitDrained { within_ms } => self.await_drained(*within_ms)?,
        }
        Ok(())
    }

    /// Makes everything whole, whatever the steps left broken; an error is a gateway that had
    /// ended by itself, or something that cannot be mended.
    pub fn mend(&mut self) -> anyhow::Result<()> {
        if let Some(shim) = &self.shim {
            shim.mend()?;
            shim.clock(0)?;
        }
        if let Some(proxy) = &self.proxy {
            proxy.clean()?;
        }
        for (broker, state) in self.brokers.iter_mut().chain(&mut self.second) {
            match state {
                State::Up => {}
                State::Down => broker.restart()?,
                State::Paused => broker.resume()?,
            }
            *state = State::Up;
        }
        if self.broken_disk {
            self.mend_disk()?;
        }
        if let Some(disk) = &self.disk {
            disk.free()?;
        }
        self.disk_is_well()?;
        if self.few_files {
            self.limit_files(None)?;
        }
        if let Some(status) = self.gateway.ended()? {
            let log = self.gateway.log();
            self.start_gateway()?;
            bail!("the gateway had ended by itself, {status}; the end of its log:\n{log}");
        }
        Ok(())
    }

    /// Where events arrive, from the beginning.
    pub fn arrivals(&self) -> Arrivals {
        match self.stage.mode {
            // With a mirror the first has to have everything, and so has the second, by itself.
            Mode::Kafka if self.stage.second == Some(case::Second::Failover) => {
                let clusters = self.clusters();
                Arrivals::Several(clusters.iter().map(|(_, at)| Arrivals::in_kafka(at)).collect())
            }
            Mode::Kafka => Arrivals::in_kafka(&self.bootstrap()),
            Mode::Embedded => Arrivals::in_files(&self.gateway.data_dir().join("events")),
        }
    }

    /// The clusters and their addresses, if there are two.
    pub fn clusters(&self) -> Vec<(&'static str, String)> {
        let second = self.second.iter().map(|(broker, _)| ("second", broker.addr()));
        let first = second.clone().map(|_| ("first", self.bootstrap()));
        first.chain(second).collect()
    }

    /// The folder of the round's own files.
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    pub(super) fn disk(&self) -> anyhow::Result<&Disk> {
        self.disk.as_ref().context("this step needs a disk of its own: stage.disk")
    }

    pub(super) fn shim(&mut self) -> anyhow::Result<&mut Shim> {
        self.shim.as_mut().context("this step needs stage.sync_faults or stage.clock_faults")
    }

    pub(super) fn topics(&self) -> anyhow::Result<Topics> {
        ensure!(!self.brokers.is_empty(), "this step needs mode kafka");
        Ok(Topics::at(&self.bootstrap()))
    }

    pub(super) fn bootstrap(&self) -> String {
        stage::bootstrap(self.brokers.iter().map(|(broker, _)| broker))
    }

    fn await_refused(&self, times: u64, within_ms: u64) -> anyhow::Result<()> {
        let before = self.crowd.recorder.answers().1;
        self.until("refusals", within_ms, || self.crowd.recorder.answers().1 - before >= times)
    }

    fn await_taken(&self, within_ms: u64) -> anyhow::Result<()> {
        let before = self.crowd.recorder.answers().0;
        self.until("a 200", within_ms, || self.crowd.recorder.answers().0 > before)
    }

    fn await_owed(&self, mib: u64, within_ms: u64) -> anyhow::Result<()> {
        let owed = || self.metric("tidegate_journal_owed_bytes") / f64::from(1 << 20);
        self.until("the journal to fill", within_ms, || owed() >= mib as f64)
    }

    /// Waits until the drainer has nothing left.
    pub fn await_drained(&self, within_ms: u64) -> anyhow::Result<()> {
        let drained = || {
            let text = self.gateway.metrics().unwrap_or_default();
            let known = text.contains(LAG);
            known && metric(&text, LAG) < 1.0 && metric(&text, OWED) < 1.0
        };
        let (begun, before) = (Instant::now(), self.metric(DRAINED));
        self.until("the journal to drain", within_ms, drained)?;
        let (batches, seconds) = (self.metric(DRAINED) - before, begun.elapsed().as_secs_f64());
        if batches > 0.0 {
            let per_s = batches / seconds.max(0.001);
            self.timeline.note(format!("{batches:.0} batches drained, {per_s:.0} per second"));
        }
        Ok(())
    }

    pub(super) fn metric(&self, name: &str) -> f64 {
        metric(&self.gateway.metrics().unwrap_or_default(), name)
    }

    fn until(
        &self,
        what: &str,
        within_ms: u64,
        mut reached: impl FnMut() -> bool,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        let limit = Duration::from_millis(within_ms);
        poll_until(limit, || reached().then_some(()))
            .with_context(|| format!("waited {within_ms} ms for {what}"))?;
        self.timeline.note(format!("{what}: after {} ms", begun.elapsed().as_millis()));
        Ok(())
    }

    pub(super) fn started(&mut self, begun: Instant) {
        self.watch.process.store(self.gateway.id().unwrap_or_default(), Ordering::Relaxed);
        let took = begun.elapsed();
        self.starts_ms.push(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }
}

const LAG: &str = "tidegate_drain_lag_frames";
const DRAINED: &str = "tidegate_drained_batches_total";
const OWED: &str = "tidegate_journal_owed_bytes";
