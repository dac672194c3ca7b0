//! Ids that look random and can be read back: version-7 UUIDs which carry batch number and index.
//!
//! Thus the memory of what was sent is an array, not a set of millions of ids. The 62 bits behind
//! the variant are `tag 16 | number 32 | index 14`, put through a keyed bijection, so that they
//! compress as badly as real ones.

use uuid::Uuid;

use super::{Plan, random};

/// The index that stands for the batch itself.
pub(super) const BATCH: u16 = (1 << INDEX_BITS) - 1;

/// The index that stands for an epoch; the number is then the instance.
pub(super) const EPOCH: u16 = BATCH - 1;

/// The id of an event, batch or epoch.
pub(super) fn write(plan: &Plan, number: u32, index: u16) -> Uuid {
    let known = (TAG << (32 + INDEX_BITS)) | (u64::from(number) << INDEX_BITS) | u64::from(index);
    let low = scramble(known, plan.seed);
    let time = plan.ts_ms(index.min(plan.batch_events));
    // The 12 bits of `rand_a` are a check on the rest.
    let check = random::mix(low ^ plan.seed) & 0xfff;
    let high = (time << 16) | (0x7 << 12) | check;
    Uuid::from_u64_pair(high, (0b10 << 62) | low)
}

/// Number and index, if the id carries the tag; the caller compares it with what it should be.
pub(super) fn read(plan: &Plan, id: Uuid) -> Option<(u32, u16)> {
    let (_, low) = id.as_u64_pair();
    let known = unscramble(low & MASK, plan.seed);
    let number = u32::try_from((known >> INDEX_BITS) & u64::from(u32::MAX)).ok()?;
    let index = u16::try_from(known & u64::from(BATCH)).ok()?;
    (known >> (32 + INDEX_BITS) == TAG).then_some((number, index))
}

/// A bijection on 62 bits: odd factors and shifts by half the width can both be undone.
fn scramble(known: u64, seed: u64) -> u64 {
    let mut bits = (known ^ random::mix(seed)) & MASK;
    for _ in 0..2 {
        bits = bits.wrapping_mul(FACTOR) & MASK;
        bits ^= bits >> 31;
    }
    bits
}

fn unscramble(mut bits: u64, seed: u64) -> u64 {
    for _ in 0..2 {
        bits ^= bits >> 31;
        bits = bits.wrapping_mul(INVERSE) & MASK;
    }
    (bits ^ random::mix(seed)) & MASK
}

/// Newton's iteration doubles the number of right bits: 3, 6, 12, 24, 48, 96.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut round = 0;
    while round < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
}

const INDEX_BITS: u32 = 14;
const TAG: u64 = 0x7469;
const MASK: u64 = (1 << 62) - 1;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const INVERSE: u64 = inverse(FACTOR);

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64) -> Plan {
        Plan { seed, start_ms: 1_767_225_600_000, batch_events: 50, instances: 10 }
    }

    #[test]
    fn what_was_written_is_read_back() {
        for seed in [0, 1, u64::MAX] {
            let plan = plan(seed);
            for number in [0, 1, 77, 1 << 20, u32::MAX] {
                for index in [0, 1, 49, EPOCH, BATCH] {
                    let id = write(&plan, number, index);
                    assert_eq!(id.get_version_num(), 7);
                    assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
                    assert_eq!(read(&plan, id), Some((number, index)));
                }
            }
        }
    }

    #[test]
    fn ids_of_other_seeds_are_strangers() {
        let known = (0..1000).filter(|number| {
            let id = write(&plan(1), *number, 3);
            plan(2).locate(id).is_some()
        });
        assert_eq!(known.count(), 0);
    }
}
