//! Eight bytes at a time in a plain integer: where a run of some class of bytes ends.
//!
//! In: what is left of a text. Out: what is left from the first byte outside the class.
//! Only the lowest marked byte of a word is exact (borrows run upwards), and only it is used.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Skips what may stand in a string as it is: up to a quote, a backslash or a control character.
#[inline]
pub(super) fn skip_plain(mut rest: &[u8]) -> &[u8] {
    while let Some((word, behind)) = rest.split_first_chunk() {
        let stops = string_stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return rest.get(first(stops)..).unwrap_or_default();
        }
        rest = behind;
    }
    skip_bytes(rest, |byte| byte >= b' ' && byte != b'"' && byte != b'\\')
}

/// Skips decimal digits.
#[inline]
pub(super) fn skip_digits(mut rest: &[u8]) -> &[u8] {
    while let Some((word, behind)) = rest.split_first_chunk() {
        let stops = digit_stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return rest.get(first(stops)..).unwrap_or_default();
        }
        rest = behind;
    }
    skip_bytes(rest, |byte| byte.is_ascii_digit())
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
fn skip_bytes(rest: &[u8], goes_on: impl Fn(u8) -> bool) -> &[u8] {
    let end = rest.iter().position(|byte| !goes_on(*byte)).unwrap_or(rest.len());
    rest.get(end..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(byte: u8) -> bool {
        byte >= b' ' && byte != b'"' && byte != b'\\'
    }

    /// Compares both skips with their definitions.
    fn check(text: &[u8]) {
        let expected = text.iter().position(|byte| !plain(*byte)).unwrap_or(text.len());
        assert_eq!(text.len() - skip_plain(text).len(), expected, "{text:?}");
        let expected = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
        assert_eq!(text.len() - skip_digits(text).len(), expected, "{text:?}");
    }

    #[test]
    fn every_byte_stops_a_run_exactly_where_the_grammar_says() {
        for at in 0..16 {
            for byte in 0..=u8::MAX {
                for around in [b'a', b'9', 0xff] {
                    let mut text = [around; 24];
                    text[at] = byte;
                    check(&text);
                }
            }
        }
    }

    #[test]
    fn the_lowest_stop_wins_over_those_above() {
        for low in 0..=u8::MAX {
            for high in [0, 1, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x5c, 0x5d, 0x80, 0xfa, 0xff] {
                check(&[low, high, high, b'a', high, b'0', low, high]);
                check(&[b'1', low, high]);
            }
        }
    }
}
