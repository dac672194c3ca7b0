//! Floor 2: the one durable log of this node. In: batches as they came, and what they still owe.
//! Out: a promise that resolves after the `fdatasync` that covers the entry; the same entries, in
//! order, to whoever reads or follows. Must never acknowledge before the sync, never delete what is
//! owed, and never block whoever appends.
//!
//! # Limits
//!
//! A payload has at most [`frame::PAYLOAD_BYTES_MAX`] bytes; everything else that is bounded is in
//! [`Settings`]. Over a limit an append is refused at once with [`Error::Full`].
//!
//! # Layout
//!
//! A directory holds segments `<first seq, 20 digits>.tgj`, cursors `cursor-<sink>`, `lock`,
//! `reserve`, and `<segment>.<offset>.broken`, which are copies of cut or damaged bytes for a
//! person to look at. A segment's file is allocated when it begins; its length is what was written.
//! Numbers are little-endian, checksums CRC-32C. Seqs count frames, from 1; some may be left out.
//!
//! ```text
//! segment   magic TGJN | version u32 = 1 | first seq u64 | first seq of the segment before u64
//!           | last seq acknowledged when it was created u64 | journal uuid | created ms i64
//!           | frames torn out before that seq u32 | checksum u32                   64 bytes
//! frame     magic TGFR | kind u8 | flags u8 = 0 | place in its group u16 | seq u64
//!           | payload bytes u32 | payload checksum u32 | header checksum u32       28 bytes
//!           payload, zeros up to a multiple of 8
//! record 1  flags u8 (bit 0: pending) | clusters u8 | that many owed sets
//!           | facts bytes u32 | facts (tag u8, length u16, value; ...) | body as received
//! settle 2  seq of the record u64 | cluster u8 | the owed set that remains
//! seen 3    reserved
//! owed set  words u16 | that many words u64: bit 0 the raw record, bit 1 + index an event
//! cursor    two slots, 4096 bytes apart: magic TGCU | version u32 = 1 | generation u64
//!           | next seq u64 | journal uuid | 0 u32 | checksum u32                   48 bytes
//! ```
//!
//! The checksum of a frame header starts from that of the journal's uuid, so that no frame of
//! another journal, and nothing that a client sends, is ever taken for a frame. Frames stand in
//! ascending order, so that an older frame of this journal in a recycled block is not either.
//! Readers skip kinds that they do not know; a kind that owes something needs a new version.
//!
//! # What survives which crash
//!
//! Everything acknowledged survives the loss of power, if the disk tells the truth about flushes.
//! The writer commits in groups: one write, one `fdatasync`, then the acknowledgements. It begins a
//! segment in this order: create, write the header, `fdatasync`, `fsync` the directory; only then
//! are frames written to it.
//!
//! A bad frame is damage only if it had been acknowledged, and a frame tells what had been: groups
//! follow each other strictly, so a valid frame at place `p` of its group proves that everything up
//! to `seq - p - 1` was durable; and a segment header tells what had been acknowledged before it.
//!
//! | left behind | found by | done |
//! |---|---|---|
//! | at most 64 bytes without a valid header | crash while beginning a segment | deleted |
//! | bytes behind the last valid frame of the newest segment | crash while writing | copied, cut |
//! | a hole in the last group of the newest segment | the same, written out of order | skipped |
//! | a missing frame that a later frame proves | damage | skipped, kept, counted |
//! | frames beyond what the next header acknowledges | a write or sync that failed | ignored |
//! | bad frames up to what the next header acknowledges | damage | skipped, kept, counted |
//! | a segment whose successor names another one before it | deletion that was undone | kept |
//!
//! # Failures
//!
//! A write or sync that fails poisons its segment: the file is cut to what is durable and never
//! written again, as a second sync proves nothing. The group is written once more, to a fresh file,
//! and acknowledged after that file's sync. If that fails too, the group is refused and the journal
//! is down; it probes the disk every `probe_ms`. Recovery writes the last group again before it
//! trusts it, for the same reason.
//!
//! A full disk shows when a segment begins, as segments are allocated then; records are refused
//! earlier, while less than `min_free_bytes` is free. Settlements are not: they go to segments that
//! are no larger than needed. When nothing is free at all the reserve is deleted, so that they, the
//! cursors and copies of damage find room, and draining can make more. Records come again when a
//! whole segment fits above `min_free_bytes`.
//!
//! Room is made in this order, whoever asks: the cursor is durable, then a segment is deleted, then
//! the directory is synced. So a cursor may point behind a segment that is still there, never
//! before one that is gone.

pub mod cursor;
pub mod disk;
pub mod entry;
pub mod frame;

mod active;
mod appended;
mod broken;
mod error;
mod export;
mod handle;
mod import;
mod inspect;
mod meters;
mod pace;
mod queue;
mod reader;
mod recover;
mod room;
mod segment;
mod settings;
mod shared;
mod survey;
mod table;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use appended::Appended;
pub use cursor::Cursor;
pub use entry::{Draft, Entry};
pub use error::Error;
pub use export::{Summary, export};
pub use handle::{Journal, open};
pub use import::import;
pub use inspect::{Report, Scanned, Verified, dump, scan, verify};
pub use reader::{Frame, Reader};
pub use recover::Recovered;
pub use settings::Settings;
pub use shared::Followed;
pub use table::Usage;
