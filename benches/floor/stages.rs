//! Rows (b) and (c), and the whole pure part of the gateway beside them: the round's own batches,
//! each once, on as many threads as the gateway has workers.
//!
//! As many threads, because two busy cores share caches and memory, and with them every thread is
//! slower; each batch once, because a branch predictor learns bodies that come again. A few at a
//! time, so that a stage finds warm what the one before it wrote, as in the gateway.

use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tidegate::decode::{self, Scratch};
use tidegate::ingest;
use tidegate::model::{Coding, Record};
use tidegate::settings::Settings;
use tidegate::split::{self, Rules};

use crate::table::Figure;
use crate::{Load, cpu};

/// Batches between two looks at the clock.
const CHUNK: usize = 8;

/// The gateway's own decoder, its scratch space reused.
pub(crate) fn inflate(load: &Load, range: Range<usize>, threads: usize) -> anyhow::Result<Figure> {
    let limits = decode::Limits::default();
    measure(
        load,
        range,
        threads,
        |record, _| Ok(record),
        |record, scratch| {
            let inflated = decode::decode(black_box(&record.body), Coding::Gzip, &limits, scratch)?;
            ensure!(!inflated.is_empty());
            Ok(())
        },
    )
}

/// The gateway's own split, with its validation and without rules.
pub(crate) fn split(load: &Load, range: Range<usize>, threads: usize) -> anyhow::Result<Figure> {
    let (decoding, splitting) = (decode::Limits::default(), split::Limits::default());
    let none = Rules::default();
    let inflate = |record: Record, scratch: &mut Scratch| {
        let body = decode::decode(&record.body, Coding::Gzip, &decoding, scratch)?.to_vec();
        Ok((body, record.facts))
    };
    measure(load, range, threads, inflate, |(body, facts), _| {
        let class = Some(facts.class);
        let batch = split::split(black_box(body), facts, class, &splitting, &none)?;
        ensure!(batch.rejected.is_empty());
        Ok(())
    })
}

/// Decode, split and route together, as the gateway calls them; for comparison with (b) + (c).
pub(crate) fn refine(
    load: &Load,
    range: Range<usize>,
    settings: &Settings,
) -> anyhow::Result<Figure> {
    let book = settings.rulebook()?;
    measure(
        load,
        range,
        settings.workers(),
        |record, _| Ok(record),
        |record, _| {
            let class = Some(record.facts.class);
            let (_, routed) = ingest::refine(black_box(record), class, &book, |_, _, _| ())?;
            ensure!(!routed.rows.is_empty());
            Ok(())
        },
    )
}

/// Runs `once` on what `prepare` makes of each batch; only `once` is counted.
fn measure<T>(
    load: &Load,
    range: Range<usize>,
    threads: usize,
    prepare: impl Fn(Record, &mut Scratch) -> anyhow::Result<T> + Sync,
    once: impl Fn(&mut T, &mut Scratch) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Figure> {
    let records = &load.records[range];
    let run = |share: &[Record]| {
        let (mut scratch, mut spent) = (Scratch::default(), Duration::ZERO);
        for chunk in share.chunks(CHUNK) {
            let ready = chunk.iter().map(|record| prepare(record.clone(), &mut scratch));
            let mut ready = ready.collect::<anyhow::Result<Vec<_>>>()?;
            let before = cpu::this_thread();
            for one in &mut ready {
                once(one, &mut scratch)?;
            }
            spent += cpu::this_thread().saturating_sub(before);
        }
        anyhow::Ok(spent)
    };
    let start = Instant::now();
    let spent: anyhow::Result<Duration> = std::thread::scope(|scope| {
        let shares = records.chunks(records.len().div_ceil(threads.max(1)));
        let run = &run;
        let threads: Vec<_> = shares.map(|share| scope.spawn(move || run(share))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a stage panicked")).sum()
    });
    Ok(Figure::of(records.len(), spent?, start.elapsed()))
}
