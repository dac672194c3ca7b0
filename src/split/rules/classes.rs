//! Condition `classes`: how important the client said the batch is.

use super::{Condition, Test, read_list};

pub(super) const CONDITION: Condition = Condition {
    name: "classes",
    doc: "0 critical, 1 normal, 2 bulk, such as [2]; the batch's class is one of them",
    build,
};

fn build(value: toml::Value) -> Result<Test, String> {
    let classes: Vec<u8> = read_list(value)?;
    if let Some(class) = classes.iter().find(|class| **class > 2) {
        return Err(format!("{class} is no class; they are 0, 1 and 2"));
    }
    Ok(Test::Batch(Box::new(move |batch| classes.contains(&batch.class))))
}
