//! The config centre behind `GET /v1/config`: one document per app, answered from memory.
//!
//! In: a folder of `<app>.toml` files that inherit from `default.toml`, or one JSON file that is
//! sent as it is. Out: the text for an app at a moment. A version never falls, and grows with every
//! change: SDKs fetch a document only when a reply names a higher one than theirs.

mod content;
mod prepared;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::Deserialize;
use toml::Table;

pub use self::content::Content;
pub use self::prepared::{Announced, Prepared, Text};
use crate::config::load;

/// Where documents are, from `[sdk]`.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// `sdk.document`; empty for none.
    pub document: &'a Path,
    /// `sdk.documents`; empty for none.
    pub documents: &'a Path,
}

/// All documents in force.
#[derive(Debug, Default)]
pub struct Documents {
    /// For apps without a file of their own.
    default: Option<Arc<Prepared>>,
    by_app: FxHashMap<String, Arc<Prepared>>,
}

/// Why documents cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two sources.
    #[error("sdk.document and sdk.documents are both set; keep one of them")]
    Both,
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no JSON object with an integer `version`.
    #[error("sdk.document {}: {source}; it must be a JSON object with an integer \"version\"", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A file's text is not what is expected.
    #[error("{}: {message}", path.display())]
    Text {
        /// Which file.
        path: PathBuf,
        /// Line, key and what is wrong.
        message: String,
    },
    /// Too many files, or too large ones.
    #[error("{}: {message}", path.display())]
    TooMuch {
        /// Which file or folder.
        path: PathBuf,
        /// The limit.
        message: &'static str,
    },
    /// A document has changed and its version has not.
    #[error("the SDK document of {app} has changed, but its version is still {version}: raise it")]
    SameVersion {
        /// Which app.
        app: String,
        /// Its version.
        version: u64,
    },
    /// SDKs would ignore it.
    #[error(
        "the SDK document of {app} would fall from version {from} to {to}, which SDKs ignore: \
         raise its version, or that of default.toml"
    )]
    Falls {
        /// Which app.
        app: String,
        /// Its version until now.
        from: u64,
        /// Its new one.
        to: u64,
    },
}

/// The file that the others inherit from.
const DEFAULT: &str = "default";
/// Files of apps.
const FILES_MAX: usize = 10_000;
/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 256 << 10;

impl Documents {
    /// Reads and prepares all documents.
    pub fn open(source: Source<'_>, announced: &Announced, now_ms: i64) -> Result<Self, Error> {
        let is_set = |path: &Path| !path.as_os_str().is_empty();
        match (is_set(source.document), is_set(source.documents)) {
            (true, true) => Err(Error::Both),
            (true, false) => verbatim(source.document),
            (false, true) => folder(source.documents, announced, now_ms),
            (false, false) => Ok(Self::default()),
        }
    }

    /// The document of an app.
    pub fn of(&self, app: &str) -> Option<&Prepared> {
        self.by_app.get(app).or(self.default.as_ref()).map(Arc::as_ref)
    }

    /// What replies to an app announce as `config`; 0 for none.
    pub fn version(&self, app: &str) -> u64 {
        self.of(app).map_or(0, |document| document.version)
    }

    /// Apps with a file of their own and `default`, with their versions.
    pub fn versions(&self) -> impl Iterator<Item = (&str, u64)> {
        let apps = self.by_app.iter().map(|(app, document)| (app.as_str(), document.version));
        self.default.iter().map(|document| (DEFAULT, document.version)).chain(apps)
    }

    /// Whether these say something else than `others`, the gateway's own additions included.
    pub fn differ(&self, others: &Self) -> bool {
        let count = |documents: &Self| documents.versions().count();
        count(self) != count(others)
            || self.default.is_some() != others.default.is_some()
            || self.by_app.keys().any(|app| !others.by_app.contains_key(app))
            || self
                .by_app
                .keys()
                .map(String::as_str)
                .chain([""])
                .any(|app| self.of(app).map(Prepared::texts) != others.of(app).map(Prepared::texts))
    }

    /// Whether these may replace `earlier` ones while SDKs watch.
    pub fn may_follow(&self, earlier: &Self) -> Result<(), Error> {
        let mut apps: Vec<&str> = self.by_app.keys().map(String::as_str).collect();
        apps.extend(earlier.by_app.keys().map(String::as_str));
        // A name that no app can have stands for all others.
        apps.push("");
        for app in apps {
            let (Some(old), Some(new)) = (earlier.of(app), self.of(app)) else { continue };
            let app = || if app.is_empty() { DEFAULT.to_owned() } else { app.to_owned() };
            if new.version < old.version {
                return Err(Error::Falls { app: app(), from: old.version, to: new.version });
            }
            if new.version == old.version && !new.says_the_same(old) {
                return Err(Error::SameVersion { app: app(), version: new.version });
            }
        }
        Ok(())
    }
}

/// The files that documents are made of, for whoever watches them.
pub fn files(source: Source<'_>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = [source.document, source.documents]
        .into_iter()
        .filter(|path| !path.as_os_str().is_empty())
        .map(Path::to_owned)
        .collect();
    if !source.documents.as_os_str().is_empty() {
        // A folder that cannot be read is told of when it is read in earnest.
        found.extend(names(source.documents).unwrap_or_default().into_iter().map(|(_, path)| path));
    }
    found
}

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

fn verbatim(path: &Path) -> Result<Documents, Error> {
    let text = read(path)?;
    let Versioned { version } = serde_json::from_str(&text)
        .map_err(|source| Error::Json { path: path.to_owned(), source })?;
    let default = Some(Arc::new(Prepared::verbatim(text.as_bytes(), version)));
    Ok(Documents { default, by_app: FxHashMap::default() })
}

fn folder(dir: &Path, announced: &Announced, now_ms: i64) -> Result<Documents, Error> {
    let mut names = names(dir)?;
    let default = names.iter().position(|(app, _)| app == DEFAULT).map(|at| names.swap_remove(at));
    let mut inherited = Table::new();
    let mut documents = Documents::default();
    let mut base = 0;
    if let Some((_, path)) = default {
        let (content, table) = document(&path, &inherited, now_ms)?;
        inherited = table;
        base = content.version;
        documents.default = Some(Arc::new(Prepared::new(content, base, announced)));
    }
    for (app, path) in names {
        let (content, _) = document(&path, &inherited, now_ms)?;
        // The sum grows when either file's version does, and so does what apps inherit.
        let version = base + content.version;
        documents.by_app.insert(app, Arc::new(Prepared::new(content, version, announced)));
    }
    Ok(documents)
}

fn document(path: &Path, inherited: &Table, now_ms: i64) -> Result<(Content, Table), Error> {
    let text = read(path)?;
    let failed = |message| Error::Text { path: path.to_owned(), message };
    let content = Content::read(&text, inherited, now_ms).map_err(failed)?;
    Ok((content, load::parse(&text).map_err(failed)?))
}

fn read(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(Error::TooMuch { path: path.to_owned(), message: "more than 256 KiB" });
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// Apps and their files, sorted; what does not end in `.toml` or begins with a dot is not ours.
fn names(dir: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let failed = |source| Error::File { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(app) = name.strip_suffix(".toml").filter(|app| !app.starts_with('.')) else {
            continue;
        };
        found.push((app.to_owned(), path.clone()));
        if found.len() > FILES_MAX {
            let message = "more than 10,000 files";
            return Err(Error::TooMuch { path: dir.to_owned(), message });
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
