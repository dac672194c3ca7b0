//! One load run from the first port to the verdict: everything else exists to keep this page true.
//!
//! In: settings. Out: a report. Broker, gateway and folders are new for every run and gone after
//! it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::batch::Plan;
use crate::broker::{Broker, BrokerOptions};
use crate::claims::Claims;
use crate::clock::now_ms;
use crate::disturb::{Disturbance, Scene};
use crate::feeder::Feeder;
use crate::gateway::{Gateway, GatewayOptions, configuration};
use crate::judge::Judge;
use crate::judge::arrival::Arrivals;
use crate::ports;
use crate::process::Usage;
use crate::record::Recorder;
use crate::report::{Arrival, Costs, Report};
use crate::send::Crowd;
use crate::send::idle::{self, Idle};

pub mod settings;

pub use settings::{Mode, Settings};

/// Runs a load and judges it.
pub fn run(settings: &Settings) -> anyhow::Result<Report> {
    settings.check()?;
    idle::allow_many_files();
    let plan = Plan {
        seed: settings.seed,
        start_ms: now_ms(),
        batch_events: settings.batch_events,
        instances: settings.instances,
    };
    let feeder = Arc::new(Feeder::new(
        plan.clone(),
        settings.events.div_ceil(u64::from(settings.batch_events)),
        settings.disturb.is_some(),
        settings.ahead_mib << 20,
    ));
    feeder.fill();
    let mut stage = Stage::set(settings)?;
    let ready = stage.gateway.usage();
    let crowd = Arc::new(Crowd {
        manners: settings.manners(stage.gateway.listen()),
        claims: Claims::new(plan.batch_events),
        recorder: Arc::new(Recorder::default()),
        feeder,
        plan,
    });
    let played = play(settings, &mut stage, &crowd)?;
    judge(settings, stage, crowd, ready, played)
}

/// Broker and gateway of one run.
struct Stage {
    gateway: Gateway,
    broker: Option<Broker>,
    broker_options: BrokerOptions,
}

/// What happened while the load ran.
struct Played {
    begun: Instant,
    ended: Instant,
    mended: Option<Instant>,
    client: Usage,
    idle: Idle,
}

impl Stage {
    fn set(settings: &Settings) -> anyhow::Result<Self> {
        let mut options = GatewayOptions::new(&settings.gateway);
        configuration::merge(&mut options.configuration, settings.configuration()?);
        options.environment = settings.environment()?;
        let mut broker_options = BrokerOptions::default();
        let mut broker = None;
        if settings.mode == Mode::Kafka {
            let port = ports::free()?;
            broker_options.port = Some(port);
            options.brokers = format!("127.0.0.1:{port}");
        }
        let late = matches!(settings.disturb, Disturbance::KafkaLate(_));
        let mut gateway = Gateway::prepare(options)?;
        if settings.mode == Mode::Kafka && !late {
            broker = Some(Broker::start(broker_options.clone())?);
            gateway.apply_topics(settings.partitions, 1)?;
        }
        gateway.restart()?;
        Ok(Self { gateway, broker, broker_options })
    }

    fn arrivals(&self) -> Arrivals {
        match &self.broker {
            Some(broker) => Arrivals::in_kafka(&broker.addr()),
            None => Arrivals::in_files(&self.gateway.data_dir().join("events")),
        }
    }
}

/// The load itself, with what disturbs it.
fn play(settings: &Settings, stage: &mut Stage, crowd: &Arc<Crowd>) -> anyhow::Result<Played> {
    let own = std::process::id();
    let before = Usage::of(own).unwrap_or_default();
    let made_s = crowd.feeder.cpu_s();
    let idle = Idle::default();
    let begun = Instant::now();
    let (disturbed, ended) = std::thread::scope(|scope| {
        scope.spawn(|| crowd.feeder.refill());
        scope.spawn(|| tell_progress(crowd, settings.progress_ms));
        let load = scope.spawn(|| {
            let sent = send(settings, crowd, &idle);
            crowd.feeder.stop();
            sent.map(|()| Instant::now())
        });
        let disturbed = settings.disturb.run(Scene {
            gateway: &mut stage.gateway,
            broker: &mut stage.broker,
            broker_options: stage.broker_options.clone(),
            partitions: settings.partitions,
            feeder: &crowd.feeder,
            recorder: &crowd.recorder,
            seed: settings.seed,
        });
        if disturbed.is_err() {
            crowd.feeder.stop();
        }
        (disturbed, load.join())
    });
    let ended = ended.map_err(|_| anyhow::anyhow!("the thread of the clients panicked"))??;
    let log = || format!("the end of the gateway's log:\n{}", stage.gateway.log());
    let mended = disturbed.with_context(log)?;
    let mut client = Usage::of(own).unwrap_or_default();
    client.cpu_s -= before.cpu_s + (crowd.feeder.cpu_s() - made_s);
    Ok(Played { begun, ended, mended, client, idle })
}

