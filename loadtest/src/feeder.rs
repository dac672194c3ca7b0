//! Makes batches ahead of the load, within a byte budget, and hands them out one by one.
//!
//! Gzip costs more than anything that the gateway does, so as much as possible is made before the
//! clock starts. What is made but never taken was never sent, and nobody asks for it later.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::batch::{Generator, Plan, Sealed};
use crate::process::usage::this_thread_cpu_s;

/// The store of sealed batches and the count of those handed out.
#[derive(Debug)]
pub struct Feeder {
    plan: Plan,
    planned: u64,
    ahead_bytes_max: u64,
    made: AtomicU32,
    queued_bytes: AtomicU64,
    taken: AtomicU64,
    aside: AtomicU64,
    goal: AtomicU64,
    stopped: AtomicBool,
    cpu_us: AtomicU64,
    queue: UnboundedSender<Sealed>,
    queued: Mutex<UnboundedReceiver<Sealed>>,
}

impl Feeder {
    /// For `planned` batches, or for an open number around them if `open_end`.
    pub fn new(plan: Plan, planned: u64, open_end: bool, ahead_bytes_max: u64) -> Self {
        let (queue, queued) = unbounded_channel();
        Self {
            plan,
            planned,
            ahead_bytes_max,
            made: AtomicU32::new(0),
            queued_bytes: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            aside: AtomicU64::new(0),
            goal: AtomicU64::new(if open_end { u64::MAX } else { planned }),
            stopped: AtomicBool::new(false),
            cpu_us: AtomicU64::new(0),
            queue,
            queued: Mutex::new(queued),
        }
    }

    /// Makes batches on all cores until the budget or the plan is reached.
    pub fn fill(&self) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| self.make(|| true));
            }
        });
    }

    /// Makes what is still wanted while the load runs; returns when that has stopped.
    pub fn refill(&self) {
        while !self.is_stopped() {
            self.make(|| !self.is_stopped());
            std::thread::sleep(REFILL);
        }
    }

    /// The right to send one batch, with its number in the order of sending; `None` at the end.
    pub fn ticket(&self) -> Option<u64> {
        let ticket = self.taken.fetch_add(1, Ordering::Relaxed);
        if ticket < self.goal.load(Ordering::Relaxed) && !self.is_stopped() {
            return Some(ticket);
        }
        self.taken.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// The right to a batch beside the order of sending, for those who keep to no rate; `false`
    /// when the load comes to its end.
    pub fn aside(&self) -> bool {
        let open = self.goal.load(Ordering::Relaxed) == u64::MAX && !self.is_stopped();
        if open {
            self.aside.fetch_add(1, Ordering::Relaxed);
        }
        open
    }

    /// The batch for a ticket.
    pub async fn next(&self) -> Option<Sealed> {
        let sealed = self.queued.lock().await.recv().await?;
        self.queued_bytes.fetch_sub(sealed.body.len() as u64, Ordering::Relaxed);
        Some(sealed)
    }

    /// Tickets given so far.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many batches the plan has.
    pub fn planned(&self) -> u64 {
        self.planned
    }

    /// Ends an open plan: `further` batches more, and not fewer than planned.
    pub fn finish(&self, further: u64) {
        self.goal.store(self.planned.max(self.taken() + further), Ordering::Relaxed);
    }

    /// No more tickets, no more retries: the load is over.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// CPU seconds spent on making batches.
    pub fn cpu_s(&self) -> f64 {
        Duration::from_micros(self.cpu_us.load(Ordering::Relaxed)).as_secs_f64()
    }

    fn make(&self, go_on: impl Fn() -> bool) {
        let begun_s = this_thread_cpu_s();
        let mut generator = Generator::new(self.plan.clone());
        while go_on()
            && u64::from(self.made.load(Ordering::Relaxed)) < self.wanted()
            && self.queued_bytes.load(Ordering::Relaxed) < self.ahead_bytes_max
        {
            let sealed = generator.seal(self.made.fetch_add(1, Ordering::Relaxed));
            self.queued_bytes.fetch_add(sealed.body.len() as u64, Ordering::Relaxed);
            if self.queue.send(sealed).is_err() {
                break;
            }
        }
        let spent = Duration::from_secs_f64((this_thread_cpu_s() - begun_s).max(0.0));
        let spent_us = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
        self.cpu_us.fetch_add(spent_us, Ordering::Relaxed);
    }

    fn wanted(&self) -> u64 {
        let aside = self.aside.load(Ordering::Relaxed);
        match self.goal.load(Ordering::Relaxed) {
            u64::MAX => self.planned.max(self.taken() + aside + OPEN_AHEAD),
            goal => goal.saturating_add(aside),
        }
    }
}

const REFILL: Duration = Duration::from_millis(2);
/// How far an open plan is made ahead.
const OPEN_AHEAD: u64 = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { seed: 1, start_ms: 1_767_225_600_000, batch_events: 5, instances: 3 }
    }

    #[test]
    fn gives_every_planned_batch_once() {
        let feeder = Feeder::new(plan(), 30, false, u64::MAX);
        feeder.fill();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut numbers: Vec<u32> = std::iter::from_fn(|| {
            feeder.ticket().map(|_| runtime.block_on(feeder.next()).unwrap().number)
        })
        .collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..30));
        assert_eq!(feeder.taken(), 30);
    }

    #[test]
    fn never_makes_much_more_than_the_budget() {
        let feeder = Feeder::new(plan(), 1_000_000, false, 5000);
        feeder.fill();
        assert!((5000..50_000).contains(&feeder.queued_bytes.load(Ordering::Relaxed)));
    }

    #[test]
    fn an_open_plan_ends_when_it_is_told() {
        let feeder = Feeder::new(plan(), 2, true, u64::MAX);
        assert!((0..10).all(|ticket| feeder.ticket() == Some(ticket)));
        assert!(feeder.aside());
        feeder.finish(3);
        assert!((10..13).all(|ticket| feeder.ticket() == Some(ticket)));
        assert_eq!(feeder.ticket(), None);
        assert!(!feeder.aside());
        feeder.stop();
        assert!(feeder.is_stopped());
        feeder.refill();
    }
}
