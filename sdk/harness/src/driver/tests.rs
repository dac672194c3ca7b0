//! The driver against a client of a few lines that sends every second, and against lies of it.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::adapter::Line;

/// What the client does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    /// `stats()` does not add up.
    Sum,
    /// An acknowledged event never left.
    Acked,
    /// One event travels with two ids.
    Twice,
    /// A key of an event stands in the wrong place.
    Order,
    /// `track` throws.
    Throws,
    /// A request is said to be open for ever.
    Hangs,
    /// `on_drop` is not told.
    Silent,
    /// It moves its clock as it likes.
    Clock,
}

struct Fake {
    lie: Lie,
    answers: VecDeque<String>,
    now: i64,
    address: String,
    queue: Vec<(i64, i64)>,
    due: Option<i64>,
    seq: i64,
    acked: i64,
    invalid: i64,
    reports: i64,
    dead: bool,
}

const EPOCH: &str = "01980000-0000-7000-8000-0000000000e1";

impl Fake {
    fn new(lie: Lie) -> Self {
        Self {
            lie,
            answers: VecDeque::new(),
            now: 0,
            address: String::new(),
            queue: Vec::new(),
            due: None,
            seq: 0,
            acked: 0,
            invalid: 0,
            reports: 0,
            dead: false,
        }
    }

    fn id(number: i64) -> String {
        format!("01980000-0000-7000-8000-{number:012x}")
    }

    fn ledger(&self) -> Value {
        let held = self.queue.len();
        let pre = if self.invalid > 0 { json!([["invalid", 1, self.invalid]]) } else { json!([]) };
        let lost = i64::from(self.lie == Lie::Sum);
        json!({"tracked": self.seq + self.invalid - lost, "admitted": self.seq,
               "acked": self.acked, "held": held, "pre": pre, "post": []})
    }

    fn send(&mut self) {
        self.reports += 1;
        let ledger = self.ledger();
        let batch = Self::id(self.reports + 4096);
        let pre = &ledger["pre"];
        let mut body = format!(
            "{{\"tidegate\":1,\"batch\":\"{batch}\",\"sdk\":\"fake/1\",\"instance\":\"i\",\
             \"epoch\":\"{EPOCH}\",\"class\":1,\"count\":{},\"report\":{{\"n\":{},\"tracked\":{},\
             \"admitted\":{},\"acked\":{},\"held\":{},\"pre\":{pre},\"post\":[]}}}}\n",
            self.queue.len(),
            self.reports,
            ledger["tracked"],
            self.seq,
            self.acked,
            self.queue.len(),
        );
        for (seq, marker) in &self.queue {
            let other = if self.lie == Lie::Twice { self.reports * 7919 } else { 0 };
            let (id, props) = (Self::id(*marker + other), format!("{{\"n\":{marker}}}"));
            let line = if self.lie == Lie::Order {
                format!(
                    "{{\"seq\":{seq},\"id\":\"{id}\",\"ts\":1,\"type\":\"t\",\"props\":{props}}}\n"
                )
            } else {
                format!(
                    "{{\"id\":\"{id}\",\"seq\":{seq},\"ts\":1,\"type\":\"t\",\"props\":{props}}}\n"
                )
            };
            body.push_str(&line);
        }
        let accepted = self.lie == Lie::Acked || self.post(&body);
        if accepted {
            self.acked += i64::try_from(self.queue.len()).unwrap();
            self.queue.clear();
            self.due = None;
        } else {
            self.due = Some(self.now + 1_000);
        }
    }

