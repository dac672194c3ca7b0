//! The gateway's configuration file for a load: keys of the made-up apps, one rule, the routes.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::batch::{APPS, kinds};

/// What every load run needs.
pub fn of_load() -> Table {
    let keys = APPS.iter().map(|app| {
        let kind = if app.secret { "secret" } else { "public" };
        table([("key", app.key.into()), ("app", app.name.into()), ("kind", kind.into())])
    });
    let mut lanes: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for kind in kinds::KINDS {
        if let Some(lane) = kind.lane {
            lanes.entry(lane).or_default().push(kind.name.into());
        }
    }
    let routes = lanes.into_iter().map(|(lane, types)| {
        table([("types", types.into()), ("lane", lane.into()), ("key", "instance".into())])
    });
    let debug: Vec<Value> = vec!["debug.*".into()];
    let rule =
        table([("name", "no-debug".into()), ("types", debug.into()), ("action", "filter".into())]);
    Table::from_iter([
        ("keys".to_owned(), keys.collect::<Vec<_>>().into()),
        ("rules".to_owned(), vec![rule].into()),
        ("routes".to_owned(), routes.collect::<Vec<_>>().into()),
    ])
}

/// Lays `over` on top of `under`: tables are merged, everything else is replaced.
pub fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_app_and_lane_once() {
        let text = of_load().to_string();
        let read: Table = text.parse().unwrap();
        assert_eq!(read["keys"].as_array().unwrap().len(), APPS.len());
        let routes = read["routes"].as_array().unwrap();
        assert_eq!(routes.len(), 9);
        assert!(text.contains(r#"lane = "page""#) && text.contains(r#""page.view""#), "{text}");
        assert!(!text.contains("push.open"));
    }

    #[test]
    fn what_is_laid_on_top_wins() {
        let mut under: Table = "a = 1\n[kafka]\nx = 1\ny = 2".parse().unwrap();
        merge(&mut under, "a = 2\n[kafka]\ny = 3\n[new]\nz = 1".parse().unwrap());
        let expected: Table = "a = 2\n[kafka]\nx = 1\ny = 3\n[new]\nz = 1".parse().unwrap();
        assert_eq!(under, expected);
    }
}
