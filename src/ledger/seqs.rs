//! Which sequence numbers have been met, kept as runs: what an epoch sends has few holes.
//!
//! In: numbers from 1 in any order, again and again. Out: how many different ones, and the holes.

use std::collections::BTreeMap;

/// A set of numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Seqs {
    /// First and last number of each run; runs neither touch nor overlap.
    runs: BTreeMap<u64, u64>,
    count: u64,
}

impl Seqs {
    /// Adds a number; says whether it is new.
    pub(super) fn insert(&mut self, seq: u64) -> bool {
        let before = self.runs.range(..=seq).next_back().map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| seq <= last) {
            return false;
        }
        let behind = seq.checked_add(1).and_then(|next| self.runs.remove(&next));
        let before = before.filter(|(_, last)| last.checked_add(1) == Some(seq));
        let first = before.map_or(seq, |(first, _)| first);
        self.runs.insert(first, behind.unwrap_or(seq));
        self.count += 1;
        true
    }

    /// How many different numbers.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// How many runs they are kept in.
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// How many of them are above a number.
    pub(super) fn above(&self, number: u64) -> u64 {
        let runs = self.runs.iter().rev().take_while(|(_, last)| **last > number);
        runs.map(|(first, last)| last - (*first).max(number + 1) + 1).sum()
    }

    /// The holes between 1 and a number, first and last of each.
    pub(super) fn holes(&self, up_to: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let ends = self.runs.iter().map(|(first, last)| (*first, *last));
        let mut next = 1;
        ends.chain([(u64::MAX, u64::MAX)]).filter_map(move |(first, last)| {
            let hole = (next, first.saturating_sub(1).min(up_to));
            next = next.max(last.saturating_add(1));
            (hole.0 <= hole.1).then_some(hole)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// It is a set, whatever comes and in whatever order.
        #[test]
        fn agrees_with_a_set(numbers in prop::collection::vec(1..60_u64, 0..80), up_to in 0..70_u64) {
            let (mut seqs, mut set) = (Seqs::default(), BTreeSet::new());
            for number in numbers {
                prop_assert_eq!(seqs.insert(number), set.insert(number));
            }
            prop_assert_eq!(seqs.count(), set.len() as u64);
            let holes: Vec<u64> = seqs.holes(up_to).flat_map(|(first, last)| first..=last).collect();
            let missing: Vec<u64> = (1..=up_to).filter(|number| !set.contains(number)).collect();
            prop_assert_eq!(holes, missing);
            prop_assert_eq!(seqs.above(up_to), set.range(up_to + 1..).count() as u64);
            let touching = set.iter().filter(|number| !set.contains(&(*number - 1))).count();
            prop_assert_eq!(seqs.runs(), touching);
        }
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let mut seqs = Seqs::default();
        assert!(seqs.insert(u64::MAX) && seqs.insert(u64::MAX - 1) && !seqs.insert(u64::MAX));
        assert_eq!(seqs.holes(3).collect::<Vec<_>>(), [(1, 3)]);
        assert_eq!(seqs.above(u64::MAX - 1), 1);
    }
}
