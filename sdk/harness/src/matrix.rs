//! The matrix: scenarios by SDK, written between two marks of `sdk/README.md`.
//!
//! In: verdicts. Out: Markdown. What is not supported is said with its reason and never looks like
//! a success.

use std::collections::BTreeMap;
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
        format!("\n| {first} | {} |\n{rule}|", names.join(" | "))
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
