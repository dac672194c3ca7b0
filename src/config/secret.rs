//! Texts that must not be seen: keys, passwords, tokens.
//!
//! In: a value from the configuration, the environment or a file of its own. Out: the value, for
//! whoever has to use it. Must never show it: `Debug` and `Serialize` write a mask.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::ops::{Deref, DerefMut};
use std::path::Path;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// What is shown instead of a secret.
pub const MASK: &str = "***";
/// The most that a file with a secret may hold.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// One secret; an empty one is none.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret itself. Whoever asks for it must not print it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a file; a line break at its end does not count.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other("a file with a secret has 64 KiB at most"));
        }
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            return Err(io::Error::other("it is empty"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether `text` is this secret. Both are hashed first, so the time says nothing of either.
    pub fn is(&self, text: &str) -> bool {
        Sha256::digest(self.0.as_bytes()) == Sha256::digest(text.as_bytes())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(mask(&self.0))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(mask(&self.0))
    }
}

/// Properties of librdkafka by name, of which some are secrets.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Properties(BTreeMap<String, String>);

/// Parts of the names of properties that hold secrets.
const SECRET_WORDS: [&str; 6] =
    ["password", "secret", "token", "pem", "oauthbearer.config", "assertion"];

impl Properties {
    /// Names and values as they may be shown.
    pub fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| {
            let secret = SECRET_WORDS.iter().any(|word| name.to_ascii_lowercase().contains(word));
            (name.as_str(), if secret { mask(value) } else { value })
        })
    }
}

impl Deref for Properties {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Properties {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<BTreeMap<String, String>> for Properties {
    fn from(properties: BTreeMap<String, String>) -> Self {
        Self(properties)
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.shown() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// An empty secret is shown as it is: nothing is configured.
fn mask(secret: &str) -> &'static str {
    if secret.is_empty() { "" } else { MASK }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_a_mask() {
        let secret = Secret::from("hunter2");
        let shown = format!("{secret:?} {}", serde_json::to_string(&secret).expect("JSON"));
        assert_eq!(shown, "*** \"***\"");
        assert_eq!(serde_json::to_string(&Secret::default()).expect("JSON"), "\"\"");
        assert!(secret.is("hunter2") && !secret.is("hunter"));
        let mut properties = Properties::default();
        for name in ["sasl.password", "ssl.key.pem", "sasl.oauthbearer.client.secret"] {
            properties.insert(name.to_owned(), "hunter2".to_owned());
        }
        properties.insert("ssl.key.location".to_owned(), "/etc/key".to_owned());
        let shown = format!("{properties:?} {}", toml::to_string(&properties).expect("TOML"));
        assert!(!shown.contains("hunter2") && shown.contains("/etc/key"), "{shown}");
    }

    #[test]
    fn a_file_is_read_without_its_last_line_break() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "hunter2\n").expect("written");
        assert_eq!(Secret::read(file.path()).expect("read").expose(), "hunter2");
        std::fs::write(file.path(), "\n").expect("written");
        assert!(Secret::read(file.path()).is_err());
        assert!(Secret::read(Path::new("/no/such/file")).is_err());
    }
}