fn send(settings: &Settings, crowd: &Arc<Crowd>, idle: &Idle) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.client_threads)
        .enable_all()
        .build()?;
    let target = crowd.manners.target;
    runtime.block_on(async {
        tokio::select! {
            sent = crate::send::send_all(Arc::clone(crowd)) => Ok(sent?),
            () = idle::hold(target, settings.idle_connections, idle) => bail!("idling has no end"),
        }
    })
}

/// Waits for everything that was claimed, stops the gateway and compares.
fn judge(
    settings: &Settings,
    mut stage: Stage,
    crowd: Arc<Crowd>,
    ready: Usage,
    played: Played,
) -> anyhow::Result<Report> {
    let Some(crowd) = Arc::into_inner(crowd) else { bail!("a client still runs") };
    let record = crowd.recorder.snapshot();
    let mut judge = Judge::new(crowd.plan, crowd.claims.close());
    let mut arrivals = stage.arrivals();
    arrivals.wait(&mut judge, Duration::from_millis(settings.settle_ms))?;
    let arrived = Instant::now();
    let complete = judge.events_missing() == 0;
    let threads = stage.gateway.threads();
    let mut gateway = stage.gateway.usage();
    gateway.cpu_s -= ready.cpu_s;

    // Only what it still finds to say when it stops makes the count of duplicates final.
    let stopped = stage.gateway.stop();
    let log = stage.gateway.log();
    if !arrivals.has_tier1() {
        arrivals.rewind();
        judge.reset();
    }
    arrivals.pass(&mut judge)?;
    if settings.keep {
        eprintln!("kept: {}", stage.gateway.keep().display());
        if let Some(broker) = &mut stage.broker {
            eprintln!("kept: {}", broker.keep().display());
        }
    }
    let since = |from: Instant| arrived.saturating_duration_since(from).as_secs_f64();
    let mut report = Report::new(settings, &record, played.begun, played.ended);
    report.costs = Costs {
        generator_cpu_s: crowd.feeder.cpu_s(),
        client_cpu_s: played.client.cpu_s,
        gateway,
        gateway_lives: stage.gateway.lives(),
        gateway_threads_cpu_s: threads,
        broker_cpu_s: stage.broker.as_ref().map(|broker| broker.usage().cpu_s),
        idle_open: played.idle.opened.into_inner().saturating_sub(played.idle.closed.into_inner()),
    };
    report.arrival = Arrival {
        complete,
        after_load_s: since(played.ended),
        after_mending_s: played.mended.map(since),
        dead_letters: arrivals.dead_letters(),
    };
    let (one, two) = judge.tiers();
    report.tier1 = arrivals.has_tier1().then_some(one);
    report.tier2 = two;
    report.examples = judge.examples();
    report.stop_error = stopped.err().map(|error| error.to_string());
    if !report.is_clean() {
        report.gateway_log = log;
    }
    ensure!(
        report.tier2.claimed + report.totals.filtered > 0 || settings.events == 0,
        nothing(&report)
    );
    Ok(report)
}

fn nothing(report: &Report) -> String {
    format!("not one event was acknowledged; statuses: {:?}", report.statuses)
}

/// A line on stderr now and then, so that a long run is seen to live.
fn tell_progress(crowd: &Crowd, every_ms: u64) {
    let mut next = Instant::now() + Duration::from_millis(every_ms);
    while !crowd.feeder.is_stopped() {
        std::thread::sleep(Duration::from_millis(20));
        if every_ms > 0 && Instant::now() >= next {
            next += Duration::from_millis(every_ms);
            let record = crowd.recorder.snapshot();
            let (accepted, statuses) = (record.totals.accepted, record.statuses());
            let phase = crowd.recorder.phase();
            eprintln!("{accepted} events acknowledged, {phase:?}, statuses {statuses:?}");
        }
    }
}
