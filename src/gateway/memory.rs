//! The memory budget's plan, and what the pressure on this node is made of.
//!
//! In: settings and what has been built. Out: a budget, and closures that tell how full things are.

use std::sync::Arc;

use super::delivery::Delivery;
use crate::admit::watch as pressure;
use crate::ingest::Cost;
use crate::model::{Budget, Signal};
use crate::settings::Settings;

/// One budget, one signal, and what a batch costs.
pub(super) fn plan(settings: &Settings) -> (Arc<Budget>, Arc<Signal>, Cost) {
    let plan = settings.memory_plan();
    let connections = plan.connections_bytes() / settings.http.connection_bytes();
    if connections < settings.limits.connections_max {
        tracing::info!(connections, "fewer than limits.connections_max fit in the memory budget");
    }
    let signal = Arc::new(Signal::new(settings.retry_ms, settings.pressure.hold_ms));
    (Budget::new(plan), signal, Cost { copies: settings.copies() })
}

/// What the pressure is made of, anew for each watch over it.
pub(super) fn inputs(
    settings: &Settings,
    budget: &Arc<Budget>,
    delivery: &Delivery,
) -> impl Fn() -> pressure::Inputs + Send + 'static {
    let bytes_max = settings.journal.bytes_max;
    let usual_bytes = 2 * settings.journal.segment_bytes;
    let (budget, journal) = (Arc::clone(budget), delivery.journal.clone());
    let (clusters, files) = (delivery.clusters.clone(), delivery.files.clone());
    move || {
        let (clusters, files) = (clusters.clone(), files.clone());
        let (fill, owed, late) = (journal.clone(), journal.clone(), journal.clone());
        pressure::Inputs {
            budget: Arc::clone(&budget),
            journal_percent: Box::new(move || {
                let owed_bytes = fill.usage().owed_bytes;
                (owed_bytes.saturating_mul(100)).checked_div(bytes_max).unwrap_or(100).min(100)
            }),
            is_behind: Box::new(move || {
                // Under load something is always on its way: late is what trouble or the mass of
                // it keeps from moving.
                let stuck = clusters.iter().any(|cluster| cluster.kafka.trouble().is_some())
                    || late.usage().owed_bytes > usual_bytes;
                let behind = clusters.iter().any(|cluster| cluster.backlog.is_behind());
                behind && stuck || files.as_ref().is_some_and(|files| !files.is_healthy())
            }),
            retry_after: Box::new(move || owed.retry_after()),
        }
    }
}
