//! White space between tokens, and whether a line feed is white space or the end of the text.
//!
//! In: a position. Out: the next byte that is no blank. Remembers whether it met a line break, so
//! that nobody has to look through a valid value again to find one.

use super::Fault;

/// How blanks are read, and what has been met so far.
#[derive(Debug, Clone, Copy)]
pub struct Blanks {
    line_feed_ends: bool,
    broken: bool,
}

impl Blanks {
    /// A line feed is a blank like any other.
    pub fn anywhere() -> Self {
        Self { line_feed_ends: false, broken: false }
    }

    /// A line feed ends the text.
    pub fn in_line() -> Self {
        Self { line_feed_ends: true, broken: false }
    }

    /// Whether a line feed or carriage return was skipped since the start or [`Blanks::forget`].
    pub fn broken(&self) -> bool {
        self.broken
    }

    /// Forgets the line breaks that were met.
    pub fn forget(&mut self) {
        self.broken = false;
    }

    /// The first byte from `at` that is no blank, or the length.
    #[inline]
    pub fn skip(&mut self, bytes: &[u8], at: usize) -> usize {
        match bytes.get(at) {
            Some(byte) if *byte > b' ' => at,
            _ => self.skip_some(bytes, at),
        }
    }

    /// What is wrong at `at`, where some other byte was needed.
    #[cold]
    pub(super) fn fault(&self, bytes: &[u8], at: usize) -> Fault {
        match bytes.get(at) {
            None => Fault::Eof(at),
            Some(b'\n') if self.line_feed_ends => Fault::Eof(at),
            Some(_) => Fault::Syntax(at),
        }
    }

    #[inline(never)]
    fn skip_some(&mut self, bytes: &[u8], mut at: usize) -> usize {
        while let Some(byte) = bytes.get(at) {
            match byte {
                b' ' | b'\t' => {}
                b'\n' if self.line_feed_ends => break,
                b'\n' | b'\r' => self.broken = true,
                _ => break,
            }
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_blanks_are_skipped() {
        let mut blanks = Blanks::anywhere();
        assert_eq!(blanks.skip(b" \t\x0c", 0), 2);
        assert!(!blanks.broken());
        assert_eq!(blanks.skip(b" \r\n x", 0), 4);
        assert!(blanks.broken());
        let mut blanks = Blanks::in_line();
        assert_eq!(blanks.skip(b" \n x", 0), 1);
        assert_eq!(blanks.fault(b" \n x", 1), Fault::Eof(1));
    }
}
