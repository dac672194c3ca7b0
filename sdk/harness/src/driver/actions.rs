//! The steps that do something, one function each.
//!
//! In: a step's name and fields. Out: the adapter or the gateway was told. A field that an operation
//! of the adapter has passes through; the driver adds what only it knows: addresses, stores, markers.

use serde_json::{Map, Value, json};

use super::spoil::spoil;
use super::{Backend, Run, Stop, failed};
use crate::gateway::Reply;
use crate::scenario::Step;

impl Run<'_> {
    /// One step.
    pub(super) fn act(&mut self, action: &str, step: &Step) -> Result<(), Stop> {
        let fields = &step.fields;
        match action {
            "init" => self.init(fields)?,
            "track" => self.track(fields)?,
            "advance" => self.advance(integer(fields, "ms")?)?,
            "wall" => self.wall(fields)?,
            "suspend" => self.suspend(fields)?,
            "flush" | "close" => self.begin(action, fields)?,
            "call" => self.ask_call()?,
            "opt_out" | "opt_in" => {
                self.erased = true;
                self.pass(action, fields)?;
            }
            "crash_at" | "exit" => {
                let process = self.process(fields);
                self.doom(&process);
                self.pass(action, fields)?;
            }
            "odd" | "net" | "page" | "disk" | "beacon" => self.pass(action, fields)?,
            "fork" => self.fork(fields)?,
            "gateway" => self.switch(text(fields, "mode"))?,
            "script" | "config" => self.more_replies(action, fields)?,
            "release" => self.scripted()?.release(),
            "kill" => {
                let process = self.process(fields);
                self.kill(&process)?;
            }
            "start" => {
                let process = self.process(fields);
                self.start_process(&process)?;
            }
            "spoil" => spoil(&self.folder("store"), text(fields, "how"))?,
            "mark" => self.marked = self.scripted()?.record().sends.len(),
            "repeat" => self.repeat(step)?,
            _ => return Err(failed(format!("there is no step {action}"))),
        }
        self.quiesce()
    }

    /// The process that a step is about: named, the client's, or the first.
    fn process(&self, fields: &Map<String, Value>) -> String {
        let named = fields.get("process").and_then(Value::as_str).map(str::to_owned);
        let client = self.clients.get(client(fields)).cloned();
        // A step that names a process and no client is about that process.
        named.or(client).unwrap_or_else(|| "1".to_owned())
    }

    fn pass(&mut self, op: &str, fields: &Map<String, Value>) -> Result<(), Stop> {
        let process = self.process(fields);
        let mut fields = fields.clone();
        fields.remove("process");
        fields.entry("client").or_insert(json!("a"));
        if let Some(answer) = self.call(&process, op, &fields)? {
            self.last = answer;
        }
        Ok(())
    }

    fn init(&mut self, fields: &Map<String, Value>) -> Result<(), Stop> {
        let name = client(fields).to_owned();
        let process = fields.get("process").and_then(Value::as_str).unwrap_or("1").to_owned();
        let mut options = self.setup.book.defaults.clone();
        options.extend(self.scenario.options.clone());
        if let Some(Value::Object(further)) = fields.get("options") {
            options.extend(further.clone());
        }
        let scheme = fields.get("scheme").and_then(Value::as_str).unwrap_or("http");
        let path = text(fields, "endpoint_path");
        let address = match &self.target {
            Backend::Scripted(gateway) => gateway.address(),
            Backend::Real(gateway) => gateway.address(),
        };
        options.entry("endpoint").or_insert(json!(format!("{scheme}://{address}{path}")));
        if self.options.is_empty() {
            self.options.clone_from(&options);
        }
        let seed = fields.get("seed").and_then(Value::as_str).unwrap_or(&self.scenario.seed);
        let mut message = Map::new();
        message.insert("client".to_owned(), json!(name));
        message.insert("seed".to_owned(), json!(seed));
        message.insert("options".to_owned(), Value::Object(options));
        if fields.get("store") == Some(&json!(true)) {
            message.insert("store".to_owned(), json!(self.folder("store")));
        }
        for hook in ["before_send", "on_drop"] {
            if let Some(hooked) = fields.get(hook) {
                message.insert(hook.to_owned(), hooked.clone());
            }
        }
        self.clients.insert(name, process.clone());
        if let Some(answer) = self.call(&process, "init", &message)? {
            if answer.get("refused").is_some_and(|refused| !refused.is_null()) {
                self.clients.remove(client(fields));
            }
            self.last = answer;
        }
        Ok(())
    }

    fn track(&mut self, fields: &Map<String, Value>) -> Result<(), Stop> {
        let count = fields.get("count").and_then(Value::as_i64).unwrap_or(1);
        let mut message = fields.clone();
        message.insert("marker".to_owned(), json!(self.next_marker));
        message.insert("count".to_owned(), json!(count));
        if let Some(bytes) = message.remove("pad_bytes").as_ref().and_then(Value::as_u64) {
            let pad = "x".repeat(usize::try_from(bytes).unwrap_or(0));
            let props = message.entry("props").or_insert(json!({}));
            props["pad"] = json!(pad);
        }
        // Its own log comes first: what was under way when a process died may have arrived.
        for marker in self.next_marker..self.next_marker + count {
            self.tracked.insert(marker, text(fields, "type").to_owned());
        }
        self.next_marker += count;
        self.pass("track", &message)
    }

    fn wall(&mut self, fields: &Map<String, Value>) -> Result<(), Stop> {
        let by = match fields.get("to_ms").and_then(Value::as_i64) {
            Some(to) => to - self.wall_ms(),
            None => integer(fields, "by_ms")?,
        };
        self.wall_off_ms += by;
        self.tell_time();
        let to = json!({"to_ms": self.wall_ms()}).as_object().cloned().unwrap_or_default();
        for name in self.living() {
            self.call(&name, "wall", &to)?;
        }
        Ok(())
    }

    fn suspend(&mut self, fields: &Map<String, Value>) -> Result<(), Stop> {
        let (mono, wall) = (integer(fields, "mono_ms")?, integer(fields, "wall_ms")?);
        self.now_ms += mono;
        self.wall_off_ms += wall - mono;
        self.tell_time();
        for name in self.living() {
            self.call(&name, "suspend", fields)?;
        }
        Ok(())
    }

    fn begin(&mut self, op: &str, fields: &Map<String, Value>) -> Result<(), Stop> {
        let process = self.process(fields);
        let timeout_ms = integer(fields, "timeout_ms")?;
        let mut message = fields.clone();
        message.remove("process");
        message.remove("wait");
        message.entry("client").or_insert(json!("a"));
        let Some(answer) = self.call(&process, op, &message)? else { return Ok(()) };
        let number = answer.get("call").and_then(Value::as_u64);
        let number = number.ok_or_else(|| failed(format!("{op} gave no number of its call")))?;
        self.call = Some((process, number));
        if fields.get("wait") == Some(&json!(false)) { Ok(()) } else { self.await_call(timeout_ms) }
    }

    /// How the last `flush` or `close` stands.
    pub(super) fn ask_call(&mut self) -> Result<(), Stop> {
        let (process, number) = self.call.clone().ok_or_else(|| failed("nothing was begun"))?;
        let fields = json!({"call": number}).as_object().cloned().unwrap_or_default();
        self.last = self.call(&process, "call", &fields)?.unwrap_or_default();
        Ok(())
    }

    fn fork(&mut self, fields: &Map<String, Value>) -> Result<(), Stop> {
        let child = text(fields, "process").to_owned();
        let mut message = fields.clone();
        message.remove("process");
        let parent = self.process(&message);
        let answer = self.call(&parent, "fork", &message)?.unwrap_or_default();
        let port = answer.get("port").and_then(Value::as_u64);
        let port = port.and_then(|port| u16::try_from(port).ok());
        self.adopt_child(&child, port.ok_or_else(|| failed("fork gave no port"))?)
    }

    fn switch(&mut self, mode: &str) -> Result<(), Stop> {
        let done = match (&mut self.target, mode) {
            (Backend::Scripted(gateway), "up") => gateway.up().map_err(|error| error.to_string()),
            (Backend::Scripted(gateway), "refuse") => {
                gateway.refuse();
                Ok(())
            }
            (Backend::Real(gateway), "up") => gateway.up().map_err(|error| error.to_string()),
            (Backend::Real(gateway), "refuse") => {
                gateway.kill();
                Ok(())
            }
            _ => Err(format!("a gateway has no mode {mode:?}")),
        };
        done.map_err(failed)
    }

    fn more_replies(&mut self, action: &str, fields: &Map<String, Value>) -> Result<(), Stop> {
        let replies = fields.get("replies").cloned().unwrap_or_default();
        let replies: Vec<Reply> =
            serde_json::from_value(replies).map_err(|error| failed(error.to_string()))?;
        let gateway = self.scripted()?;
        if action == "script" {
            gateway.script(&replies);
        } else {
            gateway.config(&replies);
        }
        Ok(())
    }

    fn repeat(&mut self, step: &Step) -> Result<(), Stop> {
        for _ in 0..integer(&step.fields, "times")? {
            for inner in &step.steps {
                self.step(inner)?;
            }
        }
        Ok(())
    }

    fn scripted(&self) -> Result<&crate::gateway::Gateway, Stop> {
        match &self.target {
            Backend::Scripted(gateway) => Ok(gateway),
            Backend::Real(_) => Err(failed("the real gateway follows no script")),
        }
    }
}

fn client(fields: &Map<String, Value>) -> &str {
    fields.get("client").and_then(Value::as_str).unwrap_or("a")
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn integer(fields: &Map<String, Value>, name: &str) -> Result<i64, Stop> {
    let value = fields.get(name).and_then(Value::as_i64);
    value.ok_or_else(|| failed(format!("the step needs {name}")))
}
