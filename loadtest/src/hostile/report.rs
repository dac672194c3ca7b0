//! The report as people read it, and whether everything stayed within its bounds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::calm::Felt;
use super::scene::{Measured, Stretch};

/// A page in the making; it is written after every part.
pub struct Report {
    path: PathBuf,
    text: String,
    failures: Vec<String>,
}

/// How much slower the calm client may become at its 99th percentile.
const SLOWER_MAX: f64 = 2.0;
/// What the process may take beside its memory budget.
const BESIDE_BUDGET_MIB: f64 = 64.0;

impl Report {
    /// An empty page.
    pub fn new(path: &Path) -> Self {
        let text = "# Hostile clients\n\n".to_owned();
        Self { path: path.to_owned(), text, failures: Vec::new() }
    }

    /// A new part.
    pub fn begin(&mut self, name: &str) {
        self.text.extend(["\n## ", name, "\n\n"]);
    }

    /// A paragraph.
    pub fn say(&mut self, text: &str) {
        println!("{text}");
        self.text.push_str(text);
        self.text.push_str("\n\n");
    }

    /// Output of a tool.
    pub fn quote(&mut self, text: &str) {
        println!("{text}");
        self.text.extend(["```text\n", text.trim_end(), "\n```\n\n"]);
    }

    /// Something that is not as it has to be.
    pub fn fail(&mut self, what: &str) {
        self.failures.push(what.to_owned());
        self.say(&format!("**Not within bounds: {what}**"));
    }

    /// The table of one attack, and the bounds that hold for all of them. `usual_ms` is what the
    /// calm client's p99 would become in any case.
    pub fn attack(&mut self, name: &str, measured: &Measured, budget_mib: f64, usual_ms: f64) {
        let Measured { before, during, after, lasted, said } = measured;
        let mut table = format!("{name}, {:.1} s: {said}\n\n", lasted.as_secs_f64());
        table.push_str(
            "| | calm p50 ms | p99 ms | max ms | 200 | refused | broken | CPU cores | resident MiB | most MiB |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        for (when, stretch) in [("before", before), ("during", during), ("after", after)] {
            table.push_str(&row(when, stretch));
        }
        self.say(table.trim_end());
        let slower = during.felt.p99_ms / before.felt.p99_ms.max(0.001);
        self.say(&format!("The calm client's p99 became {slower:.2} times what it was."));
        if slower > SLOWER_MAX && during.felt.p99_ms > SLOWER_MAX * usual_ms {
            self.fail(&format!("{name}: p99 {slower:.2} times what it was"));
        }
        for (when, Stretch { felt, .. }) in [("during", during), ("after", after)] {
            if felt.broken + felt.refused > 0 {
                let Felt { refused, broken, .. } = felt;
                self.fail(&format!("{name}: {when}: {refused} refused, {broken} broken"));
            }
        }
        let most = during.took.resident_mib_max;
        if most > budget_mib + BESIDE_BUDGET_MIB {
            self.fail(&format!("{name}: {most:.0} MiB resident, budget {budget_mib:.0}"));
        }
    }

    /// Writes what there is.
    pub fn write(&self) -> anyhow::Result<()> {
        let mut text = self.text.clone();
        text.push_str("\n## Verdict\n\n");
        if self.failures.is_empty() {
            text.push_str("Everything stayed within its bounds.\n");
        }
        for failure in &self.failures {
            writeln!(text, "- {failure}")?;
        }
        std::fs::write(&self.path, text)?;
        Ok(())
    }

    /// Whether nothing failed.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }
}

fn row(when: &str, stretch: &Stretch) -> String {
    let Stretch { felt, took } = stretch;
    format!(
        "| {when} | {:.2} | {:.2} | {:.2} | {} | {} | {} | {:.2} | {:.0} | {:.0} |\n",
        felt.p50_ms,
        felt.p99_ms,
        felt.max_ms,
        felt.good,
        felt.refused,
        felt.broken,
        took.cpu,
        took.resident_mib,
        took.resident_mib_max
    )
}
