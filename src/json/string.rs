//! Strings: validating them, and reading what their escapes mean.
//!
//! In: the position behind the opening quote. Out: the position behind the closing one. A string
//! without escapes is one run of plain bytes; everything else takes the slow way.

use std::borrow::Cow;

use super::{Fault, word};

/// Validates a string from behind its opening quote; returns the position behind the closing one.
#[inline]
pub(super) fn skip(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let at = word::plain_end(bytes, start);
    if bytes.get(at) == Some(&b'"') { Ok(at + 1) } else { skip_escaped(bytes, at) }
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
fn skip_escaped(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(bytes, at)?,
            Some(_) => return Err(Fault::Syntax(at)),
            None => return Err(Fault::Eof(at)),
        }
        at = word::plain_end(bytes, at);
    }
}

/// Validates the escape whose backslash is at `at`; returns the position behind it.
fn escape(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match unit(bytes, at) {
            Some(0xD800..=0xDBFF) => match unit(bytes, at + 6) {
                Some(0xDC00..=0xDFFF) => Ok(at + 12),
                _ => Err(Fault::LoneSurrogate(at)),
            },
            Some(0xDC00..=0xDFFF) => Err(Fault::LoneSurrogate(at)),
            Some(_) => Ok(at + 6),
            None => Err(Fault::Syntax(at)),
        },
        Some(_) => Err(Fault::Syntax(at + 1)),
        None => Err(Fault::Eof(at + 1)),
    }
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
            (br#"a\ud83dA""#, Err(Fault::LoneSurrogate(1))),
            (br#"a\ude00\ud83d""#, Err(Fault::LoneSurrogate(1))),
        ] {
            assert_eq!(skip(text, 0), expected, "{}", text.escape_ascii());
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
