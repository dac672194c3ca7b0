//! The closed loop: a gateway under pressure says so, SDKs thin out their bulk events and keep the
//! critical ones, every event says how many it stands for, and a reader gets the truth back.
//!
//! A hash of the instance and the type decides which events are kept, and both are fixed: every
//! run keeps the same ones, so that the verdict needs no luck.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::pressure::{TINY, announce};
use super::support::sdk::Sdk;
use super::support::{Binary, eventually, files};

/// In a gateway as tiny as `pressure`'s, 38 announced bodies are level 1, and 50 of them level 2.
const MORE: &str = r#"
[http]
body_grace_ms = 300000

[[routes]]
types = ["*"]
lane = "all"

[[keys]]
key = "wk_loop"
app = "loop"
kind = "public"
"#;

/// What the operator says is to be kept of class 2 at levels 1 and 2.
const RATES: [f64; 2] = [0.25, 0.1];
/// Bulk events in each phase, each of a type of its own.
const BULK: u64 = 2_000;
/// Critical and normal events in each phase.
const OTHERS: u64 = 300;

/// How many bodies hang, and the level that this makes.
const PHASES: [(usize, u64); 4] = [(0, 0), (38, 1), (50, 2), (0, 0)];

#[test]
fn python_under_pressure_can_be_estimated_from_its_weights() {
    closed_loop("python");
}

#[test]
fn go_under_pressure_can_be_estimated_from_its_weights() {
    closed_loop("go");
}

fn closed_loop(sdk: &str) {
    let mut binary = Binary::prepare(&format!("{TINY}{MORE}"));
    binary.set("TIDEGATE__LIMITS__BODY_MS", "300000");
    binary.set("TIDEGATE__RETRY_MS", "100");
    let rates = |level: usize| json!({"pressure": level, "classes": {"2": RATES[level - 1]}});
    let document = json!({"version": 1, "degrade": [rates(1), rates(2)]});
    let path = binary.write("sdk.json", &document.to_string());
    binary.set("TIDEGATE__SDK__DOCUMENT", &path.display().to_string());
    binary.run();
    let home = tempfile::tempdir().expect("a folder");
    let mut client = Sdk::start(sdk, home.path());
    client.init(None, &options(binary.address()));
    let mut tracked = Tracked::default();
    eventually("the operator's rates are known", || (client.stats()["config"] == 1).then_some(()));
    let mut hanging = Vec::new();
    for (phase, (held, level)) in PHASES.into_iter().enumerate() {
        hanging.resize_with(held, || announce(binary.address(), "&key=wk_loop"));
        // Replies to critical events tell the level; they are never held back.
        eventually(&format!("the client knows level {level}"), || {
            tracked.critical(&mut client, 1);
            (client.stats()["pressure"] == level).then_some(())
        });
        for unit in 0..BULK {
            tracked.one(&mut client, &format!("bulk.{phase}.{unit}"), 2);
        }
        tracked.critical(&mut client, OTHERS);
        client.track("view", 1, OTHERS, tracked.calls);
        tracked.calls += OTHERS;
        assert_eq!(client.stats()["pressure"], level, "it was {level} all the time");
    }
    assert!(client.close(50_000), "{sdk}: {}", client.stats());
    assert_eq!(binary.stop().code(), Some(0));
    judge(sdk, &binary, &tracked);
}

fn options(address: SocketAddr) -> Value {
    json!({
        "key": "wk_loop",
        "endpoint": format!("http://{address}"),
        "instance": "loop-1",
        "sample_by": "instance",
        "batch_events_max": 100,
        "batch_ms": 100,
        "retry_base_ms": 100,
        "retry_cap_ms": 1_000,
    })
}

/// Our own log of what was tracked.
#[derive(Default)]
struct Tracked {
    calls: u64,
    critical: BTreeSet<u64>,
}

impl Tracked {
    fn one(&mut self, client: &mut Sdk, kind: &str, class: u8) {
        client.track(kind, class, 1, self.calls);
        self.calls += 1;
    }

    fn critical(&mut self, client: &mut Sdk, count: u64) {
        client.track("order", 0, count, self.calls);
        self.critical.extend(self.calls..self.calls + count);
        self.calls += count;
    }
}

fn judge(sdk: &str, binary: &Binary, tracked: &Tracked) {
    let stored = files::stored(&binary.data_dir());
    let mut critical = BTreeSet::new();
    let mut weights: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    let mut normal = 0;
    for event in &stored {
        let weight = event.tg["weight"].as_f64().expect("a weight");
        match event.tg["class"].as_u64() {
            Some(2) => {
                let phase = event.text("type").split('.').nth(1).and_then(|n| n.parse().ok());
                weights.entry(phase.expect("a phase")).or_default().push(weight);
            }
            class => {
                assert!((weight - 1.0).abs() < 1e-9, "only bulk is sampled: {}", event.line);
                normal += u64::from(class == Some(1));
                if class == Some(0) {
                    let line: Value = serde_json::from_str(&event.line).expect("JSON");
                    let marker = line["props"]["n"].as_u64().expect("a marker");
                    assert!(critical.insert(marker), "{marker} stands twice");
                }
            }
        }
    }
    assert_eq!(critical, tracked.critical, "every critical event, once");
    assert_eq!(normal, OTHERS * PHASES.len() as u64);
    let mut kept = 0;
    for (phase, (_, level)) in PHASES.into_iter().enumerate() {
        let weights = &weights[&phase];
        kept += weights.len() as u64;
        let rate = if level == 0 { 1.0 } else { RATES[usize::from(level == 2)] };
        assert!(weights.iter().all(|weight| (weight * rate - 1.0).abs() < 1e-6), "phase {phase}");
        estimate(sdk, level, weights);
    }
    ledger(sdk, binary, tracked, kept);
}

/// The sum of the weights is the truth within three standard errors; the weights tell these, too.
fn estimate(sdk: &str, level: u64, weights: &[f64]) {
    let sum: f64 = weights.iter().sum();
    let error = weights.iter().map(|weight| weight * (weight - 1.0)).sum::<f64>().sqrt();
    let truth = f64::from(u32::try_from(BULK).expect("small"));
    let kept = weights.len();
    println!("{sdk}, level {level}: {kept} of {BULK} came, estimate {sum:.0} +- {error:.0}");
    assert!((sum - truth).abs() <= 3.0 * error, "{sdk}, level {level}: {sum} +- {error}");
    assert_eq!(level == 0, weights.len() as u64 == BULK, "sampled only under pressure");
}

/// The books say the same: what is not here was sampled, and nothing else.
fn ledger(sdk: &str, binary: &Binary, tracked: &Tracked, kept: u64) {
    let output = binary.command(&["ledger", "--json"]);
    let books: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &books["closes"]), (Some(0), &json!(true)), "{books:#}");
    let [entry] = &books["epochs"].as_array().expect("epochs")[..] else { panic!("{books:#}") };
    let sampled = BULK * PHASES.len() as u64 - kept;
    let of = |name: &str| entry[name].clone();
    assert_eq!(of("pre"), json!([["sampled", 2, sampled]]), "{sdk}");
    assert_eq!((of("state"), of("post")), (json!("closed"), json!([])));
    assert_eq!(of("tracked"), tracked.calls);
    assert_eq!((of("acked"), of("received")), (of("admitted"), of("admitted")));
    println!("{sdk}: {} tracked, {} acknowledged, {sampled} sampled", tracked.calls, of("acked"));
}
