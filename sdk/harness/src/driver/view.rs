//! What checks see: paths into records, `stats()` and the driver's own numbers.
//!
//! In: a path. Out: its value. Nothing here asks an adapter for an opinion: only `stats`, `drops`,
//! `logs` and the last answer come from it.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{Backend, Run, Stop, failed};
use crate::gateway::Sent;
use crate::{check, world};

/// Beacons tell nobody when they have arrived, so a failing check is looked at again for so long.
const LATE: Duration = Duration::from_millis(400);
const LOOK: Duration = Duration::from_millis(20);

impl Run<'_> {
    /// A check that has to hold now.
    pub(super) fn check(&mut self, path: &str, fields: &Map<String, Value>) -> Result<(), Stop> {
        self.quiesce()?;
        let until = Instant::now() + LATE;
        loop {
            let Err(missed) = self.holds(path, fields)? else { return Ok(()) };
            if Instant::now() > until {
                return Err(failed(missed));
            }
            std::thread::sleep(LOOK);
            self.quiesce()?;
        }
    }

    /// Whether a check holds, and if not, why.
    pub(super) fn holds(
        &mut self,
        path: &str,
        fields: &Map<String, Value>,
    ) -> Result<Result<(), String>, Stop> {
        let found = self.look(path)?;
        let mut others = Map::new();
        for name in ["same_as", "other_than"] {
            if let Some(other) = fields.get(name).and_then(Value::as_str)
                && let Some(value) = self.look(other)?
            {
                others.insert(other.to_owned(), value);
            }
        }
        let other = |path: &str| others.get(path).cloned();
        Ok(check::compare(path, found.as_ref(), fields, other))
    }

    fn look(&mut self, path: &str) -> Result<Option<Value>, Stop> {
        let (root, rest) = path.split_once('.').unwrap_or((path, ""));
        let (value, rest) = match root {
            "stats" | "drops" => {
                let (client, rest) = rest.split_once('.').unwrap_or((rest, ""));
                let value = if root == "stats" {
                    self.stats(client)?.map(|raw| world::stats(&raw))
                } else {
                    let all: Vec<&str> = world::PRE.into_iter().chain(world::POST).collect();
                    self.drops(client)?.map(|rows| world::rows(&rows, &all))
                };
                (value, rest)
            }
            "logs" => (Some(json!(self.warnings()?)), rest),
            "last" => (Some(self.last.clone()), rest),
            "now_ms" => (Some(json!(self.now_ms)), rest),
            "wall_ms" => (Some(json!(self.wall_ms())), rest),
            "http" => (Some(json!(self.open_requests())), rest),
            "held" => (Some(json!(self.held())), rest),
            _ => (self.seen(root)?, rest),
        };
        Ok(value.and_then(|value| world::follow(&value, rest)))
    }

    /// What the gateway saw.
    fn seen(&self, root: &str) -> Result<Option<Value>, Stop> {
        let gateway = match &self.target {
            Backend::Scripted(gateway) => gateway,
            Backend::Real(gateway) => {
                return match root {
                    "arrived" | "arrivals" => {
                        let markers = gateway.arrived(root == "arrived");
                        Ok(Some(json!(markers)))
                    }
                    _ => Err(failed(format!("the real gateway does not tell {root}"))),
                };
            }
        };
        let record = gateway.record();
        let shown = |sends: Vec<&Sent>| -> Value {
            sends.into_iter().map(|sent| sent.shown.clone()).collect()
        };
        let value = match root {
            "sends" => shown(record.sends(0)),
            "fresh" => shown(record.sends(self.marked)),
            "gaps" => gaps(&record.sends(0)),
            "arrived" => json!(record.arrived(true)),
            "arrivals" => json!(record.arrived(false)),
            "epochs" => {
                let epochs = record.sends.iter().map(|sent| json!(sent.epoch())).collect();
                return Ok(world::follow(&Value::Array(epochs), "distinct"));
            }
            "fins" => json!(record.fins),
            "configs" => json!(record.configs),
            "others" => json!(record.others),
            "preflights" => json!(record.preflights),
            "broken" => json!(record.broken),
            _ => return Err(failed(format!("there is nothing called {root}"))),
        };
        Ok(Some(value))
    }

    /// `stats()` of a client; nothing if its process has ended as it was told to.
    pub(super) fn stats(&mut self, client: &str) -> Result<Option<Value>, Stop> {
        Ok(self.ask(client, "stats")?.and_then(|answer| answer.get("stats").cloned()))
    }

    /// What `on_drop` was told.
    pub(super) fn drops(&mut self, client: &str) -> Result<Option<Value>, Stop> {
        Ok(self.ask(client, "drops")?.and_then(|answer| answer.get("drops").cloned()))
    }

    fn ask(&mut self, client: &str, op: &str) -> Result<Option<Value>, Stop> {
        let process = self.clients.get(client).cloned();
        let process = process.ok_or_else(|| failed(format!("there is no client {client}")))?;
        let fields = json!({"client": client}).as_object().cloned().unwrap_or_default();
        self.call(&process, op, &fields)
    }

    fn warnings(&mut self) -> Result<u64, Stop> {
        let mut sum = 0;
        for name in self.living() {
            let answer = self.call(&name, "logs", &Map::new())?.unwrap_or_default();
            sum += answer.get("warnings").and_then(Value::as_u64).unwrap_or(0);
        }
        Ok(sum)
    }
}

/// Differences of the moments of sending.
fn gaps(sends: &[&Sent]) -> Value {
    let pairs = sends.iter().zip(sends.iter().skip(1));
    pairs.map(|(one, two)| json!(two.at_ms() - one.at_ms())).collect()
}
