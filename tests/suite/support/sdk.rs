//! A real SDK in a process of its own, driven through its adapter on the real clock.

use std::path::Path;

use harness::adapter::{Adapter, Answer, Manifest, Pages, discover};
use serde_json::{Map, Value, json};

use super::{eventually, root};

/// One process with one client.
pub(crate) struct Sdk {
    adapter: Adapter,
}

impl Sdk {
    /// Starts the adapter of this name; `home` is a folder of its own.
    pub(crate) fn start(name: &str, home: &Path) -> Self {
        let manifest = manifest(name);
        let contract = root().join("sdk/contract");
        let adapter = Adapter::start(&manifest, &contract, home, &Pages::default());
        let adapter = adapter.expect("an adapter");
        let mut sdk = Self { adapter };
        sdk.call("hello", &json!({"clock": "real", "mono_ms": 0, "wall_ms": 0}));
        sdk
    }

    /// Makes the client, with a store in this folder or without one.
    pub(crate) fn init(&mut self, store: Option<&Path>, options: &Value) {
        let store = store.map(|folder| folder.display().to_string());
        let mut fields = json!({"seed": "42", "options": options});
        if let Some(store) = store {
            fields["store"] = json!(store);
        }
        let made = self.call("init", &fields);
        assert!(made["refused"].is_null(), "{made}");
    }

    /// Calls `track` so many times; the props say `n`, from `marker` on.
    pub(crate) fn track(&mut self, kind: &str, class: u8, count: u64, marker: u64) {
        let fields = json!({"type": kind, "class": class, "count": count, "marker": marker});
        self.call("track", &fields);
    }

    /// What it says of itself.
    pub(crate) fn stats(&mut self) -> Value {
        self.call("stats", &json!({}))["stats"].clone()
    }

    /// Closes the client, and waits for the end of that; says whether nothing is held.
    pub(crate) fn close(&mut self, timeout_ms: u64) -> bool {
        let begun = self.call("close", &json!({"timeout_ms": timeout_ms}));
        let call = json!({"call": begun["call"]});
        eventually("the client is closed", || {
            let asked = self.call("call", &call);
            (asked["done"] == true).then(|| asked["result"] == true)
        })
    }

    /// SIGKILL to the process.
    pub(crate) fn kill(mut self) {
        self.adapter.kill();
    }

    fn call(&mut self, op: &str, fields: &Value) -> Value {
        let fields: Map<String, Value> = fields.as_object().cloned().unwrap_or_default();
        match self.adapter.call(op, &fields) {
            Ok(Answer::Done(value)) => value,
            other => panic!("{op}: {other:?}"),
        }
    }
}

fn manifest(name: &str) -> Manifest {
    let all = discover(&root().join("sdk")).expect("manifests");
    all.into_iter().find(|manifest| manifest.name == name).expect("an SDK of this name")
}
