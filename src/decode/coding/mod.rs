//! Content codings: one file each, one row each in [`CODINGS`].
//!
//! A coding inflates whole bodies through [`Capped`], the only place where inflated bytes appear.

mod capped;
mod deflate;
mod gzip;
mod zstd;

use self::capped::Capped;
use super::Limits;
use crate::model::{Coding, Refusal};

/// One content coding.
struct Row {
    coding: Coding,
    /// Whether a body starts like one of this coding; deflate has no signature.
    signature: fn(&[u8]) -> bool,
    inflate: fn(&[u8], &mut Engines, &mut Capped<'_>) -> Result<(), Refusal>,
}

const CODINGS: [Row; 3] = [
    Row { coding: Coding::Gzip, signature: gzip::signature, inflate: gzip::inflate },
    Row { coding: Coding::Zstd, signature: zstd::signature, inflate: zstd::inflate },
    Row { coding: Coding::Deflate, signature: |_| false, inflate: deflate::inflate },
];

/// What the first bytes say; `None` when they are neither a signature nor the start of JSON.
pub(super) fn sniff(body: &[u8]) -> Option<Coding> {
    let coded = CODINGS.iter().find(|row| (row.signature)(body)).map(|row| row.coding);
    let plain = matches!(body.first(), Some(b'{' | b'[' | b' ' | b'\t' | b'\r' | b'\n'));
    coded.or(plain.then_some(Coding::Identity))
}

/// Inflates `body` into the scratch space.
pub(super) fn inflate<'a>(
    body: &[u8],
    coding: Coding,
    limits: &Limits,
    scratch: &'a mut Scratch,
) -> Result<&'a [u8], Refusal> {
    let Some(row) = CODINGS.iter().find(|row| row.coding == coding) else {
        return Err(Refusal::Coding);
    };
    scratch.out.clear();
    scratch.out.shrink_to(KEPT_BYTES_MAX);
    let mut capped = Capped::new(&mut scratch.out, body.len(), limits);
    (row.inflate)(body, &mut scratch.engines, &mut capped)?;
    Ok(&scratch.out)
}

/// Output space that a thread keeps between bodies.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// What a thread reuses from body to body: output space and the decoders' windows.
#[derive(Default)]
pub struct Scratch {
    out: Vec<u8>,
    engines: Engines,
}

#[derive(Default)]
struct Engines {
    /// Raw deflate, for both gzip and deflate: a reset is cheap only in this mode.
    raw: Option<flate2::Decompress>,
    zstd: Option<::zstd::zstd_safe::DCtx<'static>>,
}
