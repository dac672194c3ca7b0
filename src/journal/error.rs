//! Everything that can go wrong in the journal, with what the caller needs to act on it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

/// Why the journal did not do what it was asked. Cheap to clone: one cause may fail many appends.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no room: the client is told to come again.
    #[error("journal is full: {limit} is {bytes_max} bytes")]
    Full {
        /// The setting that was hit.
        limit: &'static str,
        /// Its value.
        bytes_max: u64,
    },
    /// An earlier failure is not healed yet; the writer probes the disk by itself.
    #[error("journal is down after a failure of the disk")]
    Down,
    /// The journal was closed.
    #[error("journal is closed")]
    Closed,
    /// The entry can never be stored.
    #[error("journal entry of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge {
        /// Its payload.
        bytes: u64,
        /// The most that a frame takes.
        bytes_max: u64,
    },
    /// An entry names more clusters than its count byte can.
    #[error("journal entry names {0} clusters, over the limit of 255")]
    Clusters(usize),
    /// The disk refused.
    #[error("cannot {step} {name}")]
    Disk {
        /// What was tried.
        step: &'static str,
        /// The file or directory.
        name: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The directory is in use.
    #[error("journal directory {0} is locked by another process")]
    Locked(PathBuf),
    /// Written by a newer Tidegate.
    #[error(
        "{name} has format version {found}, but this program knows {known} at most: run the \
         tidegate that wrote it, or a newer one; nothing was changed"
    )]
    Version {
        /// The file.
        name: String,
        /// Its version.
        found: u32,
        /// The newest version that can be read here.
        known: u32,
    },
    /// Two journals lie in one directory.
    #[error("segment {name} belongs to journal {found}, not to {expected}")]
    Foreign {
        /// The segment file.
        name: String,
        /// Its journal.
        found: Uuid,
        /// The journal that the other files belong to.
        expected: Uuid,
    },
    /// No file tells which journal the frames belong to, so that none of them can be trusted.
    #[error("no segment header in {0} is readable, and no cursor names the journal")]
    Headers(PathBuf),
    /// An export that cannot be imported; nothing of it was.
    #[error("{name} is damaged after {after} records: {flaw}; nothing was imported")]
    Export {
        /// The file.
        name: String,
        /// What is wrong.
        flaw: String,
        /// Records that are whole.
        after: u64,
    },
    /// An import that ended in the middle.
    #[error("only {records} of {of} records were imported; the rest is in the file alone")]
    Half {
        /// Records that are durable.
        records: u64,
        /// Records in the file.
        of: u64,
        /// What stopped it.
        #[source]
        source: Box<Error>,
    },
    /// A setting that cannot work.
    #[error("journal.{key} must be {wanted}")]
    Settings {
        /// The setting.
        key: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
    /// Not usable as the end of a file name.
    #[error("`{0}` is no name for a cursor: 1 to 80 of a-z, 0-9, `.` and `-`")]
    CursorName(String),
}

impl Error {
    /// What the system said, if it was the disk.
    pub(super) fn system(&self) -> Option<&io::Error> {
        match self {
            Self::Disk { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Wraps what the system said about `name`.
    pub(super) fn disk(step: &'static str, name: &str, source: io::Error) -> Self {
        Self::Disk { step, name: name.to_owned(), source: Arc::new(source) }
    }
}
