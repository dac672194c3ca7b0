//! How a text is scanned, and what was met on the way: blanks, line breaks, the fault.
//!
//! In: what is left of the text. Out: what is left behind the thing that was scanned, or nothing
//! and the fault noted here, which keeps the hot functions' results in two registers.

use super::{Fault, value};

/// A scan of one text, of many values one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Scanner {
    line_feed_ends: bool,
    broken: bool,
    /// Its position counts from the end of the text, until a caller asks who knows the text.
    fault: Fault,
}

impl Scanner {
    /// A line feed is a blank like any other.
    pub fn anywhere() -> Self {
        Self { line_feed_ends: false, broken: false, fault: Fault::Eof(0) }
    }

    /// A line feed ends the text.
    pub fn in_line() -> Self {
        Self { line_feed_ends: true, ..Self::anywhere() }
    }

    /// Whether a line feed or carriage return was a blank since the start or [`Scanner::forget`].
    pub fn broken(&self) -> bool {
        self.broken
    }

    /// Forgets the line breaks that were met.
    pub fn forget(&mut self) {
        self.broken = false;
    }

    /// The first byte from `at` that is no blank, or the length.
    #[inline]
    pub fn blanks(&mut self, text: &[u8], at: usize) -> usize {
        text.len() - self.skip_blanks(text.get(at..).unwrap_or_default()).len()
    }

    /// Validates the value whose first byte is at `at`; returns the position behind it.
    pub fn value(&mut self, text: &[u8], at: usize) -> Result<usize, Fault> {
        match value::skip(text.get(at..).unwrap_or_default(), 0, self) {
            Some(rest) => Ok(text.len() - rest.len()),
            None => Err(self.fault_in(text)),
        }
    }

    /// What is left behind blanks.
    #[inline]
    pub(super) fn skip_blanks<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        match rest {
            [byte, ..] if *byte > b' ' => rest,
            _ => self.skip_some_blanks(rest),
        }
    }

    /// The fault that was noted last, with its position in `text`.
    pub(super) fn fault_in(&self, text: &[u8]) -> Fault {
        let at = |left: usize| text.len() - left.min(text.len());
        match self.fault {
            Fault::Syntax(left) => Fault::Syntax(at(left)),
            Fault::Eof(left) => Fault::Eof(at(left)),
            Fault::Depth(left) => Fault::Depth(at(left)),
            Fault::LoneSurrogate(left) => Fault::LoneSurrogate(at(left)),
        }
    }

    /// Notes that the first byte of `rest` is not what has to stand there.
    #[cold]
    pub(super) fn unexpected<'a>(&mut self, rest: &[u8]) -> Option<&'a [u8]> {
        let ends = match rest {
            [] => true,
            [byte, ..] => *byte == b'\n' && self.line_feed_ends,
        };
        self.fault = if ends { Fault::Eof(rest.len()) } else { Fault::Syntax(rest.len()) };
        None
    }

    /// Notes a fault at the first byte of `rest`.
    #[cold]
    pub(super) fn fail<'a>(&mut self, of: fn(usize) -> Fault, rest: &[u8]) -> Option<&'a [u8]> {
        self.fault = of(rest.len());
        None
    }

    #[inline(never)]
    fn skip_some_blanks<'a>(&mut self, mut rest: &'a [u8]) -> &'a [u8] {
        while let [byte, behind @ ..] = rest {
            match byte {
                b' ' | b'\t' => {}
                b'\n' if self.line_feed_ends => break,
                b'\n' | b'\r' => self.broken = true,
                _ => break,
            }
            rest = behind;
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_blanks_are_skipped() {
        let mut scanner = Scanner::anywhere();
        assert_eq!(scanner.blanks(b" \t\x0c", 0), 2);
        assert!(!scanner.broken());
        assert_eq!(scanner.blanks(b" \r\n x", 0), 4);
        assert!(scanner.broken());
        let mut scanner = Scanner::in_line();
        assert_eq!(scanner.blanks(b" \n x", 0), 1);
        assert_eq!(scanner.value(b" \n x", 1), Err(Fault::Eof(1)));
        assert_eq!(scanner.value(b"[1,\n2]", 0), Err(Fault::Eof(3)));
        assert_eq!(Scanner::anywhere().value(b"[1,\n2]", 0), Ok(6));
    }
}
