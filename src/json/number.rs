//! Numbers: their grammar, and reading the two sorts that the protocol has.
//!
//! In: what is left from the first byte. Out: what is left behind the number, which is not yet
//! known to be a place where a number may end; the caller looks for its comma or bracket anyway.

use super::{Fault, Scanner, word};

/// The largest integer that survives every reader: 2^53-1.
const INTEGER_MAX: i64 = (1 << 53) - 1;

/// Validates a number.
#[inline]
pub(super) fn skip<'a>(rest: &'a [u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    let behind = match rest {
        [b'1'..=b'9', digits @ ..] => word::skip_digits(digits),
        _ => skip_sign_and_zero(rest, scanner)?,
    };
    match behind {
        [b'.' | b'e' | b'E', ..] => skip_fraction(behind, scanner),
        _ => Some(behind),
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
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    (value <= INTEGER_MAX).then_some(sign * value)
}

/// The value of a valid JSON number; infinite when it is too large for a double.
pub fn float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[inline(never)]
fn skip_sign_and_zero<'a>(rest: &'a [u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    let digits = rest.strip_prefix(b"-").unwrap_or(rest);
    match digits {
        [b'0', b'0'..=b'9', ..] => expected_digit(digits.get(1..)?, scanner),
        [b'0', behind @ ..] => Some(behind),
        _ => skip_some_digits(digits, scanner),
    }
}

#[inline(never)]
fn skip_fraction<'a>(mut rest: &'a [u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    if let [b'.', behind @ ..] = rest {
        rest = skip_some_digits(behind, scanner)?;
    }
    match rest {
        [b'e' | b'E', b'+' | b'-', behind @ ..] | [b'e' | b'E', behind @ ..] => {
            skip_some_digits(behind, scanner)
        }
        _ => Some(rest),
    }
}

fn skip_some_digits<'a>(rest: &'a [u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    let behind = word::skip_digits(rest);
    if behind.len() == rest.len() { expected_digit(rest, scanner) } else { Some(behind) }
}

/// Notes that a digit, or none, should stand at the start of `rest`.
#[cold]
fn expected_digit<'a>(rest: &[u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    scanner.fail(if rest.is_empty() { Fault::Eof } else { Fault::Syntax }, rest)
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
            let found = skip(text.as_bytes(), &mut Scanner::anywhere());
            assert_eq!(found.map(|rest| text.len() - rest.len()), expected, "{text}");
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
