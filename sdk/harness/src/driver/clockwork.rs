//! Time: settling, advancing timer by timer, waiting for something to become true.
//!
//! In: milliseconds. Out: nothing runs any more that could run without time passing. Real waiting
//! has an end: what does not settle fails the scenario.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{Backend, Run, Stop, failed};

/// How long things may take to settle in real time.
const SETTLE: Duration = Duration::from_secs(10);
/// How often we look.
const LOOK: Duration = Duration::from_millis(1);
/// How often we look at what happens in real time.
const REAL_LOOK: Duration = Duration::from_millis(10);
/// Timers that may be due without time passing; beyond it an SDK turns in a circle.
const ROUNDS_MAX: u32 = 10_000;

impl Run<'_> {
    /// The wall clock.
    pub(super) fn wall_ms(&self) -> i64 {
        self.now_ms + self.wall_off_ms
    }

    /// Lets everything happen that needs no time.
    pub(super) fn quiesce(&mut self) -> Result<(), Stop> {
        if self.real_time() {
            self.read_clock();
            return Ok(());
        }
        for _ in 0..ROUNDS_MAX {
            self.settle()?;
            let due: Vec<String> =
                self.living().into_iter().filter(|name| self.due(name)).collect();
            if due.is_empty() {
                return Ok(());
            }
            for name in due {
                self.call(&name, "advance", &fields(0))?;
            }
        }
        Err(failed("timers of 0 ms never end"))
    }

    fn due(&self, name: &str) -> bool {
        let timer = self.processes.get(name).and_then(|process| process.pulse.timer_ms);
        timer.is_some_and(|ms| ms <= 0)
    }

    /// Waits until no request is open but those that the gateway holds back.
    fn settle(&mut self) -> Result<(), Stop> {
        let until = Instant::now() + SETTLE;
        loop {
            for name in self.living() {
                self.call(&name, "settle", &Map::new())?;
            }
            let quiet = match &self.target {
                Backend::Scripted(gateway) => gateway.quiet(),
                Backend::Real(_) => true,
            };
            if quiet && self.open_requests() == self.held() {
                return Ok(());
            }
            if Instant::now() > until {
                let (open, held) = (self.open_requests(), self.held());
                return Err(failed(format!(
                    "{open} requests are open and {held} held back after {} s",
                    SETTLE.as_secs()
                )));
            }
            thread::sleep(LOOK);
        }
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, ms: i64) -> Result<(), Stop> {
        if self.real_time() {
            thread::sleep(Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
            self.read_clock();
            return Ok(());
        }
        let end = self.now_ms + ms;
        self.quiesce()?;
        while self.now_ms < end {
            self.tick(end)?;
        }
        Ok(())
    }

    /// Goes to the next moment at which something happens, at most to `end`.
    fn tick(&mut self, end: i64) -> Result<(), Stop> {
        let release = match &self.target {
            Backend::Scripted(gateway) => gateway.next_release_ms(),
            Backend::Real(_) => None,
        };
        let timer = self.next_timer_ms().map(|ms| self.now_ms + ms);
        let next = [Some(end), timer, release].into_iter().flatten().min().unwrap_or(end);
        let step = (next - self.now_ms).max(0);
        self.now_ms += step;
        self.tell_time();
        for name in self.living() {
            let answer = self.call(&name, "advance", &fields(step))?;
            let moved =
                answer.as_ref().map(|answer| answer.get("moved_ms").and_then(Value::as_i64));
            if moved.is_some_and(|moved| moved != Some(step)) {
                return Err(failed(format!("process {name} moved {moved:?} ms instead of {step}")));
            }
        }
        self.quiesce()?;
        if let Backend::Scripted(gateway) = &self.target
            && gateway.release_due()
        {
            self.quiesce()?;
        }
        Ok(())
    }

    /// Tells the gateway what time it is.
    pub(super) fn tell_time(&mut self) {
        if let Backend::Scripted(gateway) = &self.target {
            gateway.set_time(self.now_ms, self.wall_ms());
        }
    }

    fn read_clock(&mut self) {
        self.now_ms = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.tell_time();
        if let Backend::Scripted(gateway) = &self.target {
            gateway.release_due();
        }
    }

    /// Advances until a check holds, at most for `ms`.
    pub(super) fn until(&mut self, path: &str, fields: &Map<String, Value>) -> Result<(), Stop> {
        let ms = fields.get("ms").and_then(Value::as_i64);
        let ms = ms.ok_or_else(|| failed("until needs ms"))?;
        self.quiesce()?;
        let end = self.now_ms + ms;
        loop {
            let missed = match self.holds(path, fields)? {
                Ok(()) => return Ok(()),
                Err(missed) => missed,
            };
            if self.now_ms >= end {
                return Err(failed(format!("after {ms} ms {missed}")));
            }
            if self.real_time() {
                thread::sleep(REAL_LOOK);
                self.read_clock();
            } else {
                self.tick(end)?;
            }
        }
    }

    /// Advances until a `flush` or `close` is done, at most for its deadline.
    pub(super) fn await_call(&mut self, timeout_ms: i64) -> Result<(), Stop> {
        // In real time a deadline is kept as well as the machine lets it.
        let grace = if self.real_time() { 2_000 } else { 0 };
        let end = self.now_ms + timeout_ms + grace;
        loop {
            self.quiesce()?;
            self.ask_call()?;
            let done = self.last.get("done").and_then(Value::as_bool);
            if done.is_none_or(|done| done) {
                return Ok(());
            }
            if self.now_ms >= end {
                return Err(failed(format!("it has not ended after {timeout_ms} ms")));
            }
            if self.real_time() {
                thread::sleep(REAL_LOOK);
                self.read_clock();
            } else {
                self.tick(end)?;
            }
        }
    }
}

fn fields(ms: i64) -> Map<String, Value> {
    json!({"ms": ms}).as_object().cloned().unwrap_or_default()
}
