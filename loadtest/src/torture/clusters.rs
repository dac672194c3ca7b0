//! The books of each of two clusters by itself, after the load.
//!
//! In: what was claimed, and both clusters. Out: a line for each. With a mirror both have to have
//! everything; with a failover they have it together, which the judge of the round has seen.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::case::Second;
use super::scene::Scene;
use crate::judge::arrival::Arrivals;
use crate::judge::{Judge, Tier};

/// What one cluster has.
#[derive(Debug, Clone, Serialize)]
pub struct Cluster {
    /// `first` or `second`.
    pub name: &'static str,
    /// Batches.
    pub tier1: Tier,
    /// Events.
    pub tier2: Tier,
}

/// Reads both; none if there is only one.
pub(super) fn read(scene: &Scene) -> anyhow::Result<Vec<Cluster>> {
    let mut clusters = Vec::new();
    for (name, at) in scene.clusters() {
        let mut judge = Judge::new(scene.crowd.plan.clone(), scene.crowd.claims.snapshot());
        Arrivals::in_kafka(&at).pass(&mut judge)?;
        let (tier1, tier2) = judge.tiers();
        clusters.push(Cluster { name, tier1, tier2 });
    }
    Ok(clusters)
}

/// Waits until a mirror has everything; the gateway has to be running.
pub(super) fn await_mirror(scene: &Scene) -> anyhow::Result<()> {
    if scene.stage.second != Some(Second::Mirror) {
        return Ok(());
    }
    let mut judge = Judge::new(scene.crowd.plan.clone(), scene.crowd.claims.snapshot());
    for (name, at) in scene.clusters().into_iter().skip(1) {
        let waited = Arrivals::in_kafka(&at).wait(&mut judge, IDLE)?;
        let said = waited.map_or_else(
            || "does not get everything".to_owned(),
            |took| format!("has everything after {} ms", took.as_millis()),
        );
        scene.timeline.note(format!("the {name} cluster {said}"));
    }
    Ok(())
}

/// What is wrong with these books.
pub(super) fn faults(clusters: &[Cluster], mode: Option<Second>) -> Vec<String> {
    let mirror = mode == Some(Second::Mirror);
    let broken = |tier: &Tier| {
        let missing = if mirror { tier.missing } else { 0 };
        missing + tier.aliens() + tier.corruptions() > 0
    };
    let idle = |tier: &Tier| tier.read == 0;
    let faulty = clusters
        .iter()
        .filter(|cluster| broken(&cluster.tier1) || broken(&cluster.tier2) || idle(&cluster.tier2));
    faulty.map(|cluster| format!("not as it should be: {cluster}")).collect()
}

impl fmt::Display for Cluster {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} cluster:", self.name)?;
        for (what, tier) in [("batches", &self.tier1), ("; events", &self.tier2)] {
            write!(
                to,
                " {what} read {}, of {} claimed not here {}, copies {}, alien {}, corrupted {}",
                tier.read,
                tier.claimed,
                tier.missing,
                tier.duplicates(),
                tier.aliens(),
                tier.corruptions(),
            )?;
        }
        Ok(())
    }
}

/// Without anything new for so long, what is missing is missing.
const IDLE: Duration = Duration::from_secs(45);
