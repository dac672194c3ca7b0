//! Which segments there are, how far each is durable, and which of them may go.
//!
//! In: what the writer made durable and what the owner no longer owes. Out: extents for readers,
//! byte counts, and segments to delete. No I/O. Must never let the newest segment go: its name
//! keeps the numbering alive.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::segment;

/// One segment file as far as it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// The seq in its name.
    pub(super) first: u64,
    /// The last durable seq; `first - 1` while there is none.
    pub(super) last: u64,
    /// How many frames a crash tore out of its last group.
    pub(super) holes: u64,
    /// Bytes up to the end of the last frame.
    pub(super) bytes: u64,
    /// When it was created, Unix milliseconds.
    pub(super) created_ms: i64,
    /// Where some of its frames begin (seq, offset), ascending, so that readers need not walk far.
    pub(super) marks: Vec<(u64, u64)>,
}

/// Distance between marks.
const MARK_BYTES: u64 = 1 << 20;

impl Segment {
    /// A segment without frames.
    pub(super) fn begun(first: u64, created_ms: i64) -> Self {
        let bytes = segment::FIRST_AT;
        Self { first, last: first - 1, holes: 0, bytes, created_ms, marks: Vec::new() }
    }

    /// The name of its file.
    pub(super) fn name(&self) -> String {
        segment::name(self.first)
    }

    /// Whether it holds no durable frame.
    pub(super) fn is_empty(&self) -> bool {
        self.last < self.first
    }

    /// Notes where a group begins, if it is far enough behind the last mark.
    pub(super) fn mark(&mut self, seq: u64, at: u64) {
        if at - self.nearest(u64::MAX).1 >= MARK_BYTES {
            self.marks.push((seq, at));
        }
    }

    /// The last mark that is not beyond `seq`.
    pub(super) fn nearest(&self, seq: u64) -> (u64, u64) {
        let behind = self.marks.partition_point(|mark| mark.0 <= seq);
        let found = behind.checked_sub(1).and_then(|at| self.marks.get(at));
        found.copied().unwrap_or((self.first, segment::FIRST_AT))
    }
}

/// All segments, oldest first.
#[derive(Debug, Default)]
pub(super) struct Table {
    segments: VecDeque<Segment>,
    /// What each sink wants next, by its own word.
    sinks: BTreeMap<String, u64>,
    /// How far the open cursors are durable: no word counts beyond its cursor.
    cursors: BTreeMap<String, Arc<AtomicU64>>,
    /// The lowest of them; everything is owed while no sink is known.
    owed_from: u64,
}

/// How much lies in the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Segment files.
    pub segments: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Bytes in those that still owe something.
    pub owed_bytes: u64,
    /// The oldest seq that is still there, or the next one.
    pub first_seq: u64,
}

impl Table {
    /// Makes a table; `sinks` is what each cursor file says.
    pub(super) fn new(segments: VecDeque<Segment>, sinks: BTreeMap<String, u64>) -> Self {
        let owed_from = sinks.values().min().copied().unwrap_or_default();
        Self { segments, sinks, cursors: BTreeMap::new(), owed_from }
    }

    /// Adds a new, empty segment.
    pub(super) fn push(&mut self, segment: Segment) {
        self.segments.push_back(segment);
    }

    /// The newest segment.
    pub(super) fn newest(&self) -> Option<&Segment> {
        self.segments.back()
    }

    /// Takes the newest segment out again.
    pub(super) fn drop_newest(&mut self) {
        self.segments.pop_back();
    }

    /// Notes that the newest segment is durable up to `last`, which ends at `bytes`.
    pub(super) fn grow(&mut self, first_of_group: u64, last: u64, bytes: u64) {
        if let Some(segment) = self.segments.back_mut() {
            segment.mark(first_of_group, segment.bytes);
            segment.last = last;
            segment.bytes = bytes;
        }
    }

