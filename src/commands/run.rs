//! `tidegate run`: serves until it is told to stop, and reads its configuration again when it is
//! told to.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::gateway::{Gateway, Source};
use crate::settings::Settings;
use crate::telemetry::{log, metrics};

pub(super) fn run(settings: Settings, path: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    log::start(&settings.log).map_err(anyhow::Error::msg)?;
    let render = metrics::start().map_err(anyhow::Error::msg)?;
    let kafka = settings.kafka.clone();
    let data_dir = settings.data_dir.clone();
    let is_open = settings.keys.is_empty();
    let key = if is_open { "" } else { "?key=..." };
    let source = Some(Source::file(path));
    let gateway = Gateway::start_from(settings, source, Some(render)).context("cannot start")?;
    let (ingest, admin) = (gateway.ingest_address(), gateway.admin_address());
    let sink = if kafka.brokers.is_empty() {
        format!("embedded store in {}", data_dir.join("events").display())
    } else {
        format!("kafka at {}, ack = {:?}", kafka.brokers, kafka.ack).to_lowercase()
    };
    tracing::info!("ingest on http://{ingest}, admin on http://{admin}");
    tracing::info!("sink: {sink}; journal in {}", data_dir.join("journal").display());
    if is_open {
        tracing::warn!("no [[keys]] are configured: everybody who reaches {ingest} may write");
    }
    tracing::info!(
        "try: curl -d '[{{\"type\":\"test\",\"props\":{{\"a\":1}}}}]' 'http://{ingest}/v1/batch{key}'"
    );
    wait_for_a_signal(&gateway)?;
    tracing::info!("stopping");
    gateway.stop();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn wait_for_a_signal(gateway: &Gateway) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hangup.recv() => gateway.reload("signal"),
            }
        }
    })
}
