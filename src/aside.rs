//! Work on large bodies, aside from everybody else: a few threads of low priority and one queue.
//!
//! In: a closure. Out: what it gives. A thread that answers requests must never be kept busy by one
//! body, nor share its processor with many: while a thousand large ones wait, small ones are served.
//! The queue is as long as the memory budget's share of large bodies lets it be. Must never lose a
//! job, nor look into it.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, available_parallelism};

use tokio::sync::oneshot;

use crate::telemetry::metrics as names;

/// How much the threads stand back behind the others; 19 is the most.
const NICE: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when this is gone and the queue is empty.
pub struct Aside {
    jobs: Sender<Job>,
}

impl Aside {
    /// Starts a thread for every second processor.
    pub fn start() -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..(available_parallelism().map_or(1, NonZero::get) / 2).max(1) {
            let queue = Arc::clone(&queue);
            Builder::new().name(format!("aside-{number}")).spawn(move || work(&queue))?;
        }
        metrics::gauge!(names::ASIDE).set(0.0);
        Ok(Self { jobs })
    }

    /// Has a job done; nothing comes back if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let waiting = Waiting::begin();
        let (done, told) = oneshot::channel();
        let job = Box::new(move || {
            let _waiting = waiting;
            // Nobody may be there any more to hear it.
            done.send(job()).map_or_else(drop, drop);
        });
        self.jobs.send(job).ok()?;
        told.await.ok()
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    // Of this thread alone, on Linux. Without it everything works, only less evenly.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "large bodies have the same priority as everything else");
    }
    loop {
        // The lock is held while waiting, and given up before the job is done.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
            tracing::error!("a large body's job panicked");
        }
    }
}

/// A job that is not over; counted.
struct Waiting;

impl Waiting {
    fn begin() -> Self {
        metrics::gauge!(names::ASIDE).increment(1.0);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        metrics::gauge!(names::ASIDE).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_job_is_done_and_a_panic_ends_only_its_own() {
        let aside = Aside::start().expect("threads");
        let jobs = (0..100).map(|number| aside.run(move || number));
        let done = futures_util::future::join_all(jobs).await;
        assert_eq!(done, (0..100).map(Some).collect::<Vec<_>>());
        let panics: Option<()> = aside.run(|| std::panic::resume_unwind(Box::new(1))).await;
        assert_eq!(panics, None);
        assert_eq!(aside.run(|| 7).await, Some(7));
    }

    #[tokio::test]
    async fn they_stand_back_behind_the_others() {
        let aside = Aside::start().expect("threads");
        let there = aside.run(|| rustix::process::getpriority_process(None)).await;
        let here = rustix::process::getpriority_process(None).expect("this thread");
        let there = there.expect("done").expect("that thread");
        assert_eq!(there, NICE.max(here));
    }
}
