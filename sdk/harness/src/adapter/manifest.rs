//! `adapter.toml`: how an SDK's adapter is started.
//!
//! In: the folder `sdk/`. Out: a manifest for each language that has one, by name.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// One adapter.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Its column in the matrix.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Where its lines travel.
    pub transport: Transport,
    /// Where the file lies; the program runs there.
    pub dir: PathBuf,
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    name: String,
    command: Vec<String>,
    /// A command that prints the program to start in the place of `command`'s first word.
    #[serde(default)]
    program: Vec<String>,
    #[serde(default)]
    transport: Transport,
}

impl Wire {
    fn manifest(self, dir: PathBuf) -> Manifest {
        let Self { name, mut command, program, transport } = self;
        if let (Some(first), Some(found)) = (command.first_mut(), printed(&program, &dir)) {
            *first = found;
        }
        Manifest { name, command, transport, dir }
    }
}

/// The path that a command prints; nothing if it cannot be started or prints none.
fn printed(command: &[String], dir: &Path) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let output = Command::new(program).args(arguments).current_dir(dir).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    Path::new(&path).is_file().then_some(path)
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
            let wire: Wire = toml::from_str(&text)
                .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            anyhow::ensure!(!wire.command.is_empty(), "{}: no command", path.display());
            found.push(wire.manifest(language.clone()));
        }
    }
    found.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(found)
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_asked_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("real");
        std::fs::write(&file, "").expect("room");
        let ask = |what: &str| {
            let text = format!("name = 'x'\ncommand = ['shim', '-m']\nprogram = {what}");
            let wire: Wire = toml::from_str(&text).expect("a manifest");
            wire.manifest(dir.path().to_owned()).command
        };
        let path = file.to_str().expect("a name").to_owned();
        assert_eq!(ask(&format!("['echo', '{path}']")), [path.as_str(), "-m"]);
        assert_eq!(ask("['echo', '/not/there']"), ["shim", "-m"]);
        assert_eq!(ask("['not-a-program']"), ["shim", "-m"]);
        assert_eq!(ask("[]"), ["shim", "-m"]);
    }
}
