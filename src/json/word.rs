//! Eight bytes at a time in a plain integer: where a run of some class of bytes ends.
//!
//! In: bytes and a start. Out: the position of the first byte outside the class, or the length.
//! Only the lowest marked byte of a word is exact (borrows run upwards), and only it is used.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The first byte from `at` that is a quote, a backslash or a control character.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = load(bytes, at) {
        let stops = string_stops(word);
        if stops != 0 {
            return at + first(stops);
        }
        at += 8;
    }
    byte_by_byte(bytes, at, |byte| byte >= b' ' && byte != b'"' && byte != b'\\')
}

/// The first byte from `at` that is no decimal digit.
#[inline]
pub(super) fn digits_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = load(bytes, at) {
        let stops = digit_stops(word);
        if stops != 0 {
            return at + first(stops);
        }
        at += 8;
    }
    byte_by_byte(bytes, at, |byte| byte.is_ascii_digit())
}

#[inline]
fn load(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*chunk))
}

#[inline]
fn first(stops: u64) -> usize {
    (stops.trailing_zeros() / 8) as usize
}

#[inline]
fn string_stops(word: u64) -> u64 {
    let control = word.wrapping_sub(LOW * 0x20);
    let quote = (word ^ (LOW * 0x22)).wrapping_sub(LOW);
    let backslash = (word ^ (LOW * 0x5c)).wrapping_sub(LOW);
    // Bytes from 0x80 on are never stops, and XOR with ASCII leaves their high bit alone.
    (control | quote | backslash) & !word & HIGH
}

#[inline]
fn digit_stops(word: u64) -> u64 {
    let zeros = LOW * 0x30;
    let nibbles = LOW * 0xf0;
    // A digit has the high nibble 3, and still has it after adding 6.
    ((word & nibbles) ^ zeros) | ((word.wrapping_add(LOW * 0x06) & nibbles) ^ zeros)
}

/// The last bytes of a text, fewer than a word.
#[cold]
fn byte_by_byte(bytes: &[u8], at: usize, goes_on: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| !goes_on(*byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_stops_a_string_exactly_where_the_grammar_says() {
        for at in 0..16 {
            for byte in 0..=u8::MAX {
                let mut text = [b'a'; 24];
                text[at] = byte;
                let stops = byte < b' ' || byte == b'"' || byte == b'\\';
                assert_eq!(plain_end(&text, 0), if stops { at } else { 24 }, "{byte} at {at}");
                let mut text = [b'9'; 24];
                text[at] = byte;
                let expected = if byte.is_ascii_digit() { 24 } else { at };
                assert_eq!(digits_end(&text, 0), expected, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn the_lowest_stop_wins_over_those_above() {
        for low in 0..=u8::MAX {
            for high in [0, 1, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x5c, 0x5d, 0x80, 0xfa, 0xff] {
                let text = [low, high, high, b'a', high, b'0', low, high];
                let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
                let expected = text.iter().position(|byte| !plain(*byte)).unwrap_or(8);
                assert_eq!(plain_end(&text, 0), expected, "{text:?}");
                let expected = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(8);
                assert_eq!(digits_end(&text, 0), expected, "{text:?}");
            }
        }
    }
}
