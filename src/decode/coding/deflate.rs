//! HTTP's `deflate`: zlib (RFC 1950) by the letter, raw deflate (RFC 1951) as some clients send it.

use flate2::Decompress;

use super::{Capped, Engines};
use crate::model::Refusal;

const NAME: &str = "deflate";

pub(super) fn inflate(
    body: &[u8],
    engines: &mut Engines,
    out: &mut Capped<'_>,
) -> Result<(), Refusal> {
    let engine = engines.raw.get_or_insert_with(|| Decompress::new(false));
    engine.reset(is_zlib(body));
    let used = out.run(engine, body, NAME)?;
    if used == body.len() { Ok(()) } else { Err(Refusal::Trailing(NAME)) }
}

/// Method 8 and a header checksum that is a multiple of 31: one raw stream in a thousand looks so.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..]
        if method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0)
}
