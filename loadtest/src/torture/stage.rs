//! Builds what a case asks for: disk, brokers, proxy, the gateway, its clients.
//!
//! In: a case and the gateway's binary. Out: a scene in which everything runs, or why it cannot be
//! built on this machine, so that the case counts as skipped and not as passed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::case::{self, Case, Place, Second};
use super::disk::{self, Disk};
use super::proxy::{self, Proxy};
use super::scene::{Scene, State};
use super::shim::{self, Shim};
use super::timeline::Timeline;
use crate::batch::{Plan, Random};
use crate::broker::{Broker, BrokerOptions};
use crate::claims::Claims;
use crate::clock::now_ms;
use crate::feeder::Feeder;
use crate::gateway::{Gateway, GatewayOptions, configuration};
use crate::judge::Excuses;
use crate::ports;
use crate::record::Recorder;
use crate::run::Mode;
use crate::send::{Crowd, Manners};

/// What this machine lacks for a case; `None` if nothing.
pub fn lacking(case: &Case) -> Option<String> {
    let stage = &case.stage;
    if let Some(reason) = disk::unable(stage.disk) {
        return Some(reason);
    }
    if stage.proxy && proxy::program().is_none() {
        return Some("toxiproxy is not installed (.ci/setup torture)".to_owned());
    }
    if stage.clock_faults && shim::faketime().is_none() {
        return Some("libfaketime is not installed (.ci/setup torture)".to_owned());
    }
    None
}

/// Builds everything and starts it.
pub fn build(
    case: &Case,
    binary: &Path,
    seed: u64,
    timeline: &Arc<Timeline>,
) -> anyhow::Result<Scene> {
    let stage = &case.stage;
    let home = tempfile::Builder::new().prefix("tidegate-torture-").tempdir()?;
    let disk = Disk::make(stage.disk, stage.disk_mib, &stage.mount_options)?;
    let (brokers, proxy) = match stage.mode {
        Mode::Kafka => kafka(stage)?,
        Mode::Embedded => (Vec::new(), None),
    };
    let mut options = GatewayOptions::new(binary);
    let ours: toml::Table = GATEWAY.parse().context("the rig's own configuration")?;
    configuration::merge(&mut options.configuration, ours);
    configuration::merge(&mut options.configuration, case.gateway.clone());
    // A gateway that suffers need not be ready to be there.
    options.ready_path = "/healthz";
    options.brokers = bootstrap(&brokers);
    if let Some(proxy) = &proxy {
        options.brokers = format!("127.0.0.1:{}", proxy.port());
    }
    let second = second(stage, &mut options)?;
    let root = disk.as_ref().map_or_else(|| home.path(), Disk::path);
    // As the kernel names it, for the library that looks at open files.
    let data_dir = root.canonicalize()?.join("data");
    let mut shim = None;
    if stage.sync_faults || stage.clock_faults {
        let made = Shim::make()?;
        options.environment = made.environment(&data_dir, stage.clock_faults);
        shim = Some(made);
    }
    options.data_dir = Some(data_dir);
    let gateway = Gateway::prepare(options)?;
    if stage.mode == Mode::Kafka {
        gateway.apply_topics(stage.partitions, stage.replication)?;
    }
    let crowd = crowd(case, &gateway, seed);
    let mut scene = Scene {
        gateway,
        brokers: brokers.into_iter().map(|broker| (broker, State::Up)).collect(),
        second: second.map(|broker| (broker, State::Up)),
        proxy,
        disk,
        shim,
        stage: stage.clone(),
        crowd: Arc::new(crowd),
        timeline: Arc::clone(timeline),
        watch: Arc::default(),
        excuses: Excuses::default(),
        kept: Vec::new(),
        cuts: Vec::new(),
        starts_ms: Vec::new(),
        broken_disk: false,
        sick_disk: false,
        few_files: false,
        waits_for_disk: false,
        kafka_gone_ms: None,
        random: Random::new(seed),
        home,
    };
    let begun = Instant::now();
    scene.gateway.restart()?;
    scene.started(begun);
    Ok(scene)
}

