//! Vectors through an adapter: every pure function's cases against what the SDK answers.
//!
//! In: `vectors/*.json` and an adapter. Out: counts and faults by function.

use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::adapter::{Adapter, Answer, Fault};
use crate::check::equal;

/// What became of one function's vectors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Name of the function.
    pub function: String,
    /// Right answers.
    pub passed: usize,
    /// Cases that the language cannot express, with the last reason.
    pub unsupported: usize,
    /// Why not.
    pub reason: String,
    /// Wrong answers.
    pub failed: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    functions: Vec<Function>,
}

#[derive(Deserialize)]
struct Function {
    function: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(rename = "in")]
    given: Box<RawValue>,
    out: Value,
}

/// Asks for every case.
pub fn run(adapter: &mut Adapter, dir: &Path) -> anyhow::Result<Vec<Outcome>> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)?.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let hello = json!({"clock": "virtual", "mono_ms": 0, "wall_ms": 0});
    adapter.call("hello", &hello.as_object().cloned().unwrap_or_default())?;
    let mut outcomes = Vec::new();
    for path in paths {
        let file: File = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        for function in file.functions {
            outcomes.push(one(adapter, &function)?);
        }
    }
    Ok(outcomes)
}

fn one(adapter: &mut Adapter, function: &Function) -> Result<Outcome, Fault> {
    let mut outcome = Outcome { function: function.function.clone(), ..Outcome::default() };
    for case in &function.cases {
        match adapter.vector(&function.function, &case.given)? {
            Answer::Done(answer) => {
                let out = answer.get("out").cloned().unwrap_or_default();
                if right(&case.out, &out) {
                    outcome.passed += 1;
                } else {
                    outcome.failed.push(format!("{}: {out} instead of {}", case.name, case.out));
                }
            }
            Answer::Unsupported(reason) => {
                outcome.unsupported += 1;
                outcome.reason = reason;
            }
            Answer::Threw(what) | Answer::Error(what) => {
                outcome.failed.push(format!("{}: {what}", case.name));
            }
        }
    }
    Ok(outcome)
}

/// A line may be any one of those that are listed.
fn right(expected: &Value, out: &Value) -> bool {
    match expected.get("lines").and_then(Value::as_array) {
        Some(lines) => {
            let line = out.get("line").or_else(|| out.get("lines").and_then(|all| all.get(0)));
            line.is_some_and(|line| lines.contains(line))
        }
        None => equal(expected, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_listed_lines_is_right() {
        let expected = json!({"lines": ["a", "b"]});
        assert!(right(&expected, &json!({"line": "b"})));
        assert!(!right(&expected, &json!({"line": "c"})));
        assert!(!right(&expected, &json!({"refused": "invalid"})));
        assert!(right(&json!({"weight": 2.0}), &json!({"weight": 2})));
    }
}
