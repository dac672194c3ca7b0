//! `tidegate run`: serves until it is told to stop, and reads its configuration again when it is
//! told to.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::gateway::{Gateway, Source};
use crate::settings::Settings;
use crate::telemetry::{log, metrics};

pub(super) fn run(settings: Settings, path: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    log::start(&settings.log).map_err(anyhow::Error::msg)?;
    let render = metrics::start().map_err(anyhow::Error::msg)?;
    let kafka = settings.kafka.clone();
    let data_dir = settings.data_dir.clone();
    let is_open = settings.keys.is_empty();
    // Of the first listener that has an address, as the address is.
    let is_tls =
        settings.wanted().iter().find(|one| one.address.is_tcp()).is_some_and(|one| one.tls);
    let (scheme, curl) = if is_tls { ("https", "curl --cacert ca.pem") } else { ("http", "curl") };
    let key = if is_open { "" } else { "?key=..." };
    let source = Some(Source::file(path));
    let gateway = Gateway::start_from(settings, source, Some(render)).context("cannot start")?;
    let (ingest, admin) = (gateway.ingest_address(), gateway.admin_address());
    let sink = if kafka.brokers.is_empty() {
        format!("embedded store in {}", data_dir.join("events").display())
    } else {
        format!("kafka at {}, ack = {:?}", kafka.brokers, kafka.ack).to_lowercase()
    };
    tracing::info!("ingest on {scheme}://{ingest}, admin on http://{admin}");
    tracing::info!("sink: {sink}; journal in {}", data_dir.join("journal").display());
    if is_open {
        tracing::warn!("no [[keys]] are configured: everybody who reaches {ingest} may write");
    }
    tracing::info!(
        "try: {curl} -d '[{{\"type\":\"test\",\"props\":{{\"a\":1}}}}]' '{scheme}://{ingest}/v1/batch{key}'"
    );
    let mut signals = Signals::new()?;
    signals.wait(|| gateway.reload("signal"));
    tracing::info!("stopping; a second signal cuts off what is open");
    let hurry = gateway.hurry();
    // Ends with the process.
    std::thread::spawn(move || {
        signals.wait(|| ());
        hurry.now();
    });
    gateway.stop();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// What this process is told; nothing of it is missed between two waits.
struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (terminate, interrupt, hangup) = {
            let _inside = runtime.enter();
            let of = |kind: fn() -> SignalKind| signal(kind());
            (of(SignalKind::terminate)?, of(SignalKind::interrupt)?, of(SignalKind::hangup)?)
        };
        Ok(Self { runtime, terminate, interrupt, hangup })
    }

    /// Until it is told to stop.
    fn wait(&mut self, reload: impl Fn()) {
        let Self { runtime, terminate, interrupt, hangup } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = interrupt.recv() => return,
                    _ = hangup.recv() => reload(),
                }
            }
        });
    }
}
