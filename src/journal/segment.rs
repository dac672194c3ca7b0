//! A segment file: its name, and the 64 bytes in front of its frames.
//!
//! In: bytes of a file's start. Out: a [`Start`], or why it cannot be trusted. Pure. The magic, the
//! version and the checksum keep their places in every version, so that old programs refuse well.

use uuid::Uuid;

use super::frame::field;

/// What a segment file begins with: `TGJN`.
pub(super) const MAGIC: [u8; 4] = *b"TGJN";
/// The version that is written, and the newest that can be read.
pub(super) const VERSION: u32 = 1;
/// Bytes in front of the first frame.
pub(super) const START_BYTES: usize = 64;
/// Where the first frame begins.
pub(super) const FIRST_AT: u64 = START_BYTES as u64;
/// How names of segment files end.
const SUFFIX: &str = ".tgj";

/// The header of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// The seq of its first frame, also in its name.
    pub(super) first: u64,
    /// The first seq of the segment before it; 0 for none.
    pub(super) previous: u64,
    /// The last seq that was acknowledged when it was created. What the segment before it holds
    /// beyond that was never acknowledged.
    pub(super) acknowledged: u64,
    /// The journal that it belongs to.
    pub(super) journal: Uuid,
    /// When it was created, Unix milliseconds.
    pub(super) created_ms: i64,
    /// How many frames before `acknowledged` are not there because a crash tore the last group, so
    /// that nobody was told of them.
    pub(super) holes: u32,
}

/// Why the start of a segment file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Damaged or never finished.
    Damaged,
    /// Intact, but of a newer version.
    Newer(u32),
}

/// The name of the segment whose first frame has this seq.
pub(super) fn name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// The seq in the name of a segment file; `None` for other files.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|first| plain && *first > 0)
}

impl Start {
    /// The bytes of the header.
    pub(super) fn encode(&self) -> [u8; START_BYTES] {
        let fields = MAGIC
            .into_iter()
            .chain(VERSION.to_le_bytes())
            .chain(self.first.to_le_bytes())
            .chain(self.previous.to_le_bytes())
            .chain(self.acknowledged.to_le_bytes())
            .chain(self.journal.into_bytes())
            .chain(self.created_ms.to_le_bytes())
            .chain(self.holes.to_le_bytes());
        let mut bytes = [0; START_BYTES];
        for (slot, byte) in bytes.iter_mut().zip(fields) {
            *slot = byte;
        }
        let sum = crc32c::crc32c(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header of the segment that is named after `first`.
    pub(super) fn parse(bytes: &[u8], first: u64) -> Result<Self, Unusable> {
        let bytes: &[u8; START_BYTES] = bytes.first_chunk().ok_or(Unusable::Damaged)?;
        let sum = crc32c::crc32c(&bytes[..CHECKED_BYTES]);
        if !bytes.starts_with(&MAGIC) || sum != u32::from_le_bytes(field(bytes, CHECKED_BYTES)) {
            return Err(Unusable::Damaged);
        }
        let version = u32::from_le_bytes(field(bytes, 4));
        if version > VERSION {
            return Err(Unusable::Newer(version));
        }
        let start = Self {
            first: u64::from_le_bytes(field(bytes, 8)),
            previous: u64::from_le_bytes(field(bytes, 16)),
            acknowledged: u64::from_le_bytes(field(bytes, 24)),
            journal: Uuid::from_bytes(field(bytes, 32)),
            created_ms: i64::from_le_bytes(field(bytes, 48)),
            holes: u32::from_le_bytes(field(bytes, 56)),
        };
        if start.first == first { Ok(start) } else { Err(Unusable::Damaged) }
    }
}

/// The part of the header that its checksum covers.
const CHECKED_BYTES: usize = START_BYTES - 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        Start {
            first: 300,
            previous: 200,
            acknowledged: 298,
            journal: Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
            created_ms: 1_767_225_600_000,
            holes: 2,
        }
    }

    #[test]
    fn bytes_are_pinned() {
        let golden = "54474a4e01000000\
                      2c01000000000000c8000000000000002a01000000000000\
                      00112233445566778899aabbccddeeff\
                      00a8da769b010000020000002e11e7dd";
        let pairs = golden.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let golden: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        assert_eq!(start().encode(), golden[..]);
        assert_eq!(Start::parse(&start().encode(), 300), Ok(start()));
    }

    #[test]
    fn refuses_damage_another_name_and_newer_versions() {
        let whole = start().encode();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Start::parse(&bytes, 300), Err(Unusable::Damaged), "bit {bit}");
        }
        assert_eq!(Start::parse(&whole, 301), Err(Unusable::Damaged));
        assert_eq!(Start::parse(&whole[..63], 300), Err(Unusable::Damaged));
        let mut newer = whole;
        newer[4] = 2;
        let sum = crc32c::crc32c(&newer[..CHECKED_BYTES]);
        newer[CHECKED_BYTES..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Start::parse(&newer, 300), Err(Unusable::Newer(2)));
    }

    #[test]
    fn names_sort_as_their_numbers_do() {
        assert_eq!(name(7), "00000000000000000007.tgj");
        assert_eq!(first_of(&name(u64::MAX)), Some(u64::MAX));
        for other in ["7.tgj", "00000000000000000007.tgj.64.broken", "cursor-kafka", "lock"] {
            assert_eq!(first_of(other), None, "{other}");
        }
    }
}
