//! The rulebooks that records name, found again for their verdicts.
//!
//! In: folders of rules texts, and texts that somebody else has fetched. Out: a rulebook, or that
//! nobody knows it. Only reads; keeps a few of them compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::texts;
use crate::rulebook::Rulebook;

/// Compiled rulebooks that are kept; more are compiled again when they are named again.
const COMPILED_MAX: usize = 16;
/// Names of rulebooks that were not found which are kept for the reader.
const UNKNOWN_MAX: usize = 1_000;

/// Where rulebooks come from.
#[derive(Debug)]
pub struct Rules {
    dirs: Vec<PathBuf>,
    texts: BTreeMap<u64, String>,
    fallback: Arc<Rulebook>,
    compiled: BTreeMap<u64, Arc<Rulebook>>,
    unknown: BTreeSet<u64>,
}

impl Rules {
    /// Without folders and texts, only `current` is known. It also cuts, but does not judge, what
    /// was accepted under rules that are not found.
    pub fn new(current: Rulebook) -> Self {
        let (fallback, compiled) = (Arc::new(current), BTreeMap::new());
        let (dirs, texts, unknown) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Self { dirs, texts, fallback, compiled, unknown }
    }

    /// Looks into a folder of texts as well, such as `rules` in a data directory.
    pub fn add_dir(&mut self, dir: PathBuf) {
        self.dirs.push(dir);
    }

    /// Takes texts that were read elsewhere, by their hash.
    pub fn add_texts(&mut self, texts: impl IntoIterator<Item = (u64, String)>) {
        self.texts.extend(texts);
    }

    /// The rulebook of this name and whether it is the one; else one that can only cut.
    pub(super) fn find(&mut self, hash: u64) -> (Arc<Rulebook>, bool) {
        if self.fallback.hash == hash {
            return (Arc::clone(&self.fallback), true);
        }
        if let Some(book) = self.compiled.get(&hash) {
            return (Arc::clone(book), true);
        }
        let Some(book) = self.compile(hash) else {
            if self.unknown.len() < UNKNOWN_MAX {
                self.unknown.insert(hash);
            }
            return (Arc::clone(&self.fallback), false);
        };
        if self.compiled.len() >= COMPILED_MAX {
            self.compiled.clear();
        }
        self.compiled.insert(hash, Arc::clone(&book));
        (book, true)
    }

    /// The names that were asked for and not found.
    pub fn unknown(&self) -> impl Iterator<Item = u64> + '_ {
        self.unknown.iter().copied()
    }

    fn compile(&self, hash: u64) -> Option<Arc<Rulebook>> {
        let stored = self.dirs.iter().find_map(|dir| texts::find(dir, hash).ok());
        let text = stored.as_ref().or_else(|| self.texts.get(&hash))?;
        Rulebook::parse(hash, text).ok().map(Arc::new)
    }
}
