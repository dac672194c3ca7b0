//! What operators are shown: readiness, metrics, and the state of everything on one page.
//!
//! In: handles of what runs. Out: JSON. Must never show a secret: settings write masks for theirs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::delivery::Served;
use super::reload::{Orders, Outcome, Standing};
use crate::accept::{self, tls::Certificates};
use crate::admin::{self, Guard};
use crate::admit::{Counters, Policy};
use crate::clock;
use crate::deliver::drain::files;
use crate::deliver::sinks::Cluster as _;
use crate::journal::Journal;
use crate::model::Signal;
use crate::rulebook::Rulebooks;
use crate::telemetry::metrics as names;

/// What the admin pages show.
pub(super) struct Status {
    pub(super) render: Option<PrometheusHandle>,
    pub(super) life: accept::Life,
    pub(super) journal: Journal,
    pub(super) clusters: Vec<Served>,
    pub(super) files: Option<Arc<files::Drainer>>,
    pub(super) signal: Arc<Signal>,
    pub(super) books: Arc<Rulebooks>,
    pub(super) policy: Arc<ArcSwap<Policy>>,
    pub(super) counters: Arc<Counters>,
    pub(super) standing: Arc<ArcSwap<Standing>>,
    pub(super) orders: Orders,
    pub(super) certificates: Option<Arc<Certificates>>,
}

impl Status {
    fn journal_is_full(&self) -> bool {
        self.journal.retry_after().is_some()
    }

    fn configuration(&self) -> Value {
        let standing = self.standing.load();
        let rejected = standing
            .rejected
            .as_ref()
            .map(|(at_ms, error)| json!({ "at_ms": at_ms, "error": error }));
        json!({
            "version": standing.version,
            "since_ms": standing.since_ms,
            "rejected": rejected,
            "effective": standing.effective,
        })
    }

    fn memory(&self) -> Value {
        let budget = &self.life.budget;
        let parts: serde_json::Map<String, Value> =
            budget.parts().map(|(part, bytes)| (part.to_owned(), bytes.into())).collect();
        let used: u64 = budget.parts().map(|(_, bytes)| bytes).sum();
        json!({ "budget_bytes": budget.bytes(), "used_bytes": used, "parts": parts })
    }

    fn journal(&self) -> Value {
        let usage = self.journal.usage();
        json!({
            "down": self.journal.is_down(),
            "full": self.journal_is_full(),
            "segments": usage.segments,
            "bytes": usage.bytes,
            "owed_bytes": usage.owed_bytes,
            "first_seq": usage.first_seq,
        })
    }

    fn pressure(&self) -> Value {
        let advice = self.signal.advice();
        let paused: Vec<u8> = advice.paused().collect();
        json!({ "level": advice.level, "retry_ms": advice.retry_ms, "paused_classes": paused })
    }
}

impl admin::Status for Status {
    fn ready(&self) -> (bool, String) {
        let stopping = *self.life.stopping.borrow();
        let journal = !self.journal.is_down();
        let store = self.files.as_ref().is_none_or(|files| files.is_healthy());
        // With Kafka away the journal keeps the promises, so this alone does not end readiness.
        let clusters: Vec<_> = self.clusters.iter().map(Served::status).collect();
        let stuck = self.clusters.iter().any(|cluster| cluster.drainer.is_stuck());
        // Neither does pressure: it ends sooner when clients can still be told to wait.
        let ready = journal && store && !stopping && !stuck;
        let text = json!({
            "ready": ready, "stopping": stopping, "journal": journal, "store": store,
            "journal_full": self.journal_is_full(), "pressure": self.signal.advice().level,
            "clusters": clusters,
        });
        (ready, format!("{text}\n"))
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges")]
    fn metrics(&self) -> String {
        let budget = &self.life.budget;
        let mut used = 0;
        for (part, bytes) in budget.parts() {
            metrics::gauge!(names::MEMORY, "part" => part).set(bytes as f64);
            used += bytes;
        }
        metrics::gauge!(names::MEMORY_USED).set(used as f64);
        metrics::gauge!(names::MEMORY_BUDGET).set(budget.bytes() as f64);
        for cluster in &self.clusters {
            let depth = cluster.kafka.depth() as f64;
            metrics::gauge!(names::KAFKA_QUEUE, "cluster" => cluster.name).set(depth);
            // Shows its bytes.
            drop(cluster.parks.parked());
        }
        if let Some(certificates) = &self.certificates {
            certificates.tell();
        }
        metrics::gauge!(names::CONNECTIONS)
            .set(self.life.connections.load(Ordering::Acquire) as f64);
        self.render.as_ref().map(PrometheusHandle::render).unwrap_or_default()
    }

    fn state(&self) -> String {
        let policy = self.policy.load();
        let documents: serde_json::Map<String, Value> = policy
            .documents
            .versions()
            .map(|(app, version)| (app.to_owned(), version.into()))
            .collect();
        let clusters: Vec<_> = self.clusters.iter().map(Served::status).collect();
        let text = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "now_ms": clock::now_ms(),
            "config": self.configuration(),
            "rules": format!("{:016x}", self.books.current().hash),
            "documents": documents,
            "pressure": self.pressure(),
            "memory": self.memory(),
            "talkers": self.counters.talkers(),
            "connections": { "open": self.life.connections.load(Ordering::Acquire) },
            "journal": self.journal(),
            "clusters": clusters,
        });
        format!("{text:#}\n")
    }

    fn guard(&self) -> Guard {
        let admin = &self.standing.load().effective.admin;
        Guard { token: admin.token.clone(), loopback: admin.listen.ip().is_loopback() }
    }

    fn reload(&self) -> Option<oneshot::Receiver<Outcome>> {
        self.orders.reload("admin")
    }

    fn tick(&self) {
        if let Some(render) = &self.render {
            render.run_upkeep();
        }
    }
}
