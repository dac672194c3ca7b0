//! Adapters: the programs that drive the SDKs, one line of JSON for each operation.
//!
//! In: a manifest. Out: answers to calls. Must never wait for ever: an adapter that does not answer
//! is killed, and the scenario fails.

mod manifest;
mod pages;
mod stdio;
mod websocket;

use std::path::Path;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

pub use manifest::{Manifest, Transport, discover};
pub use pages::Pages;

/// How long one operation may take in real time.
pub const ANSWER: Duration = Duration::from_mins(1);

/// Lines to an adapter and back. The tests have one that is no process.
pub trait Line {
    /// Sends one line.
    fn send(&mut self, line: &str) -> Result<(), Fault>;
    /// The next line, or an error if there is none for so long.
    fn receive(&mut self, patience: Duration) -> Result<String, Fault>;
    /// SIGKILL, and waits until it is gone.
    fn kill(&mut self);
}

/// Why an adapter cannot be used any further.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// Its process has ended or its connection is closed.
    #[error("the adapter is gone{0}")]
    Gone(String),
    /// It does not answer.
    #[error("the adapter has not answered for {0} s")]
    Silent(u64),
    /// It answered something else.
    #[error("the adapter answered {0:?}")]
    Nonsense(String),
    /// It cannot be started.
    #[error("the adapter cannot be started: {0}")]
    Start(String),
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It was done.
    Done(Value),
    /// The language cannot do it.
    Unsupported(String),
    /// A public call of the SDK threw.
    Threw(String),
    /// The adapter could not do it.
    Error(String),
}

/// One running adapter.
pub struct Adapter {
    line: Box<dyn Line>,
    next: u64,
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Adapter({} calls)", self.next)
    }
}

impl Adapter {
    /// Starts the program of a manifest, or takes a new page of a browser that waits in `pages`.
    /// `home` is a folder of its own, kept between its lives.
    pub fn start(
        manifest: &Manifest,
        contract: &Path,
        home: &Path,
        pages: &Pages,
    ) -> Result<Self, Fault> {
        let line: Box<dyn Line> = match manifest.transport {
            Transport::Stdio => Box::new(stdio::Stdio::start(manifest, contract, home)?),
            Transport::Websocket => {
                Box::new(websocket::Page::start(manifest, contract, home, pages)?)
            }
        };
        Ok(Self::over(line))
    }

    /// Speaks over a line that is there already.
    pub fn over(line: Box<dyn Line>) -> Self {
        Self { line, next: 1 }
    }

    /// Connects to a forked child.
    pub fn child(port: u16) -> Result<Self, Fault> {
        Ok(Self::over(Box::new(stdio::Socket::connect(port)?)))
    }

    /// One operation.
    pub fn call(&mut self, op: &str, fields: &Map<String, Value>) -> Result<Answer, Fault> {
        let id = self.next;
        self.next += 1;
        let mut message = fields.clone();
        message.insert("id".to_owned(), json!(id));
        message.insert("op".to_owned(), json!(op));
        self.line.send(&Value::Object(message).to_string())?;
        let line = self.line.receive(ANSWER)?;
        read(&line, id).ok_or(Fault::Nonsense(line.chars().take(300).collect()))
    }

    /// A vector; its input travels as it is written, digit for digit.
    pub fn vector(&mut self, function: &str, given: &RawValue) -> Result<Answer, Fault> {
        let id = self.next;
        self.next += 1;
        let (name, given) = (json!(function), given.get());
        let line = format!(r#"{{"id":{id},"op":"vec","function":{name},"in":{given}}}"#);
        self.line.send(&line)?;
        let line = self.line.receive(ANSWER)?;
        read(&line, id).ok_or(Fault::Nonsense(line.chars().take(300).collect()))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.line.kill();
    }
}

fn read(line: &str, id: u64) -> Option<Answer> {
    let answer: Value = serde_json::from_str(line).ok()?;
    if answer.get("id")?.as_u64()? != id {
        return None;
    }
    if answer.get("ok")?.as_bool()? {
        return Some(Answer::Done(answer.get("v").cloned().unwrap_or(json!({}))));
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    text("unsupported")
        .map(Answer::Unsupported)
        .or_else(|| text("threw").map(Answer::Threw))
        .or_else(|| text("error").map(Answer::Error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_by_the_letter() {
        let done = Answer::Done(json!({"http": 0}));
        assert_eq!(read(r#"{"id":3,"ok":true,"v":{"http":0}}"#, 3), Some(done));
        assert_eq!(read(r#"{"id":3,"ok":true}"#, 3), Some(Answer::Done(json!({}))));
        let threw = Answer::Threw("x".to_owned());
        assert_eq!(read(r#"{"id":3,"ok":false,"threw":"x"}"#, 3), Some(threw));
        for line in [r#"{"id":4,"ok":true}"#, "x", r#"{"id":3}"#, r#"{"id":3,"ok":false}"#] {
            assert_eq!(read(line, 3), None, "{line}");
        }
    }
}
