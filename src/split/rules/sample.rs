//! Sampling without chance: a hash of the event's id decides, so that every run decides alike.
//!
//! The protocol fixes hash, salt and threshold. SDKs use another salt, so that an event that they
//! kept is not kept here because of it, and weights multiply.

/// The salt of rules in the gateway.
const SALT: &[u8] = b"tidegate-gateway";

/// Which share of events is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    rate: f64,
    /// `floor(rate * 2^32)`: hashes below it are kept.
    below: u64,
}

impl Share {
    /// A share from 0 (nothing) to 1 (all), or nothing if `rate` is none.
    pub(super) fn new(rate: f64) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "floor of a number from 0 to 2^32"
        )]
        let below = (rate * 4_294_967_296.0) as u64;
        (0.0..=1.0).contains(&rate).then_some(Self { rate, below })
    }

    /// The weight of an event if it is kept.
    pub(super) fn weigh(self, id: &[u8], kind: &[u8], weight: f64) -> Option<f64> {
        let mut unit = Vec::with_capacity(SALT.len() + id.len() + kind.len() + 2);
        for part in [SALT, b"\0", id, b"\0", kind] {
            unit.extend_from_slice(part);
        }
        let kept = u64::from(murmur3_32(&unit, 0)) < self.below;
        // Tier 2 writes the weight as JSON, which knows no infinity.
        kept.then(|| (weight / self.rate).min(f64::MAX))
    }
}

/// MurmurHash3 for 32-bit results (`x86_32`), by Austin Appleby.
fn murmur3_32(bytes: &[u8], seed: u32) -> u32 {
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = seed;
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = tail.iter().rev().fold(0, |rest, byte| rest << 8 | u32::from(*byte));
    hash ^= scramble(rest);
    // The published algorithm takes the length modulo 2^32.
    hash ^= u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or_default();
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

fn scramble(block: u32) -> u32 {
    block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        for (text, seed, expected) in [
            ("", 0, 0),
            ("", 1, 0x514e_28b7),
            ("", 0xffff_ffff, 0x81f1_6f39),
            ("test", 0, 0xba6b_d213),
            ("test", 0x9747_b28c, 0x704b_81dc),
            ("Hello, world!", 0, 0xc036_3e43),
            ("Hello, world!", 0x9747_b28c, 0x2488_4cba),
            ("The quick brown fox jumps over the lazy dog", 0, 0x2e4f_f723),
        ] {
            assert_eq!(murmur3_32(text.as_bytes(), seed), expected, "{text:?} {seed:#x}");
        }
    }

    #[test]
    fn shares_are_kept_and_weights_multiply() {
        let kept = |rate| {
            let share = Share::new(rate).unwrap();
            (0..10_000).filter(move |id: &u32| share.weigh(&id.to_le_bytes(), b"a", 1.0).is_some())
        };
        assert_eq!(kept(0.0).count(), 0);
        assert_eq!(kept(1.0).count(), 10_000);
        assert!((900..1_100).contains(&kept(0.1).count()), "{}", kept(0.1).count());
        assert_eq!(Share::new(1.0).unwrap().weigh(b"x", b"a", 4.0), Some(4.0));
        let first = kept(0.25).next().unwrap().to_le_bytes();
        assert_eq!(Share::new(0.25).unwrap().weigh(&first, b"a", 3.0), Some(12.0));
        assert_eq!(Share::new(0.25).unwrap().weigh(&first, b"a", f64::MAX), Some(f64::MAX));
        assert!([-0.1, 1.1, f64::NAN].iter().all(|rate| Share::new(*rate).is_none()));
    }
}
