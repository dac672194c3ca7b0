//! What can go wrong in the store, sorted by what its owner has to do next.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was lost and nothing of the batch was taken: call again later (a full disk).
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// What is on the disk is no longer known: open the store again, which rebuilds it exactly.
    #[error("cannot {action} {}: {cause}; the store has to be opened again", path.display())]
    Broken {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The store said `Broken` before.
    #[error("the store broke earlier and has to be opened again")]
    GivenUp,
    /// The checkpoint is not what was written.
    #[error(
        "the checkpoint {} is damaged ({reason}); restore it, or move the whole folder away to \
         rebuild what the journal still holds",
        path.display()
    )]
    Damaged {
        /// The checkpoint's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There are event files, but the checkpoint that tells which are complete is gone.
    #[error(
        "{files} event files in {} have lost their checkpoint; restore .checkpoint.json, or move \
         the whole folder away to rebuild what the journal still holds",
        path.display()
    )]
    Orphaned {
        /// The store's folder.
        path: PathBuf,
        /// How many there are.
        files: u64,
    },
    /// Somebody else has it open.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// A batch came again, or out of order.
    #[error("batch {seq} was handed over where {next} or later was expected")]
    Order {
        /// The batch.
        seq: u64,
        /// The least number that would be right.
        next: u64,
    },
    /// A row does not point at a whole line; a defect of the route stage.
    #[error("row {row} of batch {seq} is no whole line of the batch's values")]
    Row {
        /// The batch.
        seq: u64,
        /// The row's position.
        row: usize,
    },
}

impl Error {
    /// Whether only opening the store again helps.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::GivenUp)
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { action, path: path.to_owned(), cause }
    }

    pub(super) fn broken(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Broken { action, path: path.to_owned(), cause }
    }
}
