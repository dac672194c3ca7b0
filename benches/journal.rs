//! What an append costs: 3.5 KB records, with 1 and with 64 of them waited for at a time.
//!
//! Criterion gives wall time. The lines before it give processor time of all threads per record,
//! which is what counts on a busy machine, and how many records a sync covers. The directory is a
//! fresh one under `TIDEGATE_BENCH_DIR`, else under the target directory: it should lie on a disk.

use std::hint::black_box;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate::journal::{Draft, Journal, Settings, open};
use tidegate::model::{Coding, Facts, Format, KeyKind, Record, owed};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use uuid::Uuid;

const BODY_BYTES: usize = 3_500;
const RECORDS: u64 = 20_000;

fn record() -> Record {
    let facts = Facts {
        app: Arc::from("demo"),
        key_kind: KeyKind::Public,
        address: IpAddr::from([192, 0, 2, 7]),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0".into(),
        coding: Coding::Gzip,
        format: Format::Lines,
        arrival_ms: 1_767_225_600_000,
        sent_ms: Some(1_767_225_599_900),
        wait_ms: Some(100),
        attempt: 1,
        class: 1,
        batch: Uuid::from_u128(7),
        batch_made: false,
        rules: 1,
        node: Uuid::from_u128(9),
    };
    // What gzip makes does not compress; neither does this.
    let mut state = 1u32;
    let body: Vec<u8> = (0..BODY_BYTES)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    Record { facts, body: Bytes::from(body) }
}

/// Appends `records` records from one thread, with `waiters` of them under way at a time.
fn append(runtime: &Runtime, journal: &Journal, record: &Arc<Record>, waiters: u64, records: u64) {
    let tasks = LocalSet::new();
    for waiter in 0..waiters {
        let (journal, record) = (journal.clone(), Arc::clone(record));
        let share = records / waiters + u64::from(waiter < records % waiters);
        tasks.spawn_local(async move {
            let owed = [(0..50).map(owed::event).collect()];
            for _ in 0..share {
                let draft = Draft::Record { pending: false, owed: &owed, record: &record };
                black_box(journal.append(draft, None).await.expect("a working disk"));
            }
        });
    }
    runtime.block_on(tasks);
    // What is durable is of no use here, and the disk is small.
    journal.set_owed_from("bench", journal.synced() + 1);
    journal.trim(u64::MAX, 0, 0, i64::MAX).expect("a working disk");
}

/// Nanoseconds on a processor, of all threads that are alive.
fn processor_ns() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let one = |path: PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
    };
    tasks.map(|task| task.map_or(0u64, |task| one(task.path()))).sum()
}

fn appends(criterion: &mut Criterion) {
    let parent = std::env::var_os("TIDEGATE_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let folder = tempfile::tempdir_in(parent).expect("a directory to write to");
    let (journal, _) = open("main", folder.path(), &Settings::default()).expect("a working disk");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let record = Arc::new(record());
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for waiters in [1, 64] {
        let (processor, wall) = (processor_ns(), Instant::now());
        append(&runtime, &journal, &record, waiters, RECORDS);
        let (processor, wall) = (processor_ns() - processor, wall.elapsed().as_nanos());
        println!(
            "journal/append of {BODY_BYTES} bytes, {waiters} waiting: {} ns processor, {} ns wall \
             per record",
            processor / RECORDS,
            wall / u128::from(RECORDS),
        );
        group.bench_function(format!("append_{waiters}_waiting"), |bench| {
            bench.iter_custom(|records| {
                let began = Instant::now();
                append(&runtime, &journal, &record, waiters, records);
                began.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, appends);
criterion_main!(benches);
