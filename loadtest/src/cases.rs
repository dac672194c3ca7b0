//! Load cases: a folder each in `loadtest/cases`, with a `case.toml` that says goal and parameters.
//!
//! A new case is a new folder and nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::record::Phase;
use crate::report::Report;
use crate::run::{Settings, run};

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is to show, in a sentence or two.
    pub goal: String,
    /// The parameters of the run; what is left out has its default.
    #[serde(default)]
    pub run: Settings,
    /// What must be true beside a clean verdict.
    #[serde(default)]
    pub expect: Expect,
}

/// Limits of a case; a limit that is left out is not checked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// Batches whose clients stopped trying.
    pub given_up_max: Option<u64>,
    /// Tier-2 copies of batches that were sent once.
    pub duplicated_by_us_max: Option<u64>,
    /// Of all phases the worst p99 from sending to the reply.
    pub reply_p99_ms_max: Option<f64>,
    /// The gateway's peak resident memory.
    pub resident_mib_max: Option<u64>,
    /// Whether any attempt may be answered with something other than 200.
    pub only_200: bool,
    /// How many times the p99 before it the p99 during the disturbance may be.
    pub during_p99_ratio_max: Option<f64>,
    /// The least and the most that a greedy client may be taken a second; each of its refusals
    /// must say when to come back, and doing so must work.
    pub greedy_per_s: Option<[f64; 2]>,
}

/// Why there is no such case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its folder or file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its text.
    #[error("{path}: {source}")]
    Text {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
}

/// Names of all cases below `dir`, sorted.
pub fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::File { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.join(FILE).is_file() {
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads one case.
pub fn read(dir: &Path, name: &str) -> Result<Case, Error> {
    let path = dir.join(name).join(FILE);
    let failed = |source| Error::File { path: path.clone(), source };
    let text = fs::read_to_string(&path).map_err(failed)?;
    toml::from_str(&text).map_err(|source| Error::Text { path, source: Box::new(source) })
}

/// Where the cases of this workspace are.
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

impl Case {
    /// Runs it; returns the report and what was expected and is not so.
    pub fn run(&self) -> anyhow::Result<(Report, Vec<String>)> {
        let report = run(&self.run)?;
        let broken = self.expect.broken(&report);
        Ok((report, broken))
    }
}

impl Expect {
    fn broken(&self, report: &Report) -> Vec<String> {
        let mut broken = Vec::new();
        let mut check = |what: &str, is: f64, max: Option<f64>| {
            if let Some(max) = max.filter(|max| is > *max) {
                broken.push(format!("{what} is {is}, expected at most {max}"));
            }
        };
        let whole = |max: Option<u64>| max.map(|max| max as f64);
        let slowest = report.phases.iter().map(|phase| phase.reply.p99_ms).fold(0.0, f64::max);
        let resident = report.costs.gateway.resident_bytes_max >> 20;
        let by_us = report.tier2.duplicated.by_us;
        let others: u64 =
            report.statuses.iter().filter(|(name, _)| *name != "200").map(|(_, count)| count).sum();
        check("given_up", report.totals.given_up as f64, whole(self.given_up_max));
        check("duplicated_by_us", by_us as f64, whole(self.duplicated_by_us_max));
        check("reply_p99_ms", slowest, self.reply_p99_ms_max);
        check("resident_mib", resident as f64, whole(self.resident_mib_max));
        check("answers other than 200", others as f64, self.only_200.then_some(0.0));
        let p99_ms = |phase| {
            let of_phase = report.phases.iter().find(|known| known.phase == phase)?;
            Some(of_phase.reply.p99_ms)
        };
        let both = p99_ms(Phase::During).zip(p99_ms(Phase::Before));
        let ratio = both.map_or(f64::INFINITY, |(during, before)| during / before);
        check("p99 during the disturbance by that before", ratio, self.during_p99_ratio_max);
        if let Some([least, most]) = self.greedy_per_s {
            let greedy = report.greedy.clone().unwrap_or_default();
            check("greedy_per_s", greedy.taken_per_s(), Some(most));
            check("greedy_per_s, negative", -greedy.taken_per_s(), Some(-least));
            let failed = greedy.came_back - greedy.taken_back + u64::from(greedy.came_back == 0);
            check("waits in vain", failed as f64, Some(0.0));
            check("refusals without a time", greedy.untold as f64, Some(0.0));
            let others = greedy.others.values().sum::<u64>();
            check("odd answers to the greedy client", others as f64, Some(0.0));
        }
        broken
    }
}

const FILE: &str = "case.toml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_of_the_workspace_can_be_read() {
        let names = names(&dir()).unwrap();
        assert!(names.len() >= 5, "{names:?}");
        for name in names {
            let case = read(&dir(), &name).unwrap();
            assert!(case.goal.len() > 20, "{name} has no goal");
        }
    }

    #[test]
    fn unknown_parameters_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("x")).unwrap();
        fs::write(dir.path().join("x/case.toml"), "goal = 'a'\n[run]\nevent = 1\n").unwrap();
        assert_eq!(names(dir.path()).unwrap(), ["x"]);
        assert!(read(dir.path(), "x").unwrap_err().to_string().contains("unknown field"));
        assert!(read(dir.path(), "y").is_err());
    }
}
