//! `adapter.toml`: how an SDK's adapter is started.
//!
//! In: the folder `sdk/`. Out: a manifest for each language that has one, by name.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One adapter.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its column in the matrix.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Where its lines travel.
    #[serde(default)]
    pub transport: Transport,
    /// Where the file lies; the program runs there.
    #[serde(skip)]
    pub dir: PathBuf,
}

/// Where lines travel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Standard input and output.
    #[default]
    Stdio,
    /// A page connects to us.
    Websocket,
}

/// Every `<sdk>/*/adapter.toml` and `<sdk>/*/adapters/*.toml`, by name.
pub fn discover(sdk: &Path) -> anyhow::Result<Vec<Manifest>> {
    let mut found = Vec::new();
    for language in folders(sdk) {
        let mut files = vec![language.join("adapter.toml")];
        files.extend(
            std::fs::read_dir(language.join("adapters"))
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "toml")),
        );
        for path in files.into_iter().filter(|path| path.is_file()) {
            let text = std::fs::read_to_string(&path)?;
            let manifest: Manifest = toml::from_str(&text)
                .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            anyhow::ensure!(!manifest.command.is_empty(), "{}: no command", path.display());
            found.push(Manifest { dir: language.clone(), ..manifest });
        }
    }
    found.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(found)
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
