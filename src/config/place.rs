//! Where in a TOML text something stands, for errors that name line and key.
//!
//! In: a text and an error, or the path of a key. Out: a line, and what is wrong without the value
//! that is wrong: TOML's own errors print the line as it is, and with it the secret on it.

use toml::de::{DeTable, DeValue, Error};

/// What is wrong with a text: line, column, key, and what was expected.
pub fn told(text: &str, error: &Error) -> String {
    let said = without_values(error.message());
    let Some(span) = error.span() else { return said };
    let (line, column) = position(text, span.start);
    let (tree, _) = DeTable::parse_recoverable(text);
    let key = key_at(tree.get_ref(), span.start).map(|key| format!(", key {key}"));
    format!("line {line}, column {column}{}: {said}", key.unwrap_or_default())
}

/// The line of a key by its path, counted from 1; of its nearest parent when it is not there.
pub fn line_of(text: &str, path: &[&str]) -> usize {
    let (tree, _) = DeTable::parse_recoverable(text);
    let mut table = Some(tree.get_ref());
    let mut at = 0;
    for part in path {
        let Some((key, value)) =
            table.and_then(|table| table.iter().find(|(key, _)| key.get_ref().as_ref() == *part))
        else {
            break;
        };
        at = key.span().start;
        table = match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            _ => None,
        };
    }
    position(text, at).0
}

/// `invalid type: string "…", expected u64` without what stands in the quotes.
pub(super) fn without_values(said: &str) -> String {
    let known = ["invalid type: ", "invalid value: "].into_iter().find_map(|start| {
        let rest = said.strip_prefix(start)?;
        let kind = rest.split(['"', '`', ',']).next().unwrap_or_default().trim();
        // The last one: the value itself may say the same.
        let (_, expected) = rest.rsplit_once(", expected ")?;
        Some(format!("{start}{kind}, expected {expected}"))
    });
    // Whatever else stands on lines of its own is a picture of the text.
    known.unwrap_or_else(|| said.lines().next().unwrap_or_default().to_owned())
}

/// Line and column of an offset, counted from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or_default();
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}

/// The path of the innermost key whose name or value covers an offset.
fn key_at(table: &DeTable<'_>, offset: usize) -> Option<String> {
    for (key, value) in table {
        let name = key.get_ref();
        let inner = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, offset),
            DeValue::Array(items) => items.iter().find_map(|item| match item.get_ref() {
                DeValue::Table(inner) => key_at(inner, offset),
                _ => None,
            }),
            _ => None,
        };
        if let Some(inner) = inner {
            return Some(format!("{name}.{inner}"));
        }
        let covers = |span: std::ops::Range<usize>| (span.start..span.end.max(1)).contains(&offset);
        if covers(key.span()) || covers(value.span()) {
            return Some(name.to_string());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a = 1\n[b]\n# c\nd = 2\n[b.e]\nf = [{ g = 3 }]\n";

    #[test]
    fn keys_have_lines() {
        for (path, line) in [
            (&["a"][..], 1),
            (&["b", "d"], 4),
            (&["b", "e", "f"], 6),
            (&["b", "x"], 2),
            (&["x"], 1),
        ] {
            assert_eq!(line_of(TEXT, path), line, "{path:?}");
        }
    }

    #[test]
    fn offsets_have_keys() {
        let (tree, _) = DeTable::parse_recoverable(TEXT);
        let at = |what: &str| key_at(tree.get_ref(), TEXT.find(what).expect("there"));
        assert_eq!(at("2").as_deref(), Some("b.d"));
        assert_eq!(at("3").as_deref(), Some("b.e.f.g"));
        assert_eq!(at("# c"), None);
    }

    #[test]
    fn values_are_left_out() {
        for (said, shown) in [
            (
                "invalid type: string \"x, expected y\", expected u64",
                "invalid type: string, expected u64",
            ),
            ("invalid value: integer `300`, expected u8", "invalid value: integer, expected u8"),
            ("invalid type: map, expected a string", "invalid type: map, expected a string"),
            ("unknown field `a`, expected `b`", "unknown field `a`, expected `b`"),
        ] {
            assert_eq!(without_values(said), shown);
        }
    }
}
