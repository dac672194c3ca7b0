//! Floor 0: reading JSON text without building anything: validate, find members, cut spans.
//!
//! In: bytes whose UTF-8 was checked elsewhere. Out: positions, or a [`Fault`] with its position.
//! Everything is iterative, nesting ends at [`DEPTH_MAX`], and lone surrogates are refused.
//! Must never recurse, allocate while it validates, or accept what RFC 8259 does not.

mod members;
mod number;
mod path;
mod scanner;
mod string;
#[cfg(test)]
mod tests;
mod value;
mod word;

pub use members::{Member, Members, first_key};
pub use number::{float, integer};
pub use path::field;
pub use scanner::Scanner;
pub use string::{text_is, unescape};

/// How deep containers may nest; a container outside of all others has depth 1.
pub const DEPTH_MAX: u32 = 64;

/// What is wrong with a JSON text, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A byte that the grammar does not allow here.
    #[error("not JSON at byte {0}")]
    Syntax(usize),
    /// The text (or the line, where lines bound it) ends inside a value.
    #[error("JSON ends too early at byte {0}")]
    Eof(usize),
    /// A container deeper than [`DEPTH_MAX`].
    #[error("nested deeper than 64 at byte {0}")]
    Depth(usize),
    /// A `\u` escape that is half of a surrogate pair.
    #[error("lone surrogate at byte {0}")]
    LoneSurrogate(usize),
}

/// The sort of a value, as its first byte tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`
    Null,
}

/// Validates `bytes` as exactly one JSON value with blanks around it.
pub fn validate(bytes: &[u8]) -> Result<(), Fault> {
    let mut scanner = Scanner::anywhere();
    let start = scanner.blanks(bytes, 0);
    let end = scanner.value(bytes, start)?;
    let rest = scanner.blanks(bytes, end);
    if rest == bytes.len() { Ok(()) } else { Err(Fault::Syntax(rest)) }
}
