//! Carries what the journal holds to its sink, in the order of the journal.
//!
//! [`feed`] gives batches from memory where the live path left them there, else from the journal;
//! [`files`] writes them to the embedded store, [`cluster`] to Kafka. Both end by moving a cursor,
//! behind which segments may go.

pub mod cluster;
mod feed;
pub mod files;
mod line;
mod work;

pub use feed::{Fed, Feed};
pub use line::{Line, settled_of};

/// Why a drainer cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be read.
    #[error("journal: {0}")]
    Journal(#[from] crate::journal::Error),
    /// A frame does not hold a record.
    #[error("frame {seq}: {message}")]
    Frame {
        /// Its number.
        seq: u64,
        /// What is wrong.
        message: String,
    },
    /// The store cannot be written.
    #[error("store: {0}")]
    Store(#[from] super::sinks::file::Error),
    /// The thread could not be started.
    #[error("drainer thread: {0}")]
    Thread(#[from] std::io::Error),
}
