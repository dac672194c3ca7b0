//! Numbers: their grammar, and reading the two sorts that the protocol has.
//!
//! In: the position of the first byte. Out: the position behind the number, which is not yet known
//! to be a place where a number may end; the caller looks for its comma or bracket anyway.

use super::{Fault, word};

/// The largest integer that survives every reader: 2^53-1.
const INTEGER_MAX: i64 = (1 << 53) - 1;

/// Validates a number; returns the position behind it.
#[inline]
pub(super) fn skip(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let first = start + usize::from(bytes.get(start) == Some(&b'-'));
    let at = word::digits_end(bytes, first);
    if at == first || (at > first + 1 && bytes.get(first) == Some(&b'0')) {
        return Err(expected_digit(bytes, first));
    }
    match bytes.get(at) {
        Some(b'.' | b'e' | b'E') => skip_fraction(bytes, at),
        _ => Ok(at),
    }
}

/// The value of a valid JSON number that is written as an integer within ±(2^53-1).
pub fn integer(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.split_first() {
        Some((b'-', digits)) => (-1, digits),
        _ => (1, text),
    };
    // 2^53 has 16 digits, so that nothing up to this length can overflow.
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    (value <= INTEGER_MAX).then_some(sign * value)
}

/// The value of a valid JSON number; infinite when it is too large for a double.
pub fn float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[inline(never)]
fn skip_fraction(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    if bytes.get(at) == Some(&b'.') {
        at = some_digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let signed = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        at = some_digits(bytes, at + 1 + usize::from(signed))?;
    }
    Ok(at)
}

fn some_digits(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let end = word::digits_end(bytes, at);
    if end == at { Err(expected_digit(bytes, at)) } else { Ok(end) }
}

#[cold]
fn expected_digit(bytes: &[u8], at: usize) -> Fault {
    if at < bytes.len() { Fault::Syntax(at) } else { Fault::Eof(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_that_of_the_standard() {
        for (text, expected) in [
            ("0", Some(1)),
            ("-0", Some(2)),
            ("12345678901234567890,", Some(20)),
            ("1.5e+10]", Some(7)),
            ("1E5 ", Some(3)),
            ("0.0", Some(3)),
            ("01", None),
            ("-", None),
            ("-a", None),
            ("1.", None),
            ("1.e5", None),
            ("1e", None),
            ("1e+", None),
            ("+1", None),
            (".5", None),
        ] {
            assert_eq!(skip(text.as_bytes(), 0).ok(), expected, "{text}");
        }
    }

    #[test]
    fn integers_end_at_two_to_the_53rd() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-7", Some(-7)),
            ("1767225599800", Some(1_767_225_599_800)),
            ("9007199254740991", Some(INTEGER_MAX)),
            ("-9007199254740991", Some(-INTEGER_MAX)),
            ("9007199254740992", None),
            ("99999999999999999999", None),
            ("1.0", None),
            ("1e3", None),
            ("", None),
            ("-", None),
        ] {
            assert_eq!(integer(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn floats_are_read_and_may_be_infinite() {
        assert_eq!(float(b"-2.5e3"), Some(-2_500.0));
        assert_eq!(float(b"1e999"), Some(f64::INFINITY));
    }
}
