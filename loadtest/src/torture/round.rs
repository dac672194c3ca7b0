//! One round: the stage is built, the load runs, the steps break things, everything is mended, the
//! load ends, the gateway drains, and the judge compares. This page says in which order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};

use super::case::Case;
use super::outcome::{Ledger, Outcome, Verdict};
use super::scene::Scene;
use super::stage;
use super::timeline::Timeline;
use super::watch::metric;
use super::{clusters, evidence};
use crate::clock::now_ms;
use crate::judge::Judge;
use crate::judge::arrival::Arrivals;
use crate::record::{Phase, Record};
use crate::send::rude;

/// Plays a case with a seed; an outcome in any case, so that the next round can begin.
pub fn play(name: &str, case: &Case, binary: &Path, seed: u64) -> Outcome {
    let timeline = Arc::new(Timeline::default());
    let mut outcome = Outcome::new(name, case, seed);
    if let Some(reason) = stage::lacking(case) {
        outcome.verdict = Verdict::Skipped;
        outcome.errors.push(reason);
        return outcome;
    }
    if let Err(error) = suffer(case, binary, seed, &timeline, &mut outcome) {
        outcome.errors.push(format!("{error:#}"));
    }
    outcome.timeline = timeline.moments();
    outcome.conclude(&case.expect);
    outcome
}

fn suffer(
    case: &Case,
    binary: &Path,
    seed: u64,
    timeline: &Arc<Timeline>,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let mut scene = stage::build(case, binary, seed, timeline).context("building the stage")?;
    timeline.note("everything stands; the load begins");
    let load = Instant::now();
    let ended = strain(case, &mut scene, outcome);
    outcome.ledger.load_s = load.elapsed().as_secs_f64();
    outcome.watched(scene.watch.seen());
    ended?;
    verdict(&mut scene, outcome)
}

/// The load, and what is done to the scene meanwhile.
fn strain(case: &Case, scene: &mut Scene, outcome: &mut Outcome) -> anyhow::Result<()> {
    let (crowd, watch) = (Arc::clone(&scene.crowd), Arc::clone(&scene.watch));
    let (times, admin) = (Arc::clone(&scene.timeline), scene.gateway.admin());
    let (load, sample_ms) = (&case.load, case.load.sample_ms);
    thread::scope(|scope| {
        scope.spawn(|| crowd.feeder.refill());
        scope.spawn(|| watch.run(admin, &crowd.recorder, &times, sample_ms));
        let clients = scope.spawn(|| {
            let sent = send(&crowd, load.rude_clients);
            crowd.feeder.stop();
            sent
        });
        thread::sleep(Duration::from_millis(load.before_ms));
        crowd.recorder.enter(Phase::During);
        for step in &case.steps {
            if let Err(error) = scene.perform(step) {
                let error = format!("{step}: {error:#}");
                scene.timeline.note(error.clone());
                outcome.errors.push(error);
                break;
            }
        }
        if let Err(error) = scene.mend() {
            scene.timeline.note(format!("mending: {error:#}"));
            outcome.errors.push(format!("{error:#}"));
        }
        if crowd.recorder.phase() != Phase::After {
            crowd.recorder.enter(Phase::After);
        }
        thread::sleep(Duration::from_millis(load.after_ms));
        scene.timeline.note("the load ends");
        outcome.load_ended_ms = now_ms();
        crowd.feeder.finish(0);
        let sent = clients.join().map_err(|_| anyhow!("the thread of the clients panicked"));
        watch.end();
        sent?
    })
}

fn send(crowd: &Arc<crate::send::Crowd>, rude: usize) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let polite = crate::send::send_all(Arc::clone(crowd));
        let (sent, ()) = tokio::join!(polite, rude::hang_up(Arc::clone(crowd), rude));
        Ok(sent?)
    })
}

