//! Reads one TOML file and the environment into a settings type.
//!
//! In: a path and variables such as `TIDEGATE__KAFKA__BROKERS`. Out: the settings, or an error that
//! names file, line and key, or the variable. Must never guess: unknown keys are refused. Must never
//! repeat a value in an error, because it may be a secret.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::place;

/// Prefix of every environment override; `__` separates the levels.
pub const ENV_PREFIX: &str = "TIDEGATE__";

/// Why settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there or not readable.
    #[error("configuration file {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file's text is not what is expected; the text names line, column and key.
    #[error("configuration file {}: {message}", path.display())]
    Text {
        /// Which file.
        path: PathBuf,
        /// Line, column, key and what was expected.
        message: String,
    },
    /// A variable's value does not fit.
    #[error("environment variable {variable}: {message}")]
    Environment {
        /// Its name.
        variable: String,
        /// What was expected.
        message: String,
    },
}

/// Loads settings from a file (none: all defaults) and the given variables, which win.
pub fn load<T: DeserializeOwned>(
    path: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<T, Error> {
    let mut table = Table::new();
    let shown = path.map_or_else(|| PathBuf::from("(defaults)"), Path::to_owned);
    if let Some(path) = path {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::File { path: path.to_owned(), source })?;
        // The typed pass over the text comes first: only it knows lines and columns.
        parse::<T>(&text).map_err(|message| Error::Text { path: shown.clone(), message })?;
        table = parse(&text).map_err(|message| Error::Text { path: shown.clone(), message })?;
    }
    let mut settings = T::deserialize(Value::Table(table.clone()))
        .map_err(|error| Error::Text { path: shown, message: one_line(&error) })?;
    let mut overrides: Vec<_> =
        variables.filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
    overrides.sort();
    for (variable, raw) in overrides {
        (table, settings) = apply(&table, &variable, &raw)?;
    }
    Ok(settings)
}

/// Parses a text; an error names line, column and key.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| place::told(text, &error))
}

/// An error about values that stand in no text.
fn one_line(error: &toml::de::Error) -> String {
    let said = error.message();
    let whole = error.to_string();
    // Behind the message stands the path of the key.
    let path = whole.strip_prefix(said).unwrap_or_default().trim().replace('\n', "; ");
    let said = place::without_values(said);
    if path.is_empty() { said } else { format!("{said}; {path}") }
}

/// Tries the value as TOML first (numbers, booleans, arrays), then as plain text.
fn apply<T: DeserializeOwned>(
    table: &Table,
    variable: &str,
    raw: &str,
) -> Result<(Table, T), Error> {
    let refused = |message: String| Error::Environment { variable: variable.to_owned(), message };
    let path: Vec<String> = variable
        .strip_prefix(ENV_PREFIX)
        .unwrap_or_default()
        .split("__")
        .map(str::to_ascii_lowercase)
        .collect();
    let typed = toml::from_str::<Table>(&format!("value = {raw}"))
        .ok()
        .and_then(|mut parsed| (parsed.len() == 1).then(|| parsed.remove("value")).flatten());
    let mut first_error = None;
    for value in typed.into_iter().chain([Value::String(raw.to_owned())]) {
        let mut table = table.clone();
        put(&mut table, &path, value).map_err(refused)?;
        match T::deserialize(Value::Table(table.clone())) {
            Ok(settings) => return Ok((table, settings)),
            Err(error) => first_error = first_error.or_else(|| Some(one_line(&error))),
        }
    }
    Err(refused(first_error.unwrap_or_default()))
}

fn put(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    match path {
        [] => Err("names no key".to_owned()),
        [key] => {
            table.insert(key.clone(), value);
            Ok(())
        }
        [section, rest @ ..] => {
            let entry = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
            match entry {
                Value::Table(inner) => put(inner, rest, value),
                _ => Err(format!("{section} is not a section")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        name: String,
        size_bytes: u64,
        inner: Inner,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        list: Vec<String>,
        on: bool,
    }

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Sample, String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        load(Some(file.path()), variables).map_err(|error| error.to_string())
    }

    #[test]
    fn environment_wins_over_the_file() {
        let sample = read(
            "name = 'a'\n[inner]\non = false",
            &[
                ("TIDEGATE__NAME", "127.0.0.1:80"),
                ("TIDEGATE__SIZE_BYTES", "12"),
                ("TIDEGATE__INNER__ON", "true"),
                ("TIDEGATE__INNER__LIST", "['x']"),
                ("HOME", "/"),
            ],
        )
        .expect("valid");
        let inner = Inner { list: vec!["x".into()], on: true };
        assert_eq!(sample, Sample { name: "127.0.0.1:80".into(), size_bytes: 12, inner });
        assert_eq!(read("", &[("TIDEGATE__NAME", "2024")]).expect("text").name, "2024");
    }

    #[test]
    fn errors_repeat_no_value() {
        for text in [
            "name = hunter2",
            "name = 'hunter2",
            "size_bytes = 'hunter2, expected'",
            "name = 'a'\nname = 'hunter2'",
            "inner = 'hunter2'",
            "[inner]\nlist = 'hunter2'",
            "hunter2",
        ] {
            let error = read(text, &[]).expect_err(text);
            assert!(!error.contains("hunter2") && error.contains("line "), "{text}: {error}");
        }
        let error = read("", &[("TIDEGATE__SIZE_BYTES", "hunter2")]).expect_err("no number");
        assert!(!error.contains("hunter2") && error.contains("SIZE_BYTES"), "{error}");
    }

    #[test]
    fn errors_name_line_and_key_or_variable() {
        let error = read("name = 'a'\nsize_bites = 3", &[]).expect_err("unknown key");
        assert!(error.contains("line 2") && error.contains("size_bites"), "{error}");
        let error = read("size_bytes = 'x'", &[]).expect_err("wrong type");
        assert!(error.contains("line 1") && error.contains("size_bytes"), "{error}");
        let error = read("", &[("TIDEGATE__INNER__OFF", "1")]).expect_err("unknown variable");
        assert!(error.contains("TIDEGATE__INNER__OFF") && error.contains("off"), "{error}");
        let error = load::<Sample>(Some(Path::new("/no/such.toml")), std::iter::empty());
        assert!(error.expect_err("no file").to_string().contains("/no/such.toml"));
    }
}
