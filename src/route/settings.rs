//! `[[routes]]` as written in the configuration.

use serde::{Deserialize, Serialize};

use crate::config::Pattern;

/// Sends types to a lane; the first route that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Type patterns; `*` stands for any run of characters.
    pub types: Vec<Pattern>,
    /// The lane: `[a-z0-9.-]{1,80}`, upper case is folded. Its topic is `<prefix>.event.<lane>`.
    pub lane: String,
    /// The partition key: `instance` (default), `none`, or a field path such as `props.user`.
    #[serde(default = "instance")]
    pub key: String,
}

fn instance() -> String {
    "instance".to_owned()
}
