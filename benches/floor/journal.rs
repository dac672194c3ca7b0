//! Row (d1): bodies into the journal and nothing else, as many at once as there are connections.
//!
//! Each append waits for its sync, as the gateway's reply does. Counted are all threads: those who
//! append, and the journal's writer.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tempfile::TempDir;
use tidegate::journal::{self, Draft, Journal};
use tidegate::model::Record;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::arguments::Arguments;
use crate::table::Figure;
use crate::{Load, cpu};

/// A journal of its own.
pub(crate) struct Bare {
    runtime: Runtime,
    journal: Journal,
    at_once: usize,
    _dir: TempDir,
}

impl Bare {
    /// Opens it, with the gateway's default settings.
    pub(crate) fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir_in(&arguments.dir)?;
        let (journal, _) = journal::open("main", dir.path(), &journal::Settings::default())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, journal, at_once: arguments.connections, _dir: dir })
    }

    /// What it spends on these batches. Nothing else may run in this process.
    pub(crate) fn round(&self, load: &Load, range: Range<usize>) -> anyhow::Result<Figure> {
        let (start, before) = (Instant::now(), cpu::this_process());
        let batches = range.len();
        self.runtime.block_on(async {
            let next = Arc::new(AtomicUsize::new(range.start));
            let mut open = JoinSet::new();
            for _ in 0..self.at_once {
                let (journal, next) = (self.journal.clone(), Arc::clone(&next));
                open.spawn(turns(journal, Arc::clone(&load.records), next, range.end));
            }
            while let Some(done) = open.join_next().await {
                done??;
            }
            anyhow::Ok(())
        })?;
        let spent = cpu::this_process().saturating_sub(before);
        Ok(Figure::of(batches, spent, start.elapsed()))
    }
}

async fn turns(
    journal: Journal,
    records: Arc<[Record]>,
    next: Arc<AtomicUsize>,
    end: usize,
) -> anyhow::Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(record) = records.get(..end).and_then(|all| all.get(number)) else {
            return Ok(());
        };
        journal.append(Draft::Record { pending: false, owed: &[], record }, None).await?;
    }
}
