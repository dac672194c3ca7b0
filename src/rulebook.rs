//! Floor 3: everything that shapes tier 2, as one text with a hash, compiled.
//!
//! In: rules, routes and limits. Out: a [`Rulebook`], and the older ones that journal frames name.
//! The text is synced under `data/rules/<hash>` before its first use, so a record can always be
//! split again under the rules that it was accepted with.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::texts;
use crate::{decode, route, split};

/// What shapes tier 2, as it is written to `data/rules/`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// `[[rules]]`.
    pub rules: Vec<split::rules::Settings>,
    /// `[[routes]]`.
    pub routes: Vec<route::Route>,
    /// Limits of inflating.
    pub decode: decode::Limits,
    /// Limits of splitting.
    pub split: split::Limits,
    /// Largest tier-2 output of one batch.
    pub output_bytes_max: u64,
    /// First part of every topic name.
    pub topic_prefix: String,
}

/// One shape, compiled.
#[derive(Debug)]
pub struct Rulebook {
    /// First eight bytes of the text's SHA-256.
    pub hash: u64,
    /// The text.
    pub text: String,
    /// What it says.
    pub shape: Shape,
    /// Compiled rules.
    pub rules: split::Rules,
    /// Compiled routes.
    pub table: route::Table,
}

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule makes no sense.
    #[error("{0}")]
    Rule(#[from] split::rules::Error),
    /// A route makes no sense.
    #[error("{0}")]
    Route(#[from] route::Error),
    /// A stored text does not parse.
    #[error("rules {hash:016x}: {message}")]
    Text {
        /// Its name.
        hash: u64,
        /// What is wrong.
        message: String,
    },
    /// The text cannot be stored or found.
    #[error("rules {hash:016x} in {}: {source}", dir.display())]
    Store {
        /// Its name.
        hash: u64,
        /// Where.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Rulebook {
    /// Compiles a shape.
    pub fn compile(shape: Shape) -> Result<Self, Error> {
        let rules = split::Rules::compile(&shape.rules)?;
        let table = route::Table::compile(&shape.routes, &shape.topic_prefix)?;
        let text = serde_json::to_string(&shape)
            .map_err(|error| Error::Text { hash: 0, message: error.to_string() })?;
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let hash = digest.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
        Ok(Self { hash, text, shape, rules, table })
    }

    /// Compiles a stored text under the name that it was stored by.
    pub fn parse(hash: u64, text: &str) -> Result<Self, Error> {
        let shape = serde_json::from_str(text)
            .map_err(|error| Error::Text { hash, message: error.to_string() })?;
        let book = Self::compile(shape)?;
        // A text that an older version wrote may serialise otherwise today; its name stays.
        Ok(Self { hash, text: text.to_owned(), ..book })
    }
}

/// The rulebook in force, and older ones on demand.
#[derive(Debug)]
pub struct Rulebooks {
    dir: PathBuf,
    current: ArcSwap<Rulebook>,
    older: Mutex<FxHashMap<u64, Arc<Rulebook>>>,
}

/// Older rulebooks kept compiled; more are read again when needed.
const OLDER_MAX: usize = 16;

impl Rulebooks {
    /// Stores the text durably, then puts it in force.
    pub fn open(dir: PathBuf, current: Rulebook) -> Result<Self, Error> {
        texts::keep(&dir, current.hash, &current.text).map_err(|source| Error::Store {
            hash: current.hash,
            dir: dir.clone(),
            source,
        })?;
        let current = ArcSwap::from_pointee(current);
        Ok(Self { dir, current, older: Mutex::default() })
    }

    /// Puts another one in force, its text durable first. What came before stays at hand, for what
    /// was accepted under it.
    pub fn replace(&self, next: Rulebook) -> Result<(), Error> {
        let before = self.current.load_full();
        if before.hash == next.hash {
            return Ok(());
        }
        texts::keep(&self.dir, next.hash, &next.text).map_err(|source| Error::Store {
            hash: next.hash,
            dir: self.dir.clone(),
            source,
        })?;
        self.remember(before);
        self.current.store(Arc::new(next));
        Ok(())
    }

    /// The rulebook in force.
    pub fn current(&self) -> Arc<Rulebook> {
        self.current.load_full()
    }

    /// The rulebook that a record names.
    pub fn find(&self, hash: u64) -> Result<Arc<Rulebook>, Error> {
        let current = self.current.load();
        if current.hash == hash {
            return Ok(Arc::clone(&current));
        }
        if let Some(book) = self.older.lock().get(&hash) {
            return Ok(Arc::clone(book));
        }
        let text = texts::find(&self.dir, hash).map_err(|source| Error::Store {
            hash,
            dir: self.dir.clone(),
            source,
        })?;
        let book = Arc::new(Rulebook::parse(hash, &text)?);
        self.remember(Arc::clone(&book));
        Ok(book)
    }

    fn remember(&self, book: Arc<Rulebook>) {
        let mut older = self.older.lock();
        if older.len() >= OLDER_MAX && !older.contains_key(&book.hash) {
            older.clear();
        }
        older.insert(book.hash, book);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Routes {
        routes: Vec<route::Route>,
    }

    fn shape(lane: &str) -> Shape {
        let routes = format!("[[routes]]\ntypes = ['a']\nlane = '{lane}'");
        let routes: Routes = toml::from_str(&routes).expect("valid");
        Shape { routes: routes.routes, topic_prefix: "tidegate".into(), ..Shape::default() }
    }

    #[test]
    fn a_record_finds_the_rules_that_it_was_accepted_under() {
        let dir = tempfile::tempdir().expect("a directory");
        let old = Rulebook::compile(shape("old")).expect("valid");
        let hash = old.hash;
        drop(Rulebooks::open(dir.path().to_owned(), old).expect("stored"));
        let new = Rulebook::compile(shape("new")).expect("valid");
        assert_ne!(hash, new.hash);
        let books = Rulebooks::open(dir.path().to_owned(), new).expect("stored");
        let found = books.find(hash).expect("kept");
        assert_eq!((found.hash, found.shape.routes[0].lane.as_str()), (hash, "old"));
        assert!(books.find(1).is_err());
    }

    #[test]
    fn another_rulebook_comes_into_force_with_its_text_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let compile = |lane: &str| Rulebook::compile(shape(lane)).expect("valid");
        let books = Rulebooks::open(dir.path().to_owned(), compile("first")).expect("stored");
        let first = books.current().hash;
        for round in 0..3 * OLDER_MAX {
            let next = compile(&format!("lane-{round}"));
            let hash = next.hash;
            books.replace(next).expect("stored");
            assert_eq!(books.current().hash, hash);
            assert!(dir.path().join(format!("{hash:016x}")).exists());
            assert_eq!(books.find(first).expect("kept").shape.routes[0].lane, "first");
            assert!(books.older.lock().len() <= OLDER_MAX);
        }
        let blocked = dir.path().join("file");
        std::fs::write(&blocked, "").expect("written");
        let books = Rulebooks { dir: blocked, ..books };
        let before = books.current().hash;
        assert!(books.replace(compile("never")).is_err());
        assert_eq!(books.current().hash, before, "not before its text is durable");
    }

    #[test]
    fn the_name_of_the_default_rules_is_pinned() {
        let book = Rulebook::compile(shape("a")).expect("valid");
        assert_eq!(book.hash, Rulebook::parse(book.hash, &book.text).expect("parses").hash);
    }
}
