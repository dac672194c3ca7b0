//! The matrix: scenarios by SDK, written between two marks of `sdk/README.md`.
//!
//! In: verdicts. Out: Markdown. What is not supported is said with its reason and never looks like
//! a success.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::driver::Verdict;
use crate::scenario::Book;
use crate::vectors::Outcome;

/// What one SDK did.
#[derive(Debug, Clone, Default)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Verdicts by scenario.
    pub verdicts: BTreeMap<String, Verdict>,
    /// Its vectors.
    pub vectors: Vec<Outcome>,
}

/// Between these the table stands; everything else of the file belongs to people.
pub const BEGIN: &str = "<!-- matrix: written by `cargo run -p harness -- matrix` -->";
/// The end of the table.
pub const END: &str = "<!-- end of matrix -->";

/// The whole text between the marks.
pub fn table(book: &Book, columns: &[Column]) -> String {
    let mut reasons = Reasons::default();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut text = String::from("\n");
    text.push_str(&summary(book, columns));
    let head = |first: &str| {
        let rule = "|---".repeat(names.len() + 1);
        format!("\n| {first} | {} |\n{rule}|\n", names.join(" | "))
    };
    text.push_str(&head("vectors"));
    for function in functions(columns) {
        let cells = columns.iter().map(|column| {
            let outcome = column.vectors.iter().find(|outcome| outcome.function == function);
            outcome.map_or("-".to_owned(), |outcome| reasons.vectors(outcome))
        });
        let cells: Vec<String> = cells.collect();
        writeln!(text, "| {function} | {} |", cells.join(" | ")).ok();
    }
    let mut group = "";
    for scenario in &book.scenarios {
        if scenario.group != group {
            group = &scenario.group;
            text.push_str(&head(group));
        }
        let cells = columns.iter().map(|column| reasons.cell(column.verdicts.get(&scenario.id)));
        let cells: Vec<String> = cells.collect();
        writeln!(text, "| {} | {} |", scenario.id, cells.join(" | ")).ok();
    }
    text.push_str(&reasons.text());
    text
}

fn summary(book: &Book, columns: &[Column]) -> String {
    let mut text = format!("{} scenarios. ", book.scenarios.len());
    text.push_str("`ok` passed, `no` not supported with its reason below, `FAILED` failed.\n\n");
    text.push_str("| | passed | not supported | failed | vectors |\n|---|---|---|---|---|\n");
    for column in columns {
        let count = |wanted: fn(&Verdict) -> bool| {
            column.verdicts.values().filter(|verdict| wanted(verdict)).count()
        };
        let passed = count(|verdict| *verdict == Verdict::Passed);
        let lacking = count(|verdict| matches!(verdict, Verdict::NotSupported(_)));
        let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
        let vectors: usize = column.vectors.iter().map(|outcome| outcome.passed).sum();
        let name = &column.name;
        writeln!(text, "| {name} | {passed} | {lacking} | {failed} | {vectors} |").ok();
    }
    text
}

fn functions(columns: &[Column]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for outcome in columns.iter().flat_map(|column| &column.vectors) {
        if !names.contains(&outcome.function) {
            names.push(outcome.function.clone());
        }
    }
    names
}

/// Reasons as footnotes, each once.
#[derive(Default)]
struct Reasons {
    seen: Vec<String>,
}

impl Reasons {
    fn number(&mut self, reason: &str) -> usize {
        if let Some(place) = self.seen.iter().position(|known| known == reason) {
            return place + 1;
        }
        self.seen.push(reason.to_owned());
        self.seen.len()
    }

    fn cell(&mut self, verdict: Option<&Verdict>) -> String {
        match verdict {
            Some(Verdict::Passed) => "ok".to_owned(),
            Some(Verdict::NotSupported(why)) => format!("no ({})", self.number(why)),
            Some(Verdict::Failed(_)) => "**FAILED**".to_owned(),
            None => "-".to_owned(),
        }
    }

    fn vectors(&mut self, outcome: &Outcome) -> String {
        if !outcome.failed.is_empty() {
            return format!("**FAILED** {}", outcome.failed.len());
        }
        match outcome.unsupported {
            0 => format!("{}", outcome.passed),
            lacking => {
                let number = self.number(&outcome.reason);
                format!("{}, {lacking} no ({number})", outcome.passed)
            }
        }
    }

    fn text(&self) -> String {
        let lines = self.seen.iter().zip(1..);
        let lines = lines.map(|(reason, number)| format!("{number}. {reason}\n"));
        let lines: String = lines.collect();
        if lines.is_empty() { lines } else { format!("\nNot supported:\n\n{lines}") }
    }
}

