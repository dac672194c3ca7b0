//! The operators of checks: what was found, against what a step says.
//!
//! In: a value or nothing, and the fields of a step. Out: nothing, or a sentence about what is wrong.

use serde_json::{Map, Value};

/// Compares; `other` finds another path's value for `same_as` and `other_than`.
pub fn compare(
    path: &str,
    found: Option<&Value>,
    fields: &Map<String, Value>,
    mut other: impl FnMut(&str) -> Option<Value>,
) -> Result<(), String> {
    let mut operators = 0;
    for (name, expected) in fields {
        let right =
            match name.as_str() {
                "is" => found.is_some_and(|found| equal(found, expected)),
                "not" => found.is_some_and(|found| !equal(found, expected)),
                "min" => numbers(found)
                    .is_some_and(|all| all.iter().all(|n| Some(*n) >= bound(expected))),
                "max" => numbers(found)
                    .is_some_and(|all| all.iter().all(|n| Some(*n) <= bound(expected))),
                "has" => list(found).iter().any(|item| equal(item, expected)),
                "each" => {
                    !list(found).is_empty() && list(found).iter().all(|item| equal(item, expected))
                }
                "absent" => expected.as_bool() == Some(found.is_none_or(Value::is_null)),
                "same_as" => found.is_some() && found.cloned() == other(text(expected)),
                "other_than" => found.is_some() && found.cloned() != other(text(expected)),
                "sorted" => sorted(&list(found)),
                "ms" => continue,
                _ => return Err(format!("{path}: there is no operator {name}")),
            };
        operators += 1;
        if !right {
            let shown = found.map_or("nothing".to_owned(), shorten);
            return Err(format!("{path} is {shown}, expected {name} {expected}"));
        }
    }
    if operators == 0 { Err(format!("{path}: a check needs an operator")) } else { Ok(()) }
}

/// Equal as JSON values; numbers by value, so that 2 equals 2.0, with half a millionth of grace
/// for sums of doubles.
pub fn equal(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(a), Value::Number(b)) => {
            if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
                return a == b;
            }
            let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else { return false };
            (a - b).abs() <= f64::EPSILON * 4.0 * a.abs().max(b.abs())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        _ => one == two,
    }
}

/// A number, or all numbers of a list that has some.
fn numbers(found: Option<&Value>) -> Option<Vec<f64>> {
    match found? {
        Value::Array(items) if !items.is_empty() => items.iter().map(Value::as_f64).collect(),
        one => Some(vec![one.as_f64()?]),
    }
}

/// A bound that is no number is never kept.
fn bound(expected: &Value) -> Option<f64> {
    Some(expected.as_f64().unwrap_or(f64::NAN))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(found: Option<&Value>) -> Vec<Value> {
    match found {
        Some(Value::Array(items)) => items.clone(),
        _ => Vec::new(),
    }
}

fn sorted(items: &[Value]) -> bool {
    let numbers: Option<Vec<f64>> = items.iter().map(Value::as_f64).collect();
    numbers.is_some_and(|numbers| !numbers.is_empty() && numbers.is_sorted())
}

/// Long values are cut in messages.
fn shorten(value: &Value) -> String {
    const CHARS_MAX: usize = 400;
    let text = value.to_string();
    if text.chars().count() <= CHARS_MAX {
        return text;
    }
    let cut: String = text.chars().take(CHARS_MAX).collect();
    format!("{cut}...")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(found: Option<&Value>, operators: &Value) -> bool {
        let fields = operators.as_object().expect("a table").clone();
        compare("x", found, &fields, |path| (path == "y").then(|| json!(5))).is_ok()
    }

    #[test]
    fn operators_say_yes_and_no() {
        for (found, operators, expected) in [
            (Some(json!(5)), json!({"is": 5.0}), true),
            (Some(json!(5)), json!({"is": 6}), false),
            (None, json!({"is": 0}), false),
            (None, json!({"not": 0}), false),
            (Some(json!(5)), json!({"min": 5, "max": 5}), true),
            (Some(json!(5)), json!({"min": 6}), false),
            (None, json!({"max": 6}), false),
            (Some(json!("a")), json!({"min": 1}), false),
            (Some(json!([2, 3])), json!({"min": 2, "max": 3}), true),
            (Some(json!([2, 4])), json!({"max": 3}), false),
            (Some(json!([])), json!({"max": 3}), false),
            (Some(json!(1)), json!({"max": "3"}), false),
            (Some(json!([1, 2])), json!({"has": 2}), true),
            (Some(json!([1, 2])), json!({"each": 2}), false),
            (Some(json!([])), json!({"each": 2}), false),
            (Some(json!([2, 2])), json!({"each": 2}), true),
            (None, json!({"absent": true}), true),
            (Some(Value::Null), json!({"absent": true}), true),
            (Some(json!(0)), json!({"absent": true}), false),
            (Some(json!(0)), json!({"absent": false}), true),
            (Some(json!(5)), json!({"same_as": "y"}), true),
            (Some(json!(5)), json!({"other_than": "y"}), false),
            (Some(json!([1, 1, 3])), json!({"sorted": true}), true),
            (Some(json!([1, 0])), json!({"sorted": true}), false),
            (Some(json!(1)), json!({"ms": 5}), false),
            (Some(json!(1)), json!({"iz": 1}), false),
        ] {
            assert_eq!(run(found.as_ref(), &operators), expected, "{found:?} {operators}");
        }
    }

    #[test]
    fn integers_are_compared_exactly() {
        assert!(!equal(&json!(9_007_199_254_740_992_i64), &json!(9_007_199_254_740_993_i64)));
        assert!(equal(&json!({"a": [1, 2.0]}), &json!({"a": [1.0, 2]})));
        assert!(!equal(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
    }
}
