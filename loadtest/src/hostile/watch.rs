//! Looks at a process from outside: CPU and resident memory, many times a second.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::process::Usage;

const EVERY: Duration = Duration::from_millis(50);

/// A watcher, at work until it is dropped.
pub struct Watch {
    done: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<(Instant, f64, u64)>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What the process took within some time.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// CPU seconds per second.
    pub cpu: f64,
    /// The most resident memory that was seen.
    pub resident_mib_max: f64,
    /// The last that was seen.
    pub resident_mib: f64,
}

impl Watch {
    /// Begins to look at a process.
    pub fn start(process: u32) -> Self {
        let (done, seen) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let thread = {
            let (done, seen): (_, Arc<Mutex<Vec<_>>>) = (Arc::clone(&done), Arc::clone(&seen));
            std::thread::spawn(move || {
                while !done.load(Ordering::Acquire) {
                    if let (Some(usage), Some(resident)) = (Usage::of(process), resident(process)) {
                        let row = (Instant::now(), usage.cpu_s, resident);
                        seen.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                    }
                    std::thread::sleep(EVERY);
                }
            })
        };
        Self { done, seen, thread: Some(thread) }
    }

    /// What it took between two moments.
    pub fn between(&self, from: Instant, to: Instant) -> Took {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let rows: Vec<_> = seen.iter().filter(|(at, ..)| (from..to).contains(at)).collect();
        let mut took = Took { cpu: 0.0, resident_mib_max: 0.0, resident_mib: 0.0 };
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        if let (Some((began, first, _)), Some((ended, last, resident))) =
            (rows.first(), rows.last())
        {
            let seconds = ended.duration_since(*began).as_secs_f64().max(0.001);
            took.cpu = (last - first) / seconds;
            took.resident_mib = mib(*resident);
        }
        took.resident_mib_max =
            rows.iter().map(|(_, _, resident)| mib(*resident)).fold(0.0, f64::max);
        took
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the watcher did not end well");
        }
    }
}

/// Resident memory now, in bytes.
fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_this_process() {
        let from = Instant::now();
        let watch = Watch::start(std::process::id());
        let seen = crate::clock::poll_until(Duration::from_secs(10), || {
            let took = watch.between(from, Instant::now());
            (took.resident_mib_max > 1.0).then_some(took)
        });
        assert!(seen.is_some_and(|took| took.resident_mib <= took.resident_mib_max));
    }
}
