//! Strings: validating them, and reading what their escapes mean.
//!
//! In: what is left behind the opening quote. Out: what is left behind the closing one. A string
//! without escapes is one run of plain bytes; everything else takes the slow way.

use std::borrow::Cow;

use super::{Fault, Scanner, word};

/// Validates a string from behind its opening quote to behind its closing one.
#[inline]
pub(super) fn skip<'a>(rest: &'a [u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    match word::skip_plain(rest) {
        [b'"', behind @ ..] => Some(behind),
        stop => skip_escaped(stop, scanner),
    }
}

/// Whether the raw contents of a valid string (without its quotes) mean exactly `text`.
pub fn text_is(raw: &[u8], text: &str) -> bool {
    if raw.contains(&b'\\') { unescape(raw) == text } else { raw == text.as_bytes() }
}

/// The text that the raw contents of a valid string (without its quotes) mean.
///
/// Never fails: what cannot be valid (it would not have passed the scanner) becomes U+FFFD.
pub fn unescape(raw: &[u8]) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', raw) else { return String::from_utf8_lossy(raw) };
    let mut out = Vec::with_capacity(raw.len());
    let mut at = first;
    out.extend_from_slice(raw.get(..first).unwrap_or_default());
    while let Some(byte) = raw.get(at) {
        if *byte == b'\\' {
            let (decoded, next) = decode(raw, at);
            out.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
            at = next;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    match String::from_utf8(out) {
        Ok(text) => Cow::Owned(text),
        Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

/// Goes on at the first byte of a string that is not plain.
#[inline(never)]
fn skip_escaped<'a>(mut rest: &'a [u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', behind @ ..] => behind,
            [b'\\', b'u', ..] => skip_units(rest, scanner)?,
            [b'\\', behind @ ..] => return scanner.fail(fault_or_end(behind), behind),
            _ => return scanner.fail(fault_or_end(rest), rest),
        };
        rest = word::skip_plain(rest);
    }
}

/// Validates a `\u` escape, and the one behind it if they are a pair.
fn skip_units<'a>(rest: &'a [u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    let used = match (unit(rest, 0), unit(rest, 6)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
        (Some(0xD800..=0xDFFF), _) => return scanner.fail(Fault::LoneSurrogate, rest),
        (Some(_), _) => 6,
        (None, _) => return scanner.fail(Fault::Syntax, rest),
    };
    rest.get(used..)
}

/// A line feed in a string is a wrong byte there, never the end of a value that could go on.
fn fault_or_end(rest: &[u8]) -> fn(usize) -> Fault {
    if rest.is_empty() { Fault::Eof } else { Fault::Syntax }
}

/// The UTF-16 code unit of the `\uXXXX` at `at`, if there is one.
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let (b"\\u", digits) = bytes.get(at..at + 6)?.split_at(2) else { return None };
    digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
}

/// What the escape at `at` means, and the position behind it.
fn decode(raw: &[u8], at: usize) -> (char, usize) {
    let simple = |decoded| (decoded, at + 2);
    match raw.get(at + 1) {
        Some(b'"') => simple('"'),
        Some(b'\\') => simple('\\'),
        Some(b'/') => simple('/'),
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        Some(b'n') => simple('\n'),
        Some(b'r') => simple('\r'),
        Some(b't') => simple('\t'),
        _ => decode_units(raw, at),
    }
}

fn decode_units(raw: &[u8], at: usize) -> (char, usize) {
    let Some(first) = unit(raw, at) else { return (char::REPLACEMENT_CHARACTER, at + 1) };
    if let (0xD800..=0xDBFF, Some(second @ 0xDC00..=0xDFFF)) = (first, unit(raw, at + 6)) {
        let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), at + 12);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), at + 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_where_they_should() {
        for (text, expected) in [
            (&br#"abc" "#[..], Ok(4)),
            (br#"" "#, Ok(1)),
            (br#"a\"b\\" "#, Ok(7)),
            (br#"\u0041\ud83d\ude00""#, Ok(19)),
            ("é€\u{7f}\"".as_bytes(), Ok(7)),
            (b"abc", Err(Fault::Eof(3))),
            (b"abc\\", Err(Fault::Eof(4))),
            (b"a\nb\"", Err(Fault::Syntax(1))),
            (b"a\0b\"", Err(Fault::Syntax(1))),
            (br#"a\x""#, Err(Fault::Syntax(2))),
            (br#"a\u12g4""#, Err(Fault::Syntax(1))),
            (br#"a\ud83d""#, Err(Fault::LoneSurrogate(1))),
            (br#"a\ud83d\u0041""#, Err(Fault::LoneSurrogate(1))),
            (br#"a\ude00\ud83d""#, Err(Fault::LoneSurrogate(1))),
        ] {
            let mut scanner = Scanner::in_line();
            let found = skip(text, &mut scanner).map(|rest| text.len() - rest.len());
            let found = found.ok_or_else(|| scanner.fault_in(text));
            assert_eq!(found, expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn escapes_are_read_as_serde_json_reads_them() {
        for raw in [r"plain é", r#"\"\\\/\b\f\n\r\t"#, r"\u0041\u00e9\uD83D\uDE00x", ""] {
            let expected: String = serde_json::from_str(&format!("\"{raw}\"")).unwrap();
            assert_eq!(unescape(raw.as_bytes()), expected, "{raw}");
            assert!(text_is(raw.as_bytes(), &expected));
        }
        assert!(!text_is(br"\u005ftgx", "_tg"));
        assert!(matches!(unescape(b"plain"), Cow::Borrowed("plain")));
    }
}
