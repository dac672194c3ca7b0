//! Paths into what is known: `sends.*.header.report.n.distinct`.
//!
//! In: a JSON value and a path. Out: the value there, or nothing. Must never fail on any path.

use serde_json::{Map, Value, json};

/// Follows a path below a root. `len` and `distinct` work on what everything before them gives.
pub fn follow(root: &Value, path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
    let cut = parts.iter().position(|part| matches!(*part, "len" | "distinct"));
    let (way, operations) = parts.split_at(cut.unwrap_or(parts.len()));
    let mut value = step(root, way)?;
    for operation in operations {
        value = match (*operation, &value) {
            ("len", Value::Array(items)) => json!(items.len()),
            ("len", Value::Object(members)) => json!(members.len()),
            ("distinct", Value::Array(items)) => Value::Array(distinct(items)),
            _ => return None,
        };
    }
    Some(value)
}

fn step(value: &Value, way: &[&str]) -> Option<Value> {
    let Some((first, rest)) = way.split_first() else { return Some(value.clone()) };
    match (value, *first) {
        (Value::Array(items), "*") => {
            let found = items.iter().filter_map(|item| step(item, rest));
            let nested = rest.contains(&"*");
            let flat = found.flat_map(|item| match item {
                Value::Array(inner) if nested => inner,
                other => vec![other],
            });
            Some(Value::Array(flat.collect()))
        }
        (Value::Array(items), index) => step(items.get(index.parse::<usize>().ok()?)?, rest),
        (Value::Object(members), name) => step(members.get(name)?, rest),
        _ => None,
    }
}

fn distinct(items: &[Value]) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        if !kept.contains(item) {
            kept.push(item.clone());
        }
    }
    kept
}

/// Reasons before admission (R102).
pub const PRE: [&str; 10] = [
    "sampled",
    "rate_limited",
    "invalid",
    "too_large",
    "no_consent",
    "killed",
    "before_send",
    "callback_error",
    "refused_full",
    "closed",
];

/// Reasons after admission (R103).
pub const POST: [&str; 10] = [
    "queue_full",
    "store_full",
    "store_error",
    "expired",
    "retry_exhausted",
    "rejected_4xx",
    "rejected_413",
    "purged_kill",
    "shutdown_timeout",
    "unconfirmed",
];

/// Rows `[reason, class, count]` as tables by reason and class, with zeros, so that a path to a
/// reason that does not exist finds nothing. Unknown reasons are kept as they came.
pub fn rows(list: &Value, reasons: &[&str]) -> Value {
    let mut table = Map::new();
    for reason in reasons {
        table.insert((*reason).to_owned(), json!({"0": 0, "1": 0, "2": 0, "all": 0}));
    }
    for row in list.as_array().into_iter().flatten() {
        let (Some(reason), Some(class), Some(count)) = (
            row.get(0).and_then(Value::as_str),
            row.get(1).and_then(Value::as_u64),
            row.get(2).and_then(Value::as_u64),
        ) else {
            continue;
        };
        let entry = table.entry(reason).or_insert_with(|| json!({"all": 0}));
        for name in [class.to_string(), "all".to_owned()] {
            let before = entry.get(&name).and_then(Value::as_u64).unwrap_or(0);
            entry[name.as_str()] = json!(before + count);
        }
    }
    Value::Object(table)
}

/// `stats()` with its rows as tables.
pub fn stats(raw: &Value) -> Value {
    let mut shown = raw.clone();
    for (side, reasons) in [("pre", &PRE), ("post", &POST)] {
        if let Some(list) = raw.get(side) {
            shown[side] = rows(list, reasons);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_way() {
        let root = json!({"sends": [
            {"n": 1, "events": [{"w": 5}, {}]}, {"n": 1, "events": [{"w": 7}]}, {"n": 2},
        ]});
        for (path, expected) in [
            ("sends.len", json!(3)),
            ("sends.1.n", json!(1)),
            ("sends.*.n", json!([1, 1, 2])),
            ("sends.*.n.distinct", json!([1, 2])),
            ("sends.*.n.distinct.len", json!(2)),
            ("sends.*.events.*.w", json!([5, 7])),
            ("sends.*.events.*.w.len", json!(2)),
        ] {
            assert_eq!(follow(&root, path), Some(expected), "{path}");
        }
        for path in ["sends.9.n", "sends.x", "gone", "sends.0.n.len", "sends.0.n.0"] {
            assert_eq!(follow(&root, path), None, "{path}");
        }
    }

    #[test]
    fn rows_become_tables_with_sums() {
        let table = rows(&json!([["sampled", 2, 10], ["sampled", 1, 3]]), &PRE);
        assert_eq!(follow(&table, "sampled.2"), Some(json!(10)));
        assert_eq!(follow(&table, "sampled.all"), Some(json!(13)));
        assert_eq!(follow(&table, "closed.all"), Some(json!(0)));
        assert_eq!(follow(&table, "close.all"), None);
    }
}