    /// The oldest segment that has frames at or above `seq`.
    pub(super) fn holding(&self, seq: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| !segment.is_empty() && segment.last >= seq)
    }

    /// The segment with this first seq.
    pub(super) fn named(&self, first: u64) -> Option<&Segment> {
        let at = self.segments.binary_search_by_key(&first, |segment| segment.first).ok()?;
        self.segments.get(at)
    }

    /// Sets the lowest seq that is still owed to a sink.
    pub(super) fn set_owed_from(&mut self, sink: &str, seq: u64) {
        match self.sinks.get_mut(sink) {
            Some(slot) => *slot = seq,
            None => {
                self.sinks.insert(sink.to_owned(), seq);
            }
        }
        self.settle();
    }

    /// Notes how far a sink's cursor is durable, now and later.
    pub(super) fn attach(&mut self, sink: &str, durable: Arc<AtomicU64>) {
        self.cursors.insert(sink.to_owned(), durable);
    }

    /// Forgets a sink and its cursor.
    pub(super) fn release(&mut self, sink: &str) {
        self.sinks.remove(sink);
        self.cursors.remove(sink);
        self.settle();
    }

    fn settle(&mut self) {
        let durable = |sink| self.cursors.get(sink).map(|durable| durable.load(Ordering::Acquire));
        let sinks = self.sinks.iter();
        let wanted =
            sinks.map(|(sink, seq)| durable(sink).map_or(*seq, |durable| durable.min(*seq)));
        self.owed_from = wanted.min().unwrap_or_default();
    }

    /// The first seq of the segments that hold the last `bytes`, and a little more.
    pub(super) fn tail_seq(&self, bytes: u64) -> u64 {
        let (mut sum, mut first) = (0, u64::MAX);
        for segment in self.segments.iter().rev() {
            if sum >= bytes {
                break;
            }
            sum += segment.bytes;
            first = segment.first;
        }
        first
    }

    /// Bytes of segments that hold something at or above the lowest owed seq.
    pub(super) fn owed_bytes(&self) -> u64 {
        let owing = self.segments.iter().rev().take_while(|segment| segment.last >= self.owed_from);
        owing.filter(|segment| !segment.is_empty()).map(|segment| segment.bytes).sum()
    }

    /// Bytes of the oldest segment that holds something at or above the lowest owed seq.
    pub(super) fn oldest_owed_bytes(&self) -> u64 {
        let mut owing = self.segments.iter().filter(|segment| segment.last >= self.owed_from);
        owing.find(|segment| !segment.is_empty()).map_or(0, |segment| segment.bytes)
    }

    /// How much there is; `next_seq` stands for the oldest of nothing.
    pub(super) fn usage(&self, next_seq: u64) -> Usage {
        let oldest = self.segments.iter().find(|segment| !segment.is_empty());
        Usage {
            segments: self.segments.len() as u64,
            bytes: self.segments.iter().map(|segment| segment.bytes).sum(),
            owed_bytes: self.owed_bytes(),
            first_seq: oldest.map_or(next_seq, |segment| segment.first),
        }
    }

    /// Takes out, oldest first, what lies wholly below `below_seq` and below what is owed, and is
    /// either older than `retain_ms` or too much for `retain_bytes`.
    pub(super) fn take_drained(
        &mut self,
        below_seq: u64,
        retain_ms: u64,
        retain_bytes: u64,
        now_ms: i64,
    ) -> Vec<Segment> {
        let below = below_seq.min(self.owed_from);
        let drained = self.segments.iter().take_while(|segment| segment.last < below);
        let mut kept_bytes: u64 = drained.map(|segment| segment.bytes).sum();
        let mut taken = Vec::new();
        while let [oldest, next, ..] = self.segments.make_contiguous() {
            // Whatever is in it was written before the next one was created.
            let age_ms = now_ms.saturating_sub(next.created_ms);
            let old = u64::try_from(age_ms).is_ok_and(|age_ms| age_ms >= retain_ms);
            if oldest.last >= below || !(old || kept_bytes > retain_bytes) {
                break;
            }
            kept_bytes -= oldest.bytes;
            taken.extend(self.segments.pop_front());
        }
        taken
    }

    /// Puts back what was taken out and could not be deleted.
    pub(super) fn put_back(&mut self, taken: Vec<Segment>) {
        for segment in taken.into_iter().rev() {
            self.segments.push_front(segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of 100 bytes with ten frames each, created a second apart.
    fn table(count: u64, owed_from: u64) -> Table {
        let segments = (0..count).map(|at| Segment {
            first: at * 10 + 1,
            last: at * 10 + 10,
            holes: 0,
            bytes: 100,
            created_ms: i64::try_from(at).unwrap() * 1_000,
            marks: Vec::new(),
        });
        Table::new(segments.collect(), [("kafka".to_owned(), owed_from)].into())
    }

    #[test]
    fn counts_what_is_owed_by_whole_segments() {
        for (owed_from, bytes) in [(0, 300), (10, 300), (11, 200), (30, 100), (31, 0)] {
            assert_eq!(table(3, owed_from).owed_bytes(), bytes, "owed from {owed_from}");
        }
    }

    #[test]
    fn the_slowest_sink_counts_until_it_is_released() {
        let mut table = table(3, 21);
        assert_eq!(table.owed_bytes(), 100);
        table.set_owed_from("store", 11);
        assert_eq!(table.owed_bytes(), 200);
        table.set_owed_from("kafka", 31);
        assert_eq!(table.owed_bytes(), 200);
        assert_eq!(table.take_drained(u64::MAX, 0, 0, i64::MAX).len(), 1);
        table.release("store");
        assert_eq!(table.owed_bytes(), 0);
        table.release("kafka");
        assert_eq!(table.owed_bytes(), 200, "nobody is known");
        assert_eq!(Table::new(VecDeque::new(), BTreeMap::new()).owed_from, 0);
    }

    #[test]
    fn no_word_counts_beyond_a_durable_cursor() {
        let mut table = table(3, 0);
        let durable = Arc::new(AtomicU64::new(11));
        table.attach("kafka", Arc::clone(&durable));
        table.set_owed_from("kafka", 31);
        assert_eq!(table.take_drained(u64::MAX, 0, 0, i64::MAX).len(), 1);
        durable.store(31, Ordering::Release);
        assert_eq!(table.owed_bytes(), 200, "it is looked at with the next word");
        table.set_owed_from("kafka", 31);
        assert_eq!(table.owed_bytes(), 0);
    }

    #[test]
    fn lets_go_only_what_is_drained_and_past_its_retention() {
        let cases = [
            // below_seq, owed_from, retain_ms, retain_bytes, now_ms, segments gone
            (100, 100, 0, u64::MAX, 10_000, 3),
            (100, 21, 0, u64::MAX, 10_000, 2),
            (20, 100, 0, u64::MAX, 10_000, 1),
            (21, 100, 0, u64::MAX, 10_000, 2),
            (100, 100, 5_000, u64::MAX, 6_999, 1),
            (100, 100, 60_000, u64::MAX, 10_000, 0),
            (100, 100, 60_000, 250, 10_000, 2),
            (20, 100, 60_000, 50, 10_000, 1),
            (100, 100, 0, u64::MAX, -5, 0),
        ];
        for (below, owed_from, retain_ms, retain_bytes, now_ms, gone) in cases {
            let mut table = table(4, owed_from);
            let taken = table.take_drained(below, retain_ms, retain_bytes, now_ms);
            assert_eq!(taken.len(), gone, "{below} {owed_from} {retain_ms} {retain_bytes}");
        }
    }

    #[test]
    fn finds_where_a_seq_is() {
        let mut table = table(2, 0);
        assert_eq!(table.holding(0).map(|segment| segment.first), Some(1));
        assert_eq!(table.holding(11).map(|segment| segment.first), Some(11));
        assert!(table.holding(21).is_none());
        assert_eq!(table.named(11).map(|segment| segment.last), Some(20));
        assert_eq!(table.named(12), None);
        table.grow(21, 25, MARK_BYTES + 100);
        table.grow(26, 30, MARK_BYTES + 200);
        let newest = table.newest().unwrap();
        assert_eq!((newest.nearest(25), newest.nearest(26)), ((11, 64), (26, MARK_BYTES + 100)));
    }
}