/// What a written table says that is not so, of the SDKs that both have: a machine without a
/// browser can still vouch for the others.
pub fn differences(written: &str, fresh: &str) -> Vec<String> {
    let (written, fresh) = (cells(written), cells(fresh));
    let names = |cells: &Cells| cells.keys().map(|(_, name)| name.clone()).collect::<BTreeSet<_>>();
    let run = names(&fresh);
    let mut found = Vec::new();
    for (key @ (row, name), is) in &fresh {
        let said = written.get(key).map_or("nothing", String::as_str);
        if said != is {
            found.push(format!("{name}, {row}: the table says {said}, but it is {is}"));
        }
    }
    for ((row, name), said) in written {
        if run.contains(&name) && !fresh.contains_key(&(row.clone(), name.clone())) {
            found.push(format!("{name}, {row}: the table says {said}, but there is no such row"));
        }
    }
    found
}

/// What stands in each row for each SDK, with reasons instead of their numbers.
type Cells = BTreeMap<(String, String), String>;

fn cells(text: &str) -> Cells {
    let table = text.find(BEGIN).and_then(|from| text.get(from..)).unwrap_or(text);
    let table = table.find(END).and_then(|to| table.get(..to)).unwrap_or(table);
    let reasons = table.lines().filter_map(|line| line.split_once(". "));
    let reasons: BTreeMap<&str, &str> = reasons.collect();
    let mut names: Vec<&str> = Vec::new();
    let mut cells = Cells::new();
    for line in table.lines() {
        // A table begins with the names of the SDKs; that of sums has them on the left.
        if line.starts_with("|---") {
            continue;
        }
        let Some(row) = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")) else {
            names.clear();
            continue;
        };
        let mut row = row.split(" | ");
        let first = row.next().unwrap_or_default();
        if names.is_empty() {
            names = if line.starts_with("| | ") { vec![""] } else { row.collect() };
            continue;
        }
        for (name, cell) in names.iter().zip(row).filter(|(name, _)| !name.is_empty()) {
            let said = match cell.split_once('(') {
                Some((said, number)) => {
                    let number = number.trim_end_matches(')');
                    format!("{said}({})", reasons.get(number).copied().unwrap_or(number))
                }
                None => cell.to_owned(),
            };
            cells.insert((first.to_owned(), (*name).to_owned()), said);
        }
    }
    cells
}

/// Puts a table between the marks, or at the end of a text without them.
pub fn place(text: &str, table: &str) -> String {
    let marked = format!("{BEGIN}\n{table}\n{END}");
    match (text.find(BEGIN), text.find(END)) {
        (Some(from), Some(to)) if from < to => {
            let (before, rest) = text.split_at(from);
            let after = rest.get(to - from + END.len()..).unwrap_or_default();
            format!("{before}{marked}{after}")
        }
        _ => format!("{}\n\n{marked}", text.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_put_between_the_marks_again_and_again() {
        let first = place("# SDKs", "one");
        let text = first.replace("# SDKs", "# Ours") + "after\n";
        let second = place(&text, "two");
        assert!(second.starts_with("# Ours\n") && second.ends_with("after\n"), "{second}");
        assert!(second.contains("two") && !second.contains("one"), "{second}");
        assert_eq!(place(&second, "two"), second);
    }

    #[test]
    fn a_column_is_compared_wherever_it_stands_and_by_its_reasons() {
        let both = "| | passed |\n|---|---|\n| go | 2 |\n| web | 2 |\n\n| sums | go | web |\n|---|---|---|\n| a | ok | no (1) |\n| b | no (2) | ok |\n\n\
                    Not supported:\n\n1. no files\n2. no forks\n";
        let go = "| | passed |\n|---|---|\n| go | 2 |\n\n| sums | go |\n|---|---|\n| a | ok |\n| b | no (1) |\n\n1. no forks\n";
        assert_eq!(differences(both, go), Vec::<String>::new());
        let failed = go.replace("ok", "**FAILED**");
        assert_eq!(differences(both, &failed), ["go, a: the table says ok, but it is **FAILED**"]);
        let other = go.replace("no forks", "no clock");
        assert_eq!(
            differences(both, &other),
            ["go, b: the table says no (no forks), but it is no (no clock)"]
        );
        let fewer = go.replace("| a | ok |\n", "");
        assert_eq!(
            differences(both, &fewer),
            ["go, a: the table says ok, but there is no such row"]
        );
        let more = go.replace("| a |", "| c | ok |\n| a |");
        assert_eq!(differences(both, &more), ["go, c: the table says nothing, but it is ok"]);
    }

    #[test]
    fn what_is_not_supported_does_not_look_like_a_success() {
        let mut reasons = Reasons::default();
        assert_eq!(reasons.cell(Some(&Verdict::NotSupported("fork: no".to_owned()))), "no (1)");
        assert_eq!(reasons.cell(Some(&Verdict::NotSupported("x".to_owned()))), "no (2)");
        assert_eq!(reasons.cell(Some(&Verdict::NotSupported("fork: no".to_owned()))), "no (1)");
        assert_eq!(reasons.cell(Some(&Verdict::Failed("x".to_owned()))), "**FAILED**");
        assert_eq!(reasons.cell(None), "-");
        assert!(reasons.text().contains("1. fork: no\n2. x\n"));
    }
}
