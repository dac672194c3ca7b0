//! Patterns for event types: plain text in which `*` stands for any run of characters.

use serde::{Deserialize, Serialize};

/// A compiled type pattern such as `page.*`, `click` or `*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    parts: Vec<String>,
}

impl Pattern {
    /// Whether the whole of `kind` matches.
    pub fn matches(&self, kind: &str) -> bool {
        let Some((first, rest)) = self.parts.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return kind == first };
        let Some(mut kind) = kind.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            let Some(at) = kind.find(part.as_str()) else { return false };
            kind = kind.get(at + part.len()..).unwrap_or_default();
        }
        kind.ends_with(last.as_str())
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:-*".contains(c);
        if text.is_empty() || text.len() > 128 || !text.chars().all(allowed) {
            return Err(format!("type pattern {text:?} must be 1 to 128 of A-Z a-z 0-9 _ . : - *"));
        }
        let parts = text.split('*').map(str::to_owned).collect();
        Ok(Self { text, parts })
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_run() {
        for (pattern, kind, expected) in [
            ("click", "click", true),
            ("click", "clicks", false),
            ("page.*", "page.view", true),
            ("page.*", "page.", true),
            ("page.*", "page", false),
            ("*", "anything", true),
            ("*.error", "app.error", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
        ] {
            let compiled = Pattern::try_from(pattern.to_owned()).expect("a valid pattern");
            assert_eq!(compiled.matches(kind), expected, "{pattern} on {kind}");
        }
        assert!(Pattern::try_from(String::from("a b")).is_err());
    }
}
