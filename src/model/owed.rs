//! What one cluster still owes for one batch: the raw record and a bit for every event.
//!
//! Bit 0 is the raw record of tier 1, bit `1 + index` is the event with that index in the batch.
//! The same numbering serves delivery reports, the tracker and the journal frame.

/// A set of records that are not yet confirmed.
#[derive(Debug, Clone, Default)]
pub struct Owed {
    /// Zeros at the end mean nothing.
    words: Vec<u64>,
}

impl PartialEq for Owed {
    fn eq(&self, other: &Self) -> bool {
        let longest = self.words.len().max(other.words.len());
        let word = |owed: &Self, at: usize| owed.words.get(at).copied().unwrap_or(0);
        (0..longest).all(|at| word(self, at) == word(other, at))
    }
}

impl Eq for Owed {}

/// The bit of the raw record.
pub const RAW: u32 = 0;

/// The bit of the event with this index.
pub fn event(index: u32) -> u32 {
    index + 1
}

impl Owed {
    /// Adds a record to the set.
    pub fn insert(&mut self, bit: u32) {
        let word = bit as usize / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(slot) = self.words.get_mut(word) {
            *slot |= 1 << (bit % 64);
        }
    }

    /// Takes a record out of the set.
    pub fn remove(&mut self, bit: u32) {
        if let Some(slot) = self.words.get_mut(bit as usize / 64) {
            *slot &= !(1 << (bit % 64));
        }
    }

    /// Whether the record is in the set.
    pub fn contains(&self, bit: u32) -> bool {
        self.words.get(bit as usize / 64).is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    /// Whether the two have a record in common.
    pub fn intersects(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(one, other)| one & other != 0)
    }

    /// The records that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            words: self.words.iter().zip(&other.words).map(|(one, other)| one & other).collect(),
        }
    }

    /// The records that are not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        Self { words: self.words.iter().zip(others).map(|(one, other)| one & !other).collect() }
    }

    /// Adds all records of the other.
    pub fn extend(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (one, other) in self.words.iter_mut().zip(&other.words) {
            *one |= other;
        }
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many records are owed.
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// The owed records, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(&self.words).flat_map(|(at, &word)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at * 64 + bit)
        })
    }

    /// Appends the set: number of words (u16), then each word, little-endian.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let used = self.words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        out.extend_from_slice(&u16::try_from(used).unwrap_or(u16::MAX).to_le_bytes());
        for word in self.words.iter().take(used) {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads what [`Owed::encode`] wrote; gives the set and the bytes behind it.
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (count, mut rest) = bytes.split_first_chunk::<2>()?;
        let mut words = Vec::with_capacity(usize::from(u16::from_le_bytes(*count)).min(128));
        for _ in 0..u16::from_le_bytes(*count) {
            let (word, behind) = rest.split_first_chunk::<8>()?;
            words.push(u64::from_le_bytes(*word));
            rest = behind;
        }
        Some((Self { words }, rest))
    }
}

impl FromIterator<u32> for Owed {
    fn from_iter<I: IntoIterator<Item = u32>>(bits: I) -> Self {
        let mut owed = Self::default();
        for bit in bits {
            owed.insert(bit);
        }
        owed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_set_that_survives_encoding(bits in proptest::collection::btree_set(0u32..5_001, 0..80)) {
            let owed: Owed = bits.iter().copied().collect();
            prop_assert_eq!(owed.iter().collect::<Vec<_>>(), bits.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(owed.len() as usize, bits.len());
            let mut bytes = Vec::new();
            owed.encode(&mut bytes);
            bytes.push(9);
            let (back, rest) = Owed::decode(&bytes).expect("what was encoded");
            prop_assert_eq!(rest, &[9][..]);
            prop_assert_eq!(back.iter().collect::<Vec<_>>(), owed.iter().collect::<Vec<_>>());
        }
    }

    proptest! {
        #[test]
        fn set_operations_are_those_of_sets(
            one in proptest::collection::btree_set(0u32..300, 0..40),
            other in proptest::collection::btree_set(0u32..300, 0..40),
        ) {
            let owed = |bits: &BTreeSet<u32>| bits.iter().copied().collect::<Owed>();
            let set = |owed: &Owed| owed.iter().collect::<BTreeSet<u32>>();
            let (a, b) = (owed(&one), owed(&other));
            prop_assert_eq!(set(&a.and(&b)), &one & &other);
            prop_assert_eq!(set(&a.minus(&b)), &one - &other);
            prop_assert_eq!(a.intersects(&b), !one.is_disjoint(&other));
            let mut both = a.clone();
            both.extend(&b);
            prop_assert_eq!(set(&both), &one | &other);
            prop_assert_eq!(a == b, one == other);
            prop_assert_eq!(a.minus(&a), Owed::default());
        }
    }

    #[test]
    fn removes_and_refuses_truncation() {
        let mut owed: Owed = [RAW, event(0), event(64)].into_iter().collect();
        owed.remove(event(0));
        assert!(!owed.contains(event(0)) && owed.contains(event(64)));
        let mut bytes = Vec::new();
        owed.encode(&mut bytes);
        for end in 0..bytes.len() {
            assert!(Owed::decode(&bytes[..end]).is_none(), "cut at {end}");
        }
    }
}
