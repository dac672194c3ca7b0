//! Condition `apps`: which application's write key let the batch in.

use super::{Condition, Test, read_list};

pub(super) const CONDITION: Condition = Condition {
    name: "apps",
    doc: "names of applications, such as [\"shop\"]; the event's is one of them",
    build,
};

fn build(value: toml::Value) -> Result<Test, String> {
    let apps: Vec<String> = read_list(value)?;
    Ok(Test::Batch(Box::new(move |batch| apps.iter().any(|app| app == batch.app))))
}
