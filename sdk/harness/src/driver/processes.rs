//! The adapters of a scenario: started, called, killed.
//!
//! In: names of processes. Out: answers, and each one's pulse. A process that ends when it was told
//! to crash is no failure; one that ends otherwise is.

use serde_json::{Map, Value, json};

use super::{Backend, Run, Stop, failed};
use crate::adapter::{Adapter, Answer, Fault};

/// One adapter.
pub(super) struct Process {
    adapter: Adapter,
    pub(super) alive: bool,
    /// It was told to crash, or to end.
    pub(super) doomed: bool,
    pub(super) pulse: Pulse,
}

/// What an adapter says of itself with every answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pulse {
    pub(super) http: u64,
    pub(super) timer_ms: Option<i64>,
}

impl Pulse {
    fn read(answer: &Value) -> Self {
        let http = answer.get("http").and_then(Value::as_u64).unwrap_or(0);
        Self { http, timer_ms: answer.get("timer_ms").and_then(Value::as_i64) }
    }
}

impl Run<'_> {
    /// Starts a process and asks what it can do.
    pub(super) fn start_process(&mut self, name: &str) -> Result<(), Stop> {
        if self.processes.get(name).is_some_and(|process| process.alive) {
            return Err(failed(format!("process {name} lives already")));
        }
        let home = self.folder(&format!("home-{name}"));
        std::fs::create_dir_all(&home).map_err(|error| failed(error.to_string()))?;
        let adapter = (self.setup.start)(&home).map_err(|fault| failed(fault.to_string()))?;
        self.adopt(name, adapter);
        self.lives += 1;
        let clock = if self.real_time() { "real" } else { "virtual" };
        let fields = json!({"clock": clock, "mono_ms": self.now_ms, "wall_ms": self.wall_ms()});
        let hello = self.call(name, "hello", &fields.as_object().cloned().unwrap_or_default())?;
        self.supported(&hello.unwrap_or_default())
    }

    /// Takes a forked child in.
    pub(super) fn adopt_child(&mut self, name: &str, port: u16) -> Result<(), Stop> {
        let adapter = Adapter::child(port).map_err(|fault| failed(fault.to_string()))?;
        self.adopt(name, adapter);
        Ok(())
    }

    fn adopt(&mut self, name: &str, adapter: Adapter) {
        let process = Process { adapter, alive: true, doomed: false, pulse: Pulse::default() };
        self.processes.insert(name.to_owned(), process);
    }

    fn supported(&self, hello: &Value) -> Result<(), Stop> {
        let list = hello.get("caps").and_then(Value::as_array).cloned().unwrap_or_default();
        let has = |need: &String| list.contains(&json!(need));
        if let Some(need) = self.scenario.needs.iter().find(|need| !has(need)) {
            let reason = hello.pointer(&format!("/missing/{need}")).and_then(Value::as_str);
            return Err(match reason {
                Some(reason) => Stop::Unsupported(format!("{need}: {reason}")),
                None => failed(format!("the adapter does not say whether it has {need}")),
            });
        }
        match self.scenario.without.iter().find(|need| has(need)) {
            Some(other) => Err(Stop::Unsupported(format!("does not apply with {other}"))),
            None => Ok(()),
        }
    }

    /// One operation; nothing if the process ended as it was told to.
    pub(super) fn call(
        &mut self,
        name: &str,
        op: &str,
        fields: &Map<String, Value>,
    ) -> Result<Option<Value>, Stop> {
        let Some(process) = self.processes.get_mut(name) else {
            return Err(failed(format!("there is no process {name}")));
        };
        if !process.alive {
            // How many steps it takes until a crash point is reached is the SDK's own affair.
            let dead = || failed(format!("process {name} does not live"));
            return if process.doomed { Ok(None) } else { Err(dead()) };
        }
        match process.adapter.call(op, fields) {
            Ok(Answer::Done(value)) => {
                process.pulse = Pulse::read(&value);
                Ok(Some(value))
            }
            Ok(Answer::Unsupported(why)) => Err(Stop::Unsupported(format!("{op}: {why}"))),
            Ok(Answer::Threw(what)) => Err(failed(format!("{op} threw: {what}"))),
            Ok(Answer::Error(what)) => Err(failed(format!("{op}: the adapter says: {what}"))),
            Err(Fault::Gone(_)) if process.doomed => {
                self.bury(name);
                Ok(None)
            }
            Err(fault) => {
                process.adapter.kill();
                process.alive = false;
                Err(failed(format!("{op}: {fault}")))
            }
        }
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self, name: &str) -> Result<(), Stop> {
        if !self.processes.get(name).is_some_and(|process| process.alive || process.doomed) {
            return Err(failed(format!("process {name} does not live")));
        }
        self.bury(name);
        Ok(())
    }

    fn bury(&mut self, name: &str) {
        if let Some(process) = self.processes.get_mut(name) {
            process.adapter.kill();
            process.alive = false;
            process.pulse = Pulse::default();
        }
    }

    /// Marks a process whose end is expected from now on.
    pub(super) fn doom(&mut self, name: &str) {
        if let Some(process) = self.processes.get_mut(name) {
            process.doomed = true;
        }
    }

    /// Names of the processes that live.
    pub(super) fn living(&self) -> Vec<String> {
        let alive = self.processes.iter().filter(|(_, process)| process.alive);
        alive.map(|(name, _)| name.clone()).collect()
    }

    /// Whether a client's process lives.
    pub(super) fn lives_on(&self, client: &str) -> bool {
        let process = self.clients.get(client).and_then(|name| self.processes.get(name));
        process.is_some_and(|process| process.alive)
    }

    /// Requests that are open according to the adapters.
    pub(super) fn open_requests(&self) -> u64 {
        self.processes.values().map(|process| process.pulse.http).sum()
    }

    /// The earliest timer of all.
    pub(super) fn next_timer_ms(&self) -> Option<i64> {
        self.processes.values().filter_map(|process| process.pulse.timer_ms).min()
    }

    /// Requests that the gateway holds back.
    pub(super) fn held(&self) -> u64 {
        match &self.target {
            Backend::Scripted(gateway) => gateway.held() as u64,
            Backend::Real(_) => 0,
        }
    }
}
