//! Validates one value of any depth in one walk, without recursion and without building anything.
//!
//! In: the position of the value's first byte. Out: the position behind it. The containers that are
//! open are bits of one integer, because nesting ends at 64.

use super::{Blanks, DEPTH_MAX, Fault, number, string};

/// Validates the value at `at` inside `outer` open containers; returns the position behind it.
pub fn skip(
    bytes: &[u8],
    mut at: usize,
    outer: u32,
    blanks: &mut Blanks,
) -> Result<usize, Fault> {
    let mut open = Open { objects: 0, depth: outer };
    loop {
        match bytes.get(at) {
            Some(b'"') => at = string::skip(bytes, at + 1)?,
            Some(b'0'..=b'9' | b'-') => at = number::skip(bytes, at)?,
            Some(b'{') => {
                open.enter(true, at)?;
                at = blanks.skip(bytes, at + 1);
                if bytes.get(at) != Some(&b'}') {
                    at = skip_key(bytes, at, blanks)?;
                    continue;
                }
                open.leave();
                at += 1;
            }
            Some(b'[') => {
                open.enter(false, at)?;
                at = blanks.skip(bytes, at + 1);
                if bytes.get(at) != Some(&b']') {
                    continue;
                }
                open.leave();
                at += 1;
            }
            _ => at = skip_word(bytes, at, blanks)?,
        }
        loop {
            if open.depth == outer {
                return Ok(at);
            }
            at = blanks.skip(bytes, at);
            match (bytes.get(at), open.in_object()) {
                (Some(b','), true) => {
                    at = blanks.skip(bytes, at + 1);
                    at = skip_key(bytes, at, blanks)?;
                    break;
                }
                (Some(b','), false) => {
                    at = blanks.skip(bytes, at + 1);
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    open.leave();
                    at += 1;
                }
                _ => return Err(blanks.fault(bytes, at)),
            }
        }
    }
}

/// Validates a key and its colon; returns the position of the value's first byte.
#[inline]
pub(super) fn skip_key(bytes: &[u8], at: usize, blanks: &mut Blanks) -> Result<usize, Fault> {
    if bytes.get(at) != Some(&b'"') {
        return Err(blanks.fault(bytes, at));
    }
    let end = string::skip(bytes, at + 1)?;
    skip_colon(bytes, end, blanks)
}

/// Steps over the colon behind a key; returns the position of the value's first byte.
#[inline]
pub(super) fn skip_colon(bytes: &[u8], at: usize, blanks: &mut Blanks) -> Result<usize, Fault> {
    let at = blanks.skip(bytes, at);
    if bytes.get(at) != Some(&b':') {
        return Err(blanks.fault(bytes, at));
    }
    Ok(blanks.skip(bytes, at + 1))
}

/// Validates `true`, `false` or `null`; nothing else is left that a value could begin with.
fn skip_word(bytes: &[u8], at: usize, blanks: &Blanks) -> Result<usize, Fault> {
    let rest = bytes.get(at..).unwrap_or_default();
    for word in [&b"true"[..], b"false", b"null"] {
        if rest.starts_with(word) {
            return Ok(at + word.len());
        }
    }
    Err(blanks.fault(bytes, at))
}

/// The open containers: the lowest bit is the innermost one, 1 for an object.
struct Open {
    objects: u64,
    depth: u32,
}

impl Open {
    #[inline]
    fn enter(&mut self, object: bool, at: usize) -> Result<(), Fault> {
        if self.depth >= DEPTH_MAX {
            return Err(Fault::Depth(at));
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u64::from(object);
        Ok(())
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
