//! Condition `age_ms`: how long ago the event happened when it arrived.

use super::bounds::Bounds;
use super::{Condition, Test, read};

pub(super) const CONDITION: Condition = Condition {
    name: "age_ms",
    doc: "{ min = …, max = … }, both inclusive; arrival minus effective time (below 0: future)",
    build,
};

fn build(value: toml::Value) -> Result<Test, String> {
    let bounds: Bounds<i64> = read(value)?;
    bounds.check()?;
    Ok(Test::Event(Box::new(move |event| bounds.hold(&event.age_ms))))
}