    fn post(&self, body: &str) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return false };
        let attempt = 0;
        let head = format!(
            "POST /v1/batch?key=k&class=1&attempt={attempt} HTTP/1.1\r\nhost: x\r\n\
             content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut reply = String::new();
        stream.write_all(head.as_bytes()).is_ok()
            && stream.read_to_string(&mut reply).is_ok()
            && reply.starts_with("HTTP/1.1 200")
    }

    fn act(&mut self, message: &Value) -> Value {
        match message["op"].as_str().unwrap() {
            "hello" => json!({"caps": ["virtual"], "missing": {"fork": "it is a fake"}}),
            "init" => {
                let endpoint = message["options"]["endpoint"].as_str().unwrap();
                self.address = endpoint.trim_start_matches("http://").to_owned();
                json!({"refused": null})
            }
            "track" => {
                let (count, marker) = (&message["count"], message["marker"].as_i64().unwrap());
                for i in 0..count.as_i64().unwrap() {
                    self.seq += 1;
                    self.queue.push((self.seq, marker + i));
                }
                self.due = self.due.or(Some(self.now + 1_000));
                json!({"us": 1})
            }
            "odd" => {
                self.invalid += 1;
                json!({})
            }
            "advance" => {
                let asked = message["ms"].as_i64().unwrap();
                let moved = self.due.map_or(asked, |due| asked.min(due - self.now));
                self.now += moved;
                if self.due.is_some_and(|due| due <= self.now) {
                    self.send();
                }
                json!({"moved_ms": moved + i64::from(self.lie == Lie::Clock)})
            }
            "stats" => {
                let mut stats = self.ledger();
                stats["epoch"] = json!(EPOCH);
                stats["queue_bytes"] = json!(self.queue.len() * 100);
                json!({"stats": stats})
            }
            "drops" if self.lie == Lie::Silent || self.invalid == 0 => json!({"drops": []}),
            "drops" => json!({"drops": [["invalid", 1, self.invalid]]}),
            _ => json!({}),
        }
    }
}

impl Line for Fake {
    fn send(&mut self, line: &str) -> Result<(), Fault> {
        if self.dead {
            return Err(Fault::Gone(String::new()));
        }
        let message: Value = serde_json::from_str(line).unwrap();
        let mut v = self.act(&message);
        v["http"] = json!(i32::from(self.lie == Lie::Hangs && self.seq > 0));
        v["timer_ms"] = json!(self.due.map(|due| due - self.now));
        let threw = self.lie == Lie::Throws && message["op"] == "track";
        let answer = match message["op"].as_str().unwrap() {
            _ if threw => json!({"id": message["id"], "ok": false, "threw": "boom"}),
            "page" => json!({"id": message["id"], "ok": false, "unsupported": "no page"}),
            _ => json!({"id": message["id"], "ok": true, "v": v}),
        };
        self.answers.push_back(answer.to_string());
        Ok(())
    }

    fn receive(&mut self, _: Duration) -> Result<String, Fault> {
        self.answers.pop_front().ok_or(Fault::Silent(0))
    }

    fn kill(&mut self) {
        self.dead = true;
    }
}

/// Runs steps in the scenario language with such a client.
fn play(lie: Lie, text: &str) -> Verdict {
    let head = "id = 'x'\nrules = ['R1']\n";
    let text = if text.contains("needs") { text.to_owned() } else { format!("needs = []\n{text}") };
    let scenario: Scenario = toml::from_str(&format!("{head}{text}")).expect("a scenario");
    let book = Book { scenarios: Vec::new(), defaults: Map::new() };
    let start = |_: &Path| Ok(Adapter::over(Box::new(Fake::new(lie))));
    run(&Setup { book: &book, start: &start, gateway: None }, &scenario)
}

const STORY: &str = "steps = [
    { do = 'init' },
    { do = 'track', type = 't', count = 3 },
    { do = 'odd', what = 'type_empty' },
    { do = 'advance', ms = 999 },
    { check = 'sends.len', is = 0 },
    { do = 'advance', ms = 1 },
    { check = 'sends.*.count', is = [3] },
    { check = 'arrived.len', is = 3 },
    { check = 'sends.0.at_ms', is = 1000 },
    { check = 'stats.a.acked', is = 3 },
    { check = 'stats.a.pre.invalid.1', is = 1 },
]";

#[test]
fn an_honest_client_passes() {
    assert_eq!(play(Lie::None, STORY), Verdict::Passed);
}