/// Waits for everything that was claimed, stops the gateway, compares, and judges the copies.
fn verdict(scene: &mut Scene, outcome: &mut Outcome) -> anyhow::Result<()> {
    let record = scene.crowd.recorder.snapshot();
    outcome.recorded(&record);
    outcome.ledger.restarts = scene.gateway.lives().saturating_sub(1);
    outcome.started(&scene.starts_ms);
    let mut judge = Judge::new(scene.crowd.plan.clone(), scene.crowd.claims.snapshot());
    judge.excuse(scene.excuses.clone());
    let mut arrivals = scene.arrivals();
    if let Some(lanes) = arrivals.lanes() {
        let phases = record.stretches.iter().map(|stretch| (stretch.phase, stretch.begun_ms));
        lanes.divide(phases.collect(), outcome.load_ended_ms);
    }
    let begun = Instant::now();
    settle(&mut arrivals, &mut judge, scene)?;
    clusters::await_mirror(scene)?;
    outcome.ledger.arrived_s = begun.elapsed().as_secs_f64();
    let late = judge.events_missing() > 0;
    let drained = scene.await_drained(if late { 0 } else { DRAIN_MS });
    outcome.metrics = scene.gateway.metrics().unwrap_or_default();
    if let Err(error) = drained {
        outcome.errors.push(format!("{error:#}; it said: {}", lag(&outcome.metrics)));
    }
    if let Err(error) = scene.gateway.stop() {
        outcome.errors.push(error.to_string());
    }
    scene.watch.process.store(0, Ordering::Relaxed);
    again(&mut arrivals, &mut judge, scene)?;
    if judge.events_missing() > 0 {
        stuck(&mut arrivals, &mut judge, scene, outcome)?;
    }
    let (one, two) = judge.tiers();
    outcome.judged(arrivals.has_tier1().then_some(one), two, judge.examples());
    outcome.clusters = clusters::read(scene)?;
    outcome.broken.extend(clusters::faults(&outcome.clusters, scene.stage.second));
    outcome.lanes = arrivals.lanes().map(|lanes| lanes.lines()).unwrap_or_default();
    if let Some((number, row)) = judge.first_missing() {
        outcome.evidence = evidence::of(scene, &judge, number, row);
    }
    outcome.dead_letters = arrivals.dead_letters();
    if outcome.is_suspect() && outcome.log.is_empty() {
        outcome.log = std::fs::read_to_string(scene.gateway.log_file()).unwrap_or_default();
    }
    let log = std::fs::read_to_string(scene.gateway.log_file()).unwrap_or_default();
    if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
        let times = log.matches("panicked at").count();
        outcome.errors.push(format!("the gateway panicked {times} times: {line}"));
        outcome.log = log;
    }
    for cut in std::mem::take(&mut scene.cuts) {
        outcome.cuts.push(cut.judge(scene));
    }
    empty(&record, outcome)
}

/// Reads on until nothing that was claimed is missing, or nothing new comes any more.
fn settle(arrivals: &mut Arrivals, judge: &mut Judge, scene: &Scene) -> anyhow::Result<()> {
    let mut last = Instant::now();
    let mut failures = 0;
    loop {
        match arrivals.pass(judge) {
            Ok(0) => {}
            Ok(_) => last = Instant::now(),
            // Brokers that have just come back may still look for their leaders.
            Err(error) if failures < FAILURES_MAX => {
                failures += 1;
                scene.timeline.note(format!("reading what arrived: {error}"));
                arrivals.rewind();
                judge.reset();
                thread::sleep(Duration::from_secs(1));
            }
            Err(error) => return Err(error.into()),
        }
        let bodies = if arrivals.has_tier1() { judge.batches_missing() } else { 0 };
        if bodies + judge.events_missing() == 0 || last.elapsed() > IDLE {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Something is missing: whether a new start of the gateway brings it. Late or lost, both are
/// failures, but not the same one.
fn stuck(
    arrivals: &mut Arrivals,
    judge: &mut Judge,
    scene: &mut Scene,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let missing = judge.events_missing();
    outcome.log = std::fs::read_to_string(scene.gateway.log_file()).unwrap_or_default();
    scene.start_gateway()?;
    arrivals.rewind();
    judge.reset();
    settle(arrivals, judge, scene)?;
    scene.gateway.stop()?;
    again(arrivals, judge, scene)?;
    let lost = judge.events_missing();
    let stuck = format!("stuck: {missing} events were missing, {lost} after another start");
    scene.timeline.note(stuck.clone());
    outcome.errors.push(stuck);
    Ok(())
}

/// Reads everything from the beginning, because files may have been rewritten.
fn again(arrivals: &mut Arrivals, judge: &mut Judge, scene: &Scene) -> anyhow::Result<()> {
    arrivals.rewind();
    judge.reset();
    read(arrivals, judge, scene)
}

fn read(arrivals: &mut Arrivals, judge: &mut Judge, scene: &Scene) -> anyhow::Result<()> {
    arrivals.pass(judge)?;
    for (lane, values) in &scene.kept {
        for (value, appended_ms) in values {
            if let Some(lanes) = arrivals.lanes() {
                lanes.see(lane, value, *appended_ms);
            }
            match lane.as_str() {
                "raw" => judge.raw(value),
                lane => judge.event(value, Some(lane)),
            }
        }
    }
    Ok(())
}

fn lag(metrics: &str) -> String {
    let lag = metric(metrics, "tidegate_drain_lag_frames");
    let owed = metric(metrics, "tidegate_journal_owed_bytes");
    format!("{lag} frames behind, {owed} bytes owed")
}

fn empty(record: &Record, outcome: &Outcome) -> anyhow::Result<()> {
    let Ledger { acknowledged, .. } = outcome.ledger;
    ensure!(acknowledged > 0, "nothing was acknowledged: {:?}", record.statuses());
    Ok(())
}

/// Without anything new for so long, what is missing is missing. Longer than a producer's timeout,
/// after which records come back and are tried again.
const IDLE: Duration = Duration::from_secs(45);
const DRAIN_MS: u64 = 30_000;
const FAILURES_MAX: u32 = 30;