/// The addresses of brokers, as clients want them.
pub(super) fn bootstrap<'a>(brokers: impl IntoIterator<Item = &'a Broker>) -> String {
    brokers.into_iter().map(Broker::addr).collect::<Vec<_>>().join(",")
}

/// The second cluster, and the options that name it.
fn second(stage: &case::Stage, options: &mut GatewayOptions) -> anyhow::Result<Option<Broker>> {
    let Some(mode) = stage.second else { return Ok(None) };
    let broker = Broker::start(BrokerOptions::default())?;
    let mode = match mode {
        Second::Failover => "failover",
        Second::Mirror => "mirror",
    };
    let named = format!("[kafka.second]\nbrokers = {:?}\nmode = {mode:?}", broker.addr());
    let named: toml::Table = named.parse().context("the second cluster's options")?;
    configuration::merge(&mut options.configuration, named);
    Ok(Some(broker))
}

fn kafka(stage: &case::Stage) -> anyhow::Result<(Vec<Broker>, Option<Proxy>)> {
    let port = ports::free()?;
    let proxy = if stage.proxy { Some(Proxy::start(port)?) } else { None };
    let mut properties =
        vec![("log.message.timestamp.type".to_owned(), "LogAppendTime".to_owned())];
    let mut set = |key: &str, value: &str| properties.push((key.to_owned(), value.to_owned()));
    if stage.replication > 2 {
        set("min.insync.replicas", "2");
        set("unclean.leader.election.enable", "false");
        set("replica.lag.time.max.ms", "3000");
    }
    if stage.brokers > 1 {
        set("controlled.shutdown.enable", "true");
    }
    if stage.authorizer {
        set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer");
        set("allow.everyone.if.no.acl.found", "true");
    }
    let advertised = proxy.as_ref().map(Proxy::port);
    let options =
        BrokerOptions { port: Some(port), advertised, properties, ..BrokerOptions::default() };
    let first = Broker::start(options.clone())?;
    let mut brokers = vec![first];
    for node in 2..=stage.brokers {
        let join = brokers.first().map(|first| first.invite(node));
        let options = BrokerOptions { port: None, advertised: None, join, ..options.clone() };
        brokers.push(Broker::start(options)?);
    }
    Ok((brokers, proxy))
}

fn crowd(case: &Case, gateway: &Gateway, seed: u64) -> Crowd {
    let load = &case.load;
    let plan = Plan { seed, start_ms: now_ms(), batch_events: load.batch_events, instances: 400 };
    let rate = load.events_per_s / f64::from(load.batch_events.max(1));
    let feeder = Feeder::new(plan.clone(), 0, true, AHEAD_BYTES_MAX);
    Crowd {
        manners: Manners {
            target: gateway.listen(),
            connections: load.connections,
            rate: Some(rate),
            request: Duration::from_secs(30),
            retry_max: Duration::from_millis(500),
            give_up: Duration::from_mins(2),
        },
        claims: Claims::new(plan.batch_events),
        recorder: Arc::new(Recorder::default()),
        feeder: Arc::new(feeder),
        plan,
    }
}

/// Batches made ahead of the clients.
const AHEAD_BYTES_MAX: u64 = 64 << 20;

/// Small segments, files and checkpoint intervals, so that kills and cuts hit them all the time.
const GATEWAY: &str = "
[journal]
segment_bytes = 1048576

[raw]
retain_bytes = 8388608

[store]
checkpoint_ms = 500
checkpoint_bytes = 4194304
file_bytes_max = 4194304
";

/// Whether a place is a file system of its own.
impl Place {
    /// As text for people.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Ext4 => "ext4 image",
            Self::Tmpfs => "tmpfs",
        }
    }
}
