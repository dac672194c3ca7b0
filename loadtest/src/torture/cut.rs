//! Power cuts: the disk as it was at a moment of the load, and whether a gateway that starts on it
//! has everything that was claimed by then.
//!
//! In: a running scene. Out: an image and the claims of the moment, later a verdict on them. The
//! claims are noted before the copy begins; the gateway stands still while it is made, because a
//! copy takes time and a power cut does not.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::Signal;
use serde::Serialize;

use super::disk::Disk;
use super::scene::Scene;
use crate::broker::{Broker, BrokerOptions};
use crate::claims::Ledger;
use crate::clock::poll_until;
use crate::gateway::{Gateway, GatewayOptions};
use crate::judge::arrival::Arrivals;
use crate::judge::{Judge, Tier};
use crate::run::Mode;

/// One copy.
#[derive(Debug)]
pub struct Cut {
    number: usize,
    image: PathBuf,
    before: Ledger,
    sent: Ledger,
    /// With Kafka behind it, only what came after it had gone is on the disk alone.
    since_ms: u32,
    took: Duration,
}

/// What became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Its number in the round.
    pub number: usize,
    /// Why the gateway did not start on it or could not be judged.
    pub error: Option<String>,
    /// The verdict on raw batches, with Kafka behind it.
    pub tier1: Option<Tier>,
    /// The verdict on events.
    pub tier2: Tier,
    /// Milliseconds until the gateway was ready on the copy.
    pub ready_ms: u64,
    /// The first faults in words.
    pub examples: Vec<String>,
}

impl Cut {
    /// Copies the disk of a running gateway.
    pub fn take(scene: &mut Scene) -> anyhow::Result<Self> {
        let number = scene.cuts.len() + 1;
        let image = scene.home().join(format!("cut-{number}"));
        let mode = scene.stage.mode;
        let gone = scene.kafka_gone_ms.filter(|_| mode == Mode::Kafka);
        ensure!(mode == Mode::Embedded || gone.is_some(), "with Kafka there, it has the claims");
        let before = scene.crowd.claims.snapshot();
        scene.gateway.signal(Signal::STOP)?;
        let begun = Instant::now();
        let process = scene.gateway.id().unwrap_or_default();
        // A thread that waits for the disk stops only when the disk has answered.
        poll_until(STILL, || stands_still(process).then_some(()));
        let copied = scene.disk()?.copy(&image);
        let took = begun.elapsed();
        scene.gateway.signal(Signal::CONT)?;
        copied?;
        let (sent, since_ms) = (scene.crowd.claims.snapshot(), gone.unwrap_or_default());
        Ok(Self { number, image, before, sent, since_ms, took })
    }

    /// Mounts the copy, starts a gateway on it, waits until it has drained, and compares.
    pub fn judge(self, scene: &Scene) -> Verdict {
        let number = self.number;
        let image = self.image.clone();
        let ledger = self.sent.claiming_as(&self.before).claiming_since(self.since_ms);
        let mut judge = Judge::new(scene.crowd.plan.clone(), ledger);
        let began = Instant::now();
        let mut ready_ms = 0;
        let error = revive(scene, &image, &mut judge, |ready| ready_ms = ready).err();
        if error.is_none() {
            drop(std::fs::remove_file(&image));
        }
        let (tier1, tier2) = judge.tiers();
        let tier1 = Some(tier1).filter(|_| scene.stage.mode == Mode::Kafka);
        let said = error.as_ref().map_or_else(String::new, |error| format!("; {error:#}"));
        scene.timeline.note(format!(
            "cut {number}: claimed {}, missing {}, alien {}, corrupted {}, by us twice {}, judged \
             in {} ms{said}",
            tier2.claimed,
            tier2.missing,
            tier2.aliens(),
            tier2.corruptions(),
            tier2.duplicated.by_us,
            began.elapsed().as_millis(),
        ));
        let error = error.map(|error| format!("{error:#}"));
        Verdict { number, error, ready_ms, examples: judge.examples(), tier1, tier2 }
    }
}

impl Verdict {
    /// Whether everything that was claimed is there, once, and nothing else.
    pub fn is_clean(&self) -> bool {
        let faults = |tier: &Tier| tier.missing + tier.aliens() + tier.corruptions();
        let sum: u64 = self.tier1.iter().chain([&self.tier2]).map(faults).sum();
        // Kafka may be given something twice, the store may not.
        let twice = self.tier1.is_none() && self.tier2.duplicated.by_us > 0;
        sum == 0 && !twice && self.error.is_none()
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, took_ms) = (self.number, self.took.as_millis());
        write!(to, "power cut {number}: copied in {took_ms} ms")
    }
}

fn revive(
    scene: &Scene,
    image: &std::path::Path,
    judge: &mut Judge,
    ready: impl FnOnce(u64),
) -> anyhow::Result<()> {
    let disk = Disk::of_image(image.to_owned()).context("mounting the copy")?;
    let mut options = GatewayOptions {
        data_dir: Some(disk.path().join("data")),
        ready_path: "/readyz",
        ..scene.gateway.options().clone()
    };
    // A Kafka of its own, because the first one has what the first gateway delivered.
    let kafka = match scene.stage.mode {
        Mode::Kafka => Some(Broker::start(BrokerOptions::default())?),
        Mode::Embedded => None,
    };
    options.brokers = kafka.as_ref().map(Broker::addr).unwrap_or_default();
    let mut gateway = Gateway::prepare(options)?;
    if kafka.is_some() {
        gateway.apply_topics(scene.stage.partitions, scene.stage.replication)?;
    }
    let begun = Instant::now();
    gateway.restart()?;
    ready(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    let mut arrivals = match &kafka {
        Some(kafka) => Arrivals::in_kafka(&kafka.addr()),
        None => Arrivals::in_files(&gateway.data_dir().join("events")),
    };
    arrivals.wait(judge, IDLE)?;
    gateway.stop()?;
    // Only what it still wrote when it stopped makes the count of copies final.
    arrivals.rewind();
    judge.reset();
    arrivals.pass(judge)?;
    Ok(())
}

/// Whether every thread has stopped.
fn stands_still(process: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { return true };
    tasks.flatten().all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
    })
}

const STILL: Duration = Duration::from_secs(2);
/// Without anything new for so long, what is missing on a copy is missing.
const IDLE: Duration = Duration::from_secs(10);
