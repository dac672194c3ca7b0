//! Finds the end of something that is not valid JSON, so that what follows it can be saved.
//!
//! In: a position. Out: a position. Follows strings and counts brackets, nothing else; on valid
//! JSON it finds the true ends. A line feed ends a string, because no valid string holds one.

/// The comma or bracket that ends the array element at `at`.
pub(super) fn element_end(body: &[u8], at: usize) -> Option<usize> {
    find(body, at, |byte, depth| depth == 0 && matches!(byte, b',' | b']'))
}

/// The bracket that ends the array whose elements begin at `at`.
pub(super) fn array_end(body: &[u8], at: usize) -> Option<usize> {
    find(body, at, |byte, depth| depth == 0 && byte == b']')
}

/// The position behind the object that begins at `at`.
pub(super) fn object_end(body: &[u8], at: usize) -> Option<usize> {
    find(body, at, |byte, depth| depth == 1 && byte == b'}').map(|brace| brace + 1)
}

/// The first byte outside of strings for which `stops` holds; depth is that in front of the byte.
fn find(body: &[u8], at: usize, stops: impl Fn(u8, usize) -> bool) -> Option<usize> {
    let mut depth: usize = 0;
    let mut quoted = false;
    let mut escaped = false;
    for (offset, byte) in body.get(at..)?.iter().copied().enumerate() {
        if quoted {
            quoted = byte != b'\n' && (escaped || byte != b'"');
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        if stops(byte, depth) {
            return Some(at + offset);
        }
        match byte {
            b'"' => (quoted, escaped) = (true, false),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_found_past_strings_and_brackets() {
        for (text, expected) in [
            ("{\"a\":[1,2]},3]", Some(11)),
            ("\"a,]\\\"\\\\\",3]", Some(9)),
            ("nonsense],", Some(8)),
            (",", Some(0)),
            ("}},", Some(2)),
            ("{\"a\":\"x\n},", Some(9)),
            ("{\"a\":1,", None),
            ("", None),
        ] {
            assert_eq!(element_end(text.as_bytes(), 0), expected, "{text}");
        }
        assert_eq!(array_end(b"1,[2],{\"a\":[\"]\"]}]x", 0), Some(17));
        assert_eq!(object_end(b"{\"a\":{}} ", 0), Some(8));
        assert_eq!(object_end(b"{\"a\":{}", 0), None);
    }
}
