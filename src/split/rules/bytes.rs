//! Condition `bytes`: how long the event's JSON is.

use super::bounds::Bounds;
use super::{Condition, Test, read};

pub(super) const CONDITION: Condition = Condition {
    name: "bytes",
    doc: "{ min = …, max = … }, both inclusive; bytes of the event from its { to its }",
    build,
};

fn build(value: toml::Value) -> Result<Test, String> {
    let bounds: Bounds<i64> = read(value)?;
    bounds.check()?;
    Ok(Test::Event(Box::new(move |event| {
        bounds.hold(&i64::try_from(event.json.len()).unwrap_or(i64::MAX))
    })))
}
