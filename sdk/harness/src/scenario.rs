//! Scenario files: read, checked for what can be checked without running them.
//!
//! In: a folder of TOML files. Out: scenarios in the order of groups and files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::gateway::Reply;

/// A table of the file, as JSON.
pub type Table = Map<String, Value>;

/// One story.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name in the matrix.
    pub id: String,
    /// The rules that it executes.
    pub rules: Vec<String>,
    /// Capabilities that it needs.
    pub needs: Vec<String>,
    /// Capabilities with which it does not apply.
    #[serde(default)]
    pub without: Vec<String>,
    /// Options of every `init`, on top of the defaults.
    #[serde(default)]
    pub options: Table,
    /// Seed of the jitter.
    #[serde(default = "seed")]
    pub seed: String,
    /// Replies to batches.
    #[serde(default)]
    pub script: Vec<Reply>,
    /// Replies to configuration requests.
    #[serde(default)]
    pub config: Vec<Reply>,
    /// Virtual or real time.
    #[serde(default)]
    pub clock: Clock,
    /// Scripted or real gateway.
    #[serde(default)]
    pub gateway: Target,
    /// What happens.
    pub steps: Vec<Step>,
    /// From the head of its file.
    #[serde(skip)]
    pub group: String,
}

/// Which time it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// The driver's.
    #[default]
    Virtual,
    /// Everybody's.
    Real,
}

/// Who answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The scripted gateway.
    #[default]
    Script,
    /// The product itself.
    Real,
}

/// One step: an action, a check, or waiting for a check.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    /// What to do.
    #[serde(rename = "do")]
    pub action: Option<String>,
    /// A path that has to be right now.
    pub check: Option<String>,
    /// A path that has to become right.
    pub until: Option<String>,
    /// Inside of `repeat`.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Everything else.
    #[serde(flatten)]
    pub fields: Table,
}

/// All scenarios and the options that every `init` has.
#[derive(Debug, Clone)]
pub struct Book {
    /// In the order of their files.
    pub scenarios: Vec<Scenario>,
    /// `defaults.toml`.
    pub defaults: Table,
}

/// Why the scenarios cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    File(PathBuf, #[source] std::io::Error),
    /// A file is not what it should be.
    #[error("{0}: {1}")]
    Toml(PathBuf, #[source] Box<toml::de::Error>),
    /// A scenario contradicts itself or another one.
    #[error("scenario {0}: {1}")]
    Wrong(String, String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    group: String,
    scenario: Vec<Scenario>,
}

fn seed() -> String {
    "42".to_owned()
}

impl Book {
    /// Reads `defaults.toml` and every other TOML file of a folder.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let defaults = parse(&dir.join("defaults.toml"))?;
        let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
            .map_err(|error| Error::File(dir.to_owned(), error))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .filter(|path| !path.ends_with("defaults.toml"))
            .collect();
        paths.sort_by_key(|path| number(path));
        let mut scenarios = Vec::new();
        for path in paths {
            let file: File = parse(&path)?;
            let group = file.group;
            scenarios.extend(
                file.scenario
                    .into_iter()
                    .map(|scenario| Scenario { group: group.clone(), ..scenario }),
            );
        }
        let book = Self { scenarios, defaults };
        book.check()?;
        Ok(book)
    }

    fn check(&self) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for scenario in &self.scenarios {
            let wrong = |what: &str| Error::Wrong(scenario.id.clone(), what.to_owned());
            if !seen.insert(&scenario.id) {
                return Err(wrong("the id stands twice"));
            }
            if scenario.rules.is_empty() {
                return Err(wrong("it cites no rule"));
            }
            let virtual_needed = scenario.needs.iter().any(|need| need == "virtual");
            if virtual_needed != (scenario.clock == Clock::Virtual) {
                return Err(wrong("needs = [\"virtual\"] and clock contradict each other"));
            }
            if let Some(unknown) =
                scenario.needs.iter().find(|need| !CAPABILITIES.contains(&need.as_str()))
            {
                return Err(wrong(&format!("there is no capability {unknown}")));
            }
            check_steps(&scenario.steps).map_err(|what| wrong(&what))?;
        }
        Ok(())
    }
}

/// Capabilities of `adapter.md` section 6.
pub const CAPABILITIES: [&str; 18] = [
    "virtual",
    "store",
    "crash",
    "kill",
    "share",
    "fork",
    "exit",
    "net",
    "page",
    "beacon",
    "bfcache",
    "disk",
    "secret_key",
    "gzip",
    "etag",
    "headers",
    "undefined",
    "dynamic",
];

fn check_steps(steps: &[Step]) -> Result<(), String> {
    for step in steps {
        let kinds = [&step.action, &step.check, &step.until];
        if kinds.into_iter().flatten().count() != 1 {
            return Err(format!("a step is one of do, check, until: {:?}", step.fields));
        }
        check_steps(&step.steps)?;
    }
    Ok(())
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Error::File(path.to_owned(), error))?;
    toml::from_str(&text).map_err(|error| Error::Toml(path.to_owned(), Box::new(error)))
}

/// Files are numbered in their names; 10 comes after 9.
fn number(path: &Path) -> u32 {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let digits = name.split('-').next().unwrap_or_default();
    digits.parse().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_own_scenarios_are_valid() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contract/scenarios");
        let book = Book::open(&dir).expect("valid scenarios");
        assert!(book.scenarios.len() >= 60, "{}", book.scenarios.len());
        let groups: BTreeSet<_> = book.scenarios.iter().map(|one| &one.group).collect();
        assert!(groups.len() >= 9, "{groups:?}");
    }

    #[test]
    fn every_cited_rule_exists() {
        let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contract");
        let mut text = String::new();
        for name in ["protocol.md", "behaviour.md"] {
            text.push_str(&std::fs::read_to_string(contract.join(name)).expect("a specification"));
        }
        let book = Book::open(&contract.join("scenarios")).expect("valid scenarios");
        for scenario in &book.scenarios {
            for rule in &scenario.rules {
                let defined = [format!("**{rule}**"), format!("**{rule} ")];
                let found = defined.iter().any(|mark| text.contains(mark));
                assert!(found, "{} cites {rule}, which is not there", scenario.id);
            }
        }
    }

    #[test]
    fn contradictions_are_found() {
        let step = |fields: &str| toml::from_str::<Step>(fields).expect("a table");
        assert!(check_steps(&[step("do = 'init'")]).is_ok());
        assert!(check_steps(&[step("do = 'init'\ncheck = 'sends'")]).is_err());
        assert!(check_steps(&[step("is = 5")]).is_err());
    }
}
