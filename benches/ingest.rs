//! The page in process, without HTTP: its pure part alone, and whole batches into the journal on a
//! disk, as embedded mode takes them before the store writes them behind the reply.
//!
//! Throughput counts events, so that 1 s divided by it is the cost of one: CPU time for `refine`,
//! wall time with all its syncs for the journal. The CPU of all threads is in the floor table.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate::aside::Aside;
use tidegate::deliver::{Dedupe, Deliver, dedupe};
use tidegate::ingest::{Cost, Ingest, refine};
use tidegate::journal::{self, Journal};
use tidegate::model::{Admitted, Budget, Caller, Part, Record, Signal};
use tidegate::rulebook::{Rulebook, Rulebooks};
use tidegate::settings::Settings;
use tidegate::{clock, telemetry};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

mod load;

const BODIES: u32 = 64;
/// Drained segments that may stay while the journal is filled again and again.
const RETAIN_BYTES: u64 = 256 << 20;

fn settings() -> Settings {
    let mut table = loadtest::gateway::configuration::of_load();
    // Nothing is filtered, so that every event is paid for.
    table.remove("rules");
    table.try_into().expect("the load's configuration is valid")
}

fn rulebook() -> Rulebook {
    settings().rulebook().expect("the load's routes are valid")
}

fn pure(criterion: &mut Criterion) {
    let book = rulebook();
    let mut records = load::records(BODIES);
    let mut at = 0;
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(load::EVENTS.into()));
    group.bench_function("refine", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % records.len();
            let record = records.get_mut(at)?;
            refine(record, None, &book, |_, _, _| ()).ok()
        });
    });
    group.finish();
}

/// Everything that a batch needs, but the store behind it.
struct Page {
    ingest: Arc<Ingest>,
    journal: Journal,
    budget: Arc<Budget>,
    /// Never sent to; while it lives, the gateway is not told to stop.
    _stop: watch::Sender<bool>,
}

impl Page {
    fn open(dir: &Path) -> Self {
        let settings = settings();
        let (stop, stopping) = watch::channel(false);
        // The same batches come again and again: forgotten before, so that each is written.
        let forgetful = dedupe::Settings { batches_max: BODIES as usize / 2, ..settings.dedupe };
        let (journal, _) = journal::open("main", &dir.join("journal"), &settings.journal)
            .expect("a fresh journal");
        let budget = Budget::new(settings.memory_plan());
        let books = Rulebooks::open(dir.join("rules"), rulebook()).expect("a fresh folder");
        let ingest = Ingest {
            books: Arc::new(books),
            deliver: Deliver::embedded(journal.clone()),
            dedupe: Dedupe::new(&forgetful),
            node: Uuid::from_u128(2),
            cost: Cost { copies: 1 },
            aside: Aside::start().expect("threads"),
            signal: Arc::new(Signal::new(settings.retry_ms, settings.pressure.hold_ms)),
            document_version: Box::new(|_| 0),
            instance: Box::new(|_, _| Ok(None)),
            stopping,
        };
        Self { ingest: Arc::new(ingest), journal, budget, _stop: stop }
    }

    fn admitted(&self, record: &Record) -> Admitted {
        let Record { facts, body } = record.clone();
        let charge = self.budget.take(Part::Bodies, body.len() as u64);
        let class = Some(facts.class);
        let caller = Caller {
            app: facts.app,
            kind: facts.key_kind,
            class: facts.class,
            address: facts.address,
            user_agent: facts.user_agent,
        };
        Admitted {
            caller,
            body,
            said: Some(facts.coding),
            class,
            attempt: facts.attempt,
            sent_ms: facts.sent_ms,
            wait_ms: facts.wait_ms,
            arrival_ms: facts.arrival_ms,
            promised: true,
            charge: charge.expect("far below the budget"),
        }
    }

    /// All records at once, as from as many connections; ends when all are acknowledged.
    fn round(&self, runtime: &Runtime, records: &[Record]) -> Duration {
        let admitted: Vec<_> = records.iter().map(|record| self.admitted(record)).collect();
        let start = Instant::now();
        runtime.block_on(async {
            let mut open = JoinSet::new();
            for admitted in admitted {
                open.spawn(Arc::clone(&self.ingest).ingest(admitted));
            }
            for reply in open.join_all().await {
                assert_eq!(reply.status, 200, "{}", reply.body);
            }
        });
        start.elapsed()
    }

    /// Nobody drains this journal, so its segments are let go here.
    fn let_go(&self) {
        let next = self.journal.synced() + 1;
        self.journal.set_owed_from("bench", next);
        self.journal.trim(next, u64::MAX, RETAIN_BYTES, clock::now_ms()).expect("segments can go");
    }
}

fn durable(criterion: &mut Criterion) {
    telemetry::metrics::start().expect("the first recorder of this process");
    let dir = tempfile::tempdir().expect("a folder for the journal");
    let page = Page::open(dir.path());
    let records = load::records(BODIES);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(u64::from(BODIES) * u64::from(load::EVENTS)));
    group.bench_function(format!("{BODIES} batches at once, journal"), |bencher| {
        bencher.iter_custom(|rounds| {
            let before = page.journal.synced();
            let spent = (0..rounds).map(|_| page.round(&runtime, &records)).sum();
            let written = page.journal.synced() - before;
            assert!(
                written >= rounds * u64::from(BODIES),
                "{written} frames: not all were written"
            );
            page.let_go();
            spent
        });
    });
    group.finish();
    page.journal.close();
}

criterion_group!(benches, pure, durable);
criterion_main!(benches);
