//! One frame: a header with its own checksum, a payload, and zeros up to the next multiple of 8.
//!
//! In: bytes of a segment file. Out: a [`Frame`] of them, or the [`Flaw`] that says why not. Pure.
//! Must never trust a length before its header's checksum, nor a header of another journal.

use uuid::Uuid;

/// What every frame begins with: `TGFR`.
pub const MAGIC: [u8; 4] = *b"TGFR";
/// Bytes of the header.
pub const HEADER_BYTES: usize = 28;
/// The largest payload; a length over it is damage.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// Frames begin at multiples of this.
pub const ALIGN: usize = 8;

/// The kind of a frame with a batch.
pub const RECORD: u8 = 1;
/// The kind of a frame that says what a batch still owes.
pub const SETTLE: u8 = 2;
/// Reserved for batch ids that were seen.
pub const SEEN: u8 = 3;

/// What header checksums start from, made of the journal's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u32);

/// What stands in front of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// [`RECORD`], [`SETTLE`], [`SEEN`] or one that a newer program wrote.
    pub kind: u8,
    /// Reserved, 0.
    pub flags: u8,
    /// Position in its group, from 0. A group is written only after the one before it is durable,
    /// so a frame proves that everything up to `seq - place - 1` had been.
    pub place: u16,
    /// Its number in the journal.
    pub seq: u64,
    /// Length of the payload.
    pub payload_bytes: u32,
    /// CRC-32C of the payload.
    pub payload_crc: u32,
}

/// A whole frame with both checksums right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It may be one, but this many bytes are needed to tell.
    #[error("frame needs {0} bytes")]
    Short(usize),
    /// It does not begin like one.
    #[error("frame has no magic")]
    Magic,
    /// The header's checksum is wrong: damage, or a frame of another journal.
    #[error("frame header has a wrong checksum")]
    Header,
    /// The header is right and the payload is not.
    #[error("frame {seq} has a payload with a wrong checksum")]
    Payload {
        /// Its number.
        seq: u64,
        /// Bytes to skip to the next frame.
        span: usize,
    },
}

/// Reads the frame at the start of `bytes`; gives it and the bytes up to the next one.
pub fn parse(bytes: &[u8], seed: Seed) -> Result<(Frame<'_>, usize), Flaw> {
    let header = Header::parse(bytes, seed)?;
    let span = header.span();
    let frame = bytes.get(..span).ok_or(Flaw::Short(span))?;
    let payload = frame.get(HEADER_BYTES..HEADER_BYTES + header.payload_bytes as usize);
    let payload = payload.ok_or(Flaw::Short(span))?;
    if crc32c::crc32c(payload) != header.payload_crc {
        return Err(Flaw::Payload { seq: header.seq, span });
    }
    Ok((Frame { header, payload }, span))
}

/// The offset in `bytes` of the next place where a frame may begin, if `bytes` begin at a multiple
/// of [`ALIGN`] themselves.
pub fn find(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(bytes, &MAGIC).find(|at| at % ALIGN == 0)
}

impl Seed {
    /// The seed of a journal.
    pub fn of(journal: Uuid) -> Self {
        Self(crc32c::crc32c(journal.as_bytes()))
    }
}

impl Header {
    /// Bytes from the start of this frame to that of the next.
    pub fn span(&self) -> usize {
        (HEADER_BYTES + self.payload_bytes as usize).next_multiple_of(ALIGN)
    }

    /// The last seq that this frame proves to have been durable before it was written.
    pub fn proves(&self) -> u64 {
        self.seq.saturating_sub(u64::from(self.place) + 1)
    }

    /// The bytes of the header.
    pub fn encode(&self, seed: Seed) -> [u8; HEADER_BYTES] {
        let fields = MAGIC
            .into_iter()
            .chain([self.kind, self.flags])
            .chain(self.place.to_le_bytes())
            .chain(self.seq.to_le_bytes())
            .chain(self.payload_bytes.to_le_bytes())
            .chain(self.payload_crc.to_le_bytes());
        let mut bytes = [0; HEADER_BYTES];
        for (slot, byte) in bytes.iter_mut().zip(fields) {
            *slot = byte;
        }
        let sum = crc32c::crc32c_append(seed.0, &bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header at the start of `bytes`.
    pub fn parse(bytes: &[u8], seed: Seed) -> Result<Self, Flaw> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Flaw::Short(HEADER_BYTES))?;
        if !bytes.starts_with(&MAGIC) {
            return Err(Flaw::Magic);
        }
        let sum = crc32c::crc32c_append(seed.0, &bytes[..CHECKED_BYTES]);
        let header = Self {
            kind: bytes[4],
            flags: bytes[5],
            place: u16::from_le_bytes(field(bytes, 6)),
            seq: u64::from_le_bytes(field(bytes, 8)),
            payload_bytes: u32::from_le_bytes(field(bytes, 16)),
            payload_crc: u32::from_le_bytes(field(bytes, 20)),
        };
        let right = sum == u32::from_le_bytes(field(bytes, CHECKED_BYTES))
            && header.payload_bytes as usize <= PAYLOAD_BYTES_MAX;
        if right { Ok(header) } else { Err(Flaw::Header) }
    }
}

/// The part of the header that its checksum covers.
const CHECKED_BYTES: usize = HEADER_BYTES - 4;

/// The `N` bytes at an offset; bytes that are not there read as 0.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes.get(at + index).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOURNAL: Uuid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);

    fn frame(payload: &[u8]) -> Vec<u8> {
        let header = Header {
            kind: SETTLE,
            flags: 0,
            place: 3,
            seq: 0x0102_0304_0506_0708,
            payload_bytes: u32::try_from(payload.len()).unwrap(),
            payload_crc: crc32c::crc32c(payload),
        };
        let mut bytes = header.encode(Seed::of(JOURNAL)).to_vec();
        bytes.extend_from_slice(payload);
        bytes.resize(header.span(), 0);
        bytes
    }

    #[test]
    fn header_bytes_are_pinned() {
        let bytes = frame(b"payload");
        let golden = [
            0x54, 0x47, 0x46, 0x52, 2, 0, 3, 0, 8, 7, 6, 5, 4, 3, 2, 1, 7, 0, 0, 0, 0x70, 0x69,
            0xe3, 0xf4, 0x75, 0xe7, 0x86, 0xb3,
        ];
        assert_eq!(bytes[..HEADER_BYTES], golden);
        assert_eq!(bytes.len(), 40);
    }

    #[test]
    fn finds_every_flipped_bit_and_every_cut() {
        let whole = frame(b"0123456789");
        let seed = Seed::of(JOURNAL);
        assert_eq!(parse(&whole, seed).unwrap().0.payload, b"0123456789");
        for end in 0..whole.len() {
            assert!(matches!(parse(&whole[..end], seed), Err(Flaw::Short(_))), "cut at {end}");
        }
        for bit in 0..(HEADER_BYTES + 10) * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&bytes, seed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn refuses_frames_of_another_journal() {
        let seed = Seed::of(Uuid::from_u128(1));
        assert_eq!(parse(&frame(b"x"), seed), Err(Flaw::Header));
    }

    #[test]
    fn finds_the_next_aligned_magic_only() {
        let mut bytes = vec![0; 64];
        bytes[13..17].copy_from_slice(&MAGIC);
        assert_eq!(find(&bytes), None);
        bytes[40..44].copy_from_slice(&MAGIC);
        assert_eq!(find(&bytes), Some(40));
    }
}
