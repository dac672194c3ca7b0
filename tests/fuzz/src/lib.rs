//! One function for each parser of bytes from outside: any input at all, and what must hold then.
//!
//! In: bytes. Out: nothing, or a panic that names what does not hold. The fuzzer runs them by the
//! files in `fuzz_targets/`; the suite runs every seed and every kept case through all of them.
//! Must never depend on anything but its input.

pub mod codings;
pub mod differential;
pub mod export;
pub mod front;
pub mod queries;
pub mod settings;
pub mod split;
pub mod stored;

/// A target: it returns, or it has found something.
pub type Target = fn(&[u8]);

/// Every target by the name of its file in `fuzz_targets/`.
pub const TARGETS: [(&str, Target); 18] = [
    ("coding", codings::sniffed),
    ("config", settings::text),
    ("deflate", codings::deflate),
    ("differential", differential::agree),
    ("environment", settings::variable),
    ("facts", stored::facts),
    ("forwarded", front::forwarded),
    ("gzip", codings::gzip),
    ("header", split::header_line),
    ("journal_cursor", stored::cursor),
    ("journal_export", export::file),
    ("journal_frame", stored::frame),
    ("pixel", queries::pixel),
    ("proxy", front::proxy_header),
    ("query", queries::query),
    ("split", split::body),
    ("zlib", codings::zlib),
    ("zstd", codings::zstandard),
];
