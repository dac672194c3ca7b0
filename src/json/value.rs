//! Validates one value of any depth in one walk, without recursion and without building anything.
//!
//! In: what is left from the value's first byte. Out: what is left behind it. The containers that
//! are open are bits of one integer, because nesting ends at 64.

use super::{DEPTH_MAX, Fault, Scanner, number, string, word};

/// Validates the value at the start of `rest`, inside `outer` open containers.
pub(super) fn skip<'a>(mut rest: &'a [u8], outer: u32, scanner: &mut Scanner) -> Option<&'a [u8]> {
    let mut open = Open { objects: 0, depth: outer };
    loop {
        if open.in_object() {
            rest = skip_key(rest, scanner)?;
        }
        rest = match rest {
            [b'"', behind @ ..] => string::skip(behind, scanner)?,
            [b'0'..=b'9' | b'-', ..] => number::skip(rest, scanner)?,
            [first @ (b'{' | b'['), behind @ ..] => {
                if open.depth >= DEPTH_MAX {
                    return scanner.fail(Fault::Depth, rest);
                }
                open.enter(*first == b'{');
                match scanner.skip_blanks(behind) {
                    // Their codes tell that each closes what it follows: { } are 7b 7d, [ ] 5b 5d.
                    [last, behind @ ..] if *last == first + 2 => {
                        open.leave();
                        behind
                    }
                    inside => {
                        rest = inside;
                        continue;
                    }
                }
            }
            _ => skip_word(rest, scanner)?,
        };
        loop {
            if open.depth == outer {
                return Some(rest);
            }
            rest = scanner.skip_blanks(rest);
            match rest {
                [b',', behind @ ..] => {
                    rest = scanner.skip_blanks(behind);
                    break;
                }
                [last @ (b'}' | b']'), behind @ ..] if (*last == b'}') == open.in_object() => {
                    open.leave();
                    rest = behind;
                }
                _ => return scanner.unexpected(rest),
            }
        }
    }
}

/// Validates a key and its colon, up to the first byte of the value.
#[inline]
pub(super) fn skip_key<'a>(rest: &'a [u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    let [b'"', key @ ..] = rest else { return scanner.unexpected(rest) };
    match word::skip_plain(key) {
        [b'"', b':', behind @ ..] => Some(scanner.skip_blanks(behind)),
        _ => skip_unusual_key(key, scanner),
    }
}

#[inline(never)]
fn skip_unusual_key<'a>(key: &'a [u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    skip_colon(string::skip(key, scanner)?, scanner)
}

/// Steps over the colon behind a key, up to the first byte of the value.
#[inline]
pub(super) fn skip_colon<'a>(rest: &'a [u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    match rest {
        [b':', behind @ ..] => Some(scanner.skip_blanks(behind)),
        _ => skip_far_colon(rest, scanner),
    }
}

#[inline(never)]
fn skip_far_colon<'a>(rest: &'a [u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    match scanner.skip_blanks(rest) {
        [b':', behind @ ..] => Some(scanner.skip_blanks(behind)),
        rest => scanner.unexpected(rest),
    }
}

/// Validates `true`, `false` or `null`; nothing else is left that a value could begin with.
fn skip_word<'a>(rest: &'a [u8], scanner: &mut Scanner) -> Option<&'a [u8]> {
    match rest {
        [b't', b'r', b'u', b'e', behind @ ..]
        | [b'f', b'a', b'l', b's', b'e', behind @ ..]
        | [b'n', b'u', b'l', b'l', behind @ ..] => Some(behind),
        _ => scanner.unexpected(rest),
    }
}

/// The open containers: the lowest bit is the innermost one, 1 for an object.
struct Open {
    objects: u64,
    depth: u32,
}

impl Open {
    #[inline]
    fn enter(&mut self, object: bool) {
        self.depth += 1;
        self.objects = self.objects << 1 | u64::from(object);
    }

    #[inline]
    fn leave(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
    }

    #[inline]
    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}
