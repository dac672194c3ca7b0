//! The SDK document behind `GET /v1/config`: read once, answered from memory.

use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// A document, its tag and its version.
#[derive(Debug, Clone)]
pub struct Document {
    /// JSON text as in the file.
    pub text: Bytes,
    /// A strong entity tag.
    pub tag: String,
    /// Its `version`, which replies announce as `config`.
    pub version: u64,
}

/// Why a document cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("sdk.document {0}: {1}")]
    File(String, #[source] std::io::Error),
    /// It is no JSON object with an integer `version`.
    #[error("sdk.document {0}: {1}; it must be a JSON object with an integer \"version\"")]
    Json(String, #[source] serde_json::Error),
}

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

impl Document {
    /// Reads a document; an empty path is none.
    pub fn open(path: &Path) -> Result<Option<Self>, Error> {
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let shown = path.display().to_string();
        let text = std::fs::read(path).map_err(|error| Error::File(shown.clone(), error))?;
        let Versioned { version } =
            serde_json::from_slice(&text).map_err(|error| Error::Json(shown, error))?;
        let digest: [u8; 32] = Sha256::digest(&text).into();
        let head = digest.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
        let tag = format!("\"{head:016x}\"");
        Ok(Some(Self { text: Bytes::from(text), tag, version }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_follows_the_text() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), r#"{"version":7}"#).expect("written");
        let one = Document::open(file.path()).expect("valid").expect("there");
        assert_eq!(one.version, 7);
        std::fs::write(file.path(), r#"{"version":8}"#).expect("written");
        let two = Document::open(file.path()).expect("valid").expect("there");
        assert_ne!(one.tag, two.tag);
        std::fs::write(file.path(), "[]").expect("written");
        let error = Document::open(file.path()).expect_err("no version").to_string();
        assert!(error.contains("\"version\""), "{error}");
        assert!(Document::open(Path::new("")).expect("none").is_none());
    }
}
