//! Rows (b) and (c), and the whole pure part of the gateway beside them: on one thread, over a few
//! bodies that stay in its cache, as in the gateway each stage finds warm what the last one wrote.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tidegate::decode::{self, Scratch};
use tidegate::ingest;
use tidegate::model::Coding;
use tidegate::settings::Settings;
use tidegate::split::{self, Rules};

use crate::table::Figure;
use crate::{Load, cpu};

/// Bodies that take turns.
const BODIES: usize = 32;
/// CPU time of one measurement.
const AT_LEAST: Duration = Duration::from_millis(100);

/// The gateway's own decoder, its scratch space reused.
pub(crate) fn inflate(load: &Load) -> anyhow::Result<Figure> {
    let limits = decode::Limits::default();
    let mut scratch = Scratch::default();
    measure(BODIES, |at| {
        let body = load.records.get(at).map_or(&[][..], |record| &record.body);
        let inflated = decode::decode(black_box(body), Coding::Gzip, &limits, &mut scratch)?;
        ensure!(!inflated.is_empty());
        Ok(())
    })
}

/// The gateway's own split, with its validation and without rules.
pub(crate) fn split(load: &Load) -> anyhow::Result<Figure> {
    let (limits, mut scratch) = (decode::Limits::default(), Scratch::default());
    let mut bodies = Vec::new();
    for record in load.records.iter().take(BODIES) {
        let body = decode::decode(&record.body, Coding::Gzip, &limits, &mut scratch)?.to_vec();
        bodies.push((body, record.facts.clone()));
    }
    let (limits, none) = (split::Limits::default(), Rules::default());
    measure(bodies.len(), |at| {
        let (body, facts) = &bodies[at];
        let batch = split::split(black_box(body), facts, Some(facts.class), &limits, &none)?;
        ensure!(batch.rejected.is_empty());
        Ok(())
    })
}

/// Decode, split and route together, as the gateway calls them; for comparison with (b) + (c).
pub(crate) fn refine(load: &Load, settings: &Settings) -> anyhow::Result<Figure> {
    let book = settings.rulebook()?;
    let mut records: Vec<_> = load.records.iter().take(BODIES).cloned().collect();
    measure(records.len(), |at| {
        let record = &mut records[at];
        let class = Some(record.facts.class);
        let (_, routed) = ingest::refine(black_box(record), class, &book, |_, _, _| ())?;
        ensure!(!routed.rows.is_empty());
        Ok(())
    })
}

fn measure(
    count: usize,
    mut once: impl FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<Figure> {
    for at in 0..count {
        once(at)?;
    }
    let (start, before) = (Instant::now(), cpu::this_thread());
    let mut batches = 0;
    loop {
        for at in 0..count {
            once(at)?;
        }
        batches += count;
        let spent = cpu::this_thread().saturating_sub(before);
        if spent >= AT_LEAST {
            return Ok(Figure::of(batches, spent, start.elapsed()));
        }
    }
}
