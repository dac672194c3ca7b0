//! RFC 1952: every member of the body, each with its header, CRC and length checked.
//!
//! Members are parsed here and inflated as raw deflate, because common decoders stop after the
//! first member and say nothing about what follows.

use flate2::Decompress;

use super::{Capped, Engines};
use crate::model::Refusal;

const NAME: &str = "gzip";

/// Members in one body; more is an attack, not a batch.
const MEMBERS_MAX: usize = 1_024;

pub(super) fn signature(body: &[u8]) -> bool {
    body.starts_with(&[0x1f, 0x8b])
}

pub(super) fn inflate(
    mut body: &[u8],
    engines: &mut Engines,
    out: &mut Capped<'_>,
) -> Result<(), Refusal> {
    let engine = engines.raw.get_or_insert_with(|| Decompress::new(false));
    for _ in 0..MEMBERS_MAX {
        let deflated = body.get(header_length(body)?..).ok_or(Refusal::Damaged(NAME))?;
        engine.reset(false);
        let start = out.len();
        let used = out.run(engine, deflated, NAME)?;
        let trailer = deflated.get(used..).ok_or(Refusal::Damaged(NAME))?;
        let (trailer, rest) = trailer.split_first_chunk::<8>().ok_or(Refusal::Damaged(NAME))?;
        check(*trailer, out.since(start))?;
        if rest.is_empty() {
            return Ok(());
        }
        if !signature(rest) {
            return Err(Refusal::Trailing(NAME));
        }
        body = rest;
    }
    Err(Refusal::Damaged(NAME))
}

fn check(trailer: [u8; 8], member: &[u8]) -> Result<(), Refusal> {
    let stated = u64::from_le_bytes(trailer);
    let mut crc = crc32fast::Hasher::new();
    crc.update(member);
    // The stated length is that of the member modulo 2^32.
    let length = member.len() as u64 & 0xffff_ffff;
    (stated == length << 32 | u64::from(crc.finalize())).then_some(()).ok_or(Refusal::Damaged(NAME))
}

/// Length of a member's header: ten fixed bytes and what the flags announce.
fn header_length(member: &[u8]) -> Result<usize, Refusal> {
    const HAS_CRC: u8 = 2;
    const HAS_EXTRA: u8 = 4;
    const HAS_NAME: u8 = 8;
    const HAS_COMMENT: u8 = 16;
    const RESERVED: u8 = 0xe0;
    let damaged = Refusal::Damaged(NAME);
    let Some(([0x1f, 0x8b, 8, flags, ..], _)) = member.split_first_chunk::<10>() else {
        return Err(damaged);
    };
    if flags & RESERVED != 0 {
        return Err(damaged);
    }
    let mut at = 10;
    if flags & HAS_EXTRA != 0 {
        let length = member.get(at..at + 2).ok_or(damaged.clone())?;
        at += 2 + length.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    }
    for _ in [HAS_NAME, HAS_COMMENT].into_iter().filter(|flag| flags & flag != 0) {
        let text = member.get(at..).ok_or(damaged.clone())?;
        at += memchr::memchr(0, text).ok_or(damaged.clone())? + 1;
    }
    if flags & HAS_CRC != 0 {
        at += 2;
    }
    Ok(at)
}
