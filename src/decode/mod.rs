//! Stage 1: from the body as received to inflated bytes, and never a byte more than the limits.
//!
//! In: coded bytes and what `Content-Encoding` said. Out: a slice of plain bytes, or a refusal.
//! All members and frames of a body count; anything behind the last one is refused, never dropped.
//! Must never hold more than one inflated body per thread, nor trust a size that a client states.

mod coding;
mod limits;

pub use coding::Scratch;
pub use limits::Limits;

use crate::model::{Coding, Refusal};

/// Finds the coding of a body: the bytes decide, a header that contradicts them is refused.
pub fn sniff(body: &[u8], said: Option<Coding>) -> Result<Coding, Refusal> {
    if body.is_empty() {
        return Err(Refusal::Empty);
    }
    let is = coding::sniff(body);
    match (said, is) {
        (None, is) => Ok(is.unwrap_or(Coding::Identity)),
        // Deflate has no signature of its own, so only a foreign one contradicts it; a blank is
        // none, because a raw stream may begin with that byte.
        (Some(Coding::Deflate), None) => Ok(Coding::Deflate),
        (Some(Coding::Deflate), Some(Coding::Identity)) if !matches!(body, [b'{' | b'[', ..]) => {
            Ok(Coding::Deflate)
        }
        (Some(said), Some(is)) if said == is => Ok(said),
        (Some(Coding::Identity), None) => Ok(Coding::Identity),
        (Some(said), is) => Err(Refusal::CodingMismatch {
            said: said.name(),
            is: is.map_or("unknown", Coding::name),
        }),
    }
}

/// Inflates a body into the thread's scratch space, or hands plain bytes through.
pub fn decode<'a>(
    body: &'a [u8],
    coding: Coding,
    limits: &Limits,
    scratch: &'a mut Scratch,
) -> Result<&'a [u8], Refusal> {
    if coding == Coding::Identity {
        if body.len() as u64 > limits.inflated_bytes_max {
            return Err(Refusal::InflatedTooLarge(limits.inflated_bytes_max));
        }
        return Ok(body);
    }
    coding::inflate(body, coding, limits, scratch)
}

#[cfg(test)]
mod tests;