#[test]
fn faults_of_the_gateway_reach_the_client_in_virtual_time() {
    let text = "script = [{ status = 503 }, { fault = 'lost' }, { fault = 'reset_before' }]
        steps = [
            { do = 'init' },
            { do = 'track', type = 't', count = 2 },
            { until = 'stats.a.acked', is = 2, ms = 10000 },
            { check = 'now_ms', is = 4000 },
            { check = 'gaps', is = [1000, 2000] },
            { check = 'broken', is = 1 },
            { check = 'arrivals.len', min = 2 },
        ]";
    assert_eq!(play(Lie::None, text), Verdict::Passed);
    let text = "steps = [
            { do = 'init' },
            { do = 'gateway', mode = 'refuse' },
            { do = 'track', type = 't' },
            { do = 'advance', ms = 2500 },
            { check = 'sends.len', is = 0 },
            { do = 'gateway', mode = 'up' },
            { do = 'advance', ms = 500 },
            { check = 'sends.*.at_ms', is = [3000] },
        ]";
    assert_eq!(play(Lie::None, text), Verdict::Passed);
}

#[test]
fn lies_are_found() {
    for (lie, word) in [
        (Lie::Sum, "tracked"),
        (Lie::Acked, "sends"),
        (Lie::Order, "event keys"),
        (Lie::Throws, "threw: boom"),
        (Lie::Silent, "on_drop was told 0"),
        (Lie::Clock, "moved"),
    ] {
        let Verdict::Failed(text) = play(lie, STORY) else { panic!("{lie:?} passed") };
        assert!(text.contains(word), "{lie:?}: {text}");
    }
    let unchecked = "steps = [{ do = 'init' }, { do = 'track', type = 't' }, \
                     { do = 'advance', ms = 1000 }]";
    let Verdict::Failed(text) = play(Lie::Acked, unchecked) else { panic!("it passed") };
    assert!(text.contains("0 arrived, 1 acked"), "{text}");
    let again =
        format!("script = [{{ status = 503 }}]\n{unchecked}").replace("ms = 1000", "ms = 3000");
    let Verdict::Failed(text) = play(Lie::Twice, &again) else { panic!("it passed") };
    assert!(text.contains("travels as two events"), "{text}");
}

#[test]
fn what_never_settles_fails_in_time() {
    let started = std::time::Instant::now();
    let Verdict::Failed(text) = play(Lie::Hangs, STORY) else { panic!("it passed") };
    assert!(text.contains("1 requests are open and 0 held back"), "{text}");
    assert!(started.elapsed() < Duration::from_mins(1));
}

#[test]
fn missing_capabilities_and_operations_are_not_supported() {
    let needs = |need: &str| format!("needs = ['virtual', '{need}']\nsteps = []");
    let reason = Verdict::NotSupported("fork: it is a fake".to_owned());
    assert_eq!(play(Lie::None, &needs("fork")), reason);
    let Verdict::Failed(text) = play(Lie::None, &needs("store")) else { panic!("it passed") };
    assert!(text.contains("does not say whether it has store"), "{text}");
    let page = "steps = [{ do = 'init' }, { do = 'page', event = 'hidden' }]";
    assert_eq!(play(Lie::None, page), Verdict::NotSupported("page: no page".to_owned()));
}

#[test]
fn a_killed_process_answers_no_more() {
    let text = "steps = [
            { do = 'init' },
            { do = 'track', type = 't', count = 2 },
            { do = 'kill' },
            { do = 'advance', ms = 5000 },
            { check = 'sends.len', is = 0 },
            { do = 'start' },
            { do = 'init' },
            { do = 'track', type = 't' },
            { do = 'advance', ms = 1000 },
            { check = 'sends.*.at_ms', is = [6000] },
        ]";
    assert_eq!(play(Lie::None, text), Verdict::Passed);
    let text = "steps = [{ do = 'init' }, { do = 'kill' }, { do = 'track', type = 't' }]";
    assert!(matches!(play(Lie::None, text), Verdict::Failed(_)));
}

#[test]
fn wrong_steps_say_so() {
    for steps in [
        "[{ do = 'dance' }]",
        "[{ check = 'moon', is = 1 }]",
        "[{ do = 'init' }, { check = 'stats.b', is = 1 }]",
        "[{ do = 'init' }, { do = 'advance' }]",
        "[{ check = 'sends.len', iz = 1 }]",
    ] {
        let verdict = play(Lie::None, &format!("steps = {steps}"));
        assert!(matches!(verdict, Verdict::Failed(_)), "{steps}: {verdict:?}");
    }
}
