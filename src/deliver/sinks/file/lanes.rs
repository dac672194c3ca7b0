//! Which lane an event goes to: by the route table, or by its type where the table has no route.
//!
//! In: the table's lanes and event types as clients sent them. Out: small numbers that stand for
//! lane names, and how often each unrouted type was seen. The first `types_max` types get a lane of
//! their own, in the order of the journal, so that a replay decides the same. Types whose names
//! differ only in case or in `_`, `:` and `-` share a lane, also with a route of that name.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher as _;
use std::sync::Arc;

use rustc_hash::FxHasher;

use crate::model::{Lane, LaneId};

/// The lane of everything that has no other; every table has it first.
const OTHER: &str = "other";
const NAME_BYTES_MAX: usize = 80;
const TYPE_BYTES_MAX: usize = 128;
const RECENT: usize = 256;

/// An event type without a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The type; empty for all those together that came after the first `types_max`.
    pub kind: String,
    /// Its lane.
    pub lane: String,
    /// Events of it since the store was made.
    pub events: u64,
}

struct Kind {
    name: Box<str>,
    lane: u32,
    events: u64,
}

/// Lane names by number. Bounded by `types_max` and the names in rules texts, which are the
/// operator's.
pub(super) struct Lanes {
    names: Vec<Arc<str>>,
    by_name: BTreeMap<Arc<str>, u32>,
    /// The table of the newest batch, and its lanes' numbers.
    table: Arc<[Lane]>,
    routed: Vec<u32>,
    /// The first stands for all types that have no entry.
    kinds: Vec<Kind>,
    /// Keyed hashing, because clients choose the names.
    by_kind: HashMap<Box<[u8]>, u32>,
    /// Entries asked for last, by a cheap hash; whoever makes it collide pays for the dear one.
    recent: [u32; RECENT],
    types_max: usize,
}

impl Lanes {
    /// Begins with the types that a checkpoint names; the empty name stands for those beyond.
    pub(super) fn new(types_max: usize, seen: &BTreeMap<String, u64>) -> Self {
        let mut lanes = Self {
            names: Vec::new(),
            by_name: BTreeMap::new(),
            table: Arc::new([]),
            routed: Vec::new(),
            kinds: Vec::new(),
            by_kind: HashMap::new(),
            recent: [0; RECENT],
            types_max: usize::MAX,
        };
        let other = lanes.number(OTHER);
        lanes.kinds.push(Kind { name: "".into(), lane: other, events: 0 });
        for (name, events) in seen {
            let at = lanes.kind(name.as_bytes());
            lanes.count(at, *events);
        }
        lanes.types_max = types_max;
        lanes
    }

    /// The number of a lane's name.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.by_name.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or_default();
        let name: Arc<str> = Arc::from(name);
        self.names.push(Arc::clone(&name));
        self.by_name.insert(name, number);
        number
    }

    /// The name behind a number.
    pub(super) fn name(&self, lane: u32) -> Arc<str> {
        self.names.get(lane as usize).map_or_else(|| Arc::from(OTHER), Arc::clone)
    }

    /// The table that the next batch was routed by.
    pub(super) fn route_by(&mut self, table: &Arc<[Lane]>) {
        if Arc::ptr_eq(&self.table, table) {
            return;
        }
        if self.table != *table {
            self.routed = table
                .iter()
                .map(|lane| match lane_name(lane.name.as_bytes()) {
                    Some(name) => self.number(&name),
                    None => 0,
                })
                .collect();
        }
        self.table = Arc::clone(table);
    }

    /// The number of a lane in that table.
    pub(super) fn routed(&self, lane: LaneId) -> u32 {
        self.routed.get(usize::from(lane.0)).copied().unwrap_or_default()
    }

    /// The entry of a type without a route.
    pub(super) fn kind(&mut self, kind: &[u8]) -> u32 {
        let mut hasher = FxHasher::default();
        hasher.write(kind);
        let spot = usize::from(hasher.finish().to_le_bytes()[0]);
        let at = self.recent[spot];
        if self.kinds.get(at as usize).is_some_and(|found| found.name.as_bytes() == kind) {
            return at;
        }
        let at = match self.by_kind.get(kind) {
            Some(at) => *at,
            None => self.admit(kind),
        };
        self.recent[spot] = at;
        at
    }

    /// Counts events of an entry and gives its lane.
    pub(super) fn count(&mut self, kind: u32, events: u64) -> u32 {
        match self.kinds.get_mut(kind as usize) {
            Some(kind) => {
                kind.events += events;
                kind.lane
            }
            None => 0,
        }
    }

    /// Every type with its events, as a checkpoint keeps them.
    pub(super) fn kinds(&self) -> BTreeMap<String, u64> {
        let counted = self.kinds.iter().filter(|kind| !kind.name.is_empty() || kind.events > 0);
        counted.map(|kind| (kind.name.to_string(), kind.events)).collect()
    }

    fn admit(&mut self, kind: &[u8]) -> u32 {
        if self.kinds.len() > self.types_max || kind.is_empty() || kind.len() > TYPE_BYTES_MAX {
            return 0;
        }
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(byte);
        let Ok(name) = std::str::from_utf8(kind) else { return 0 };
        if !kind.iter().all(allowed) {
            return 0;
        }
        let lane = lane_name(kind).map_or(0, |name| self.number(&name));
        let at = u32::try_from(self.kinds.len()).unwrap_or_default();
        self.kinds.push(Kind { name: name.into(), lane, events: 0 });
        self.by_kind.insert(kind.into(), at);
        at
    }
}

/// The types of a checkpoint with their lanes, most frequent first.
pub(super) fn seen(kinds: &BTreeMap<String, u64>) -> Vec<Seen> {
    let lane = |kind: &str| lane_name(kind.as_bytes()).unwrap_or_else(|| OTHER.to_owned());
    let mut seen: Vec<_> = kinds
        .iter()
        .map(|(kind, events)| Seen { kind: kind.clone(), lane: lane(kind), events: *events })
        .collect();
    seen.sort_by_key(|seen| std::cmp::Reverse(seen.events));
    seen
}

/// The lane of a type or of a route: lower case, `_` and `:` become `-`, and so does every dot that
/// stands first or behind another, so that no name has a meaning for a file system. `None` if it is
/// too long for a lane or holds anything else.
pub(super) fn lane_name(kind: &[u8]) -> Option<String> {
    if kind.is_empty() || kind.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut name = String::with_capacity(kind.len());
    let mut before = b'.';
    for byte in kind {
        name.push(match byte {
            b'.' if before != b'.' => '.',
            b'.' | b'_' | b':' | b'-' => '-',
            b'a'..=b'z' | b'0'..=b'9' => char::from(*byte),
            b'A'..=b'Z' => char::from(byte.to_ascii_lowercase()),
            _ => return None,
        });
        before = *byte;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(names: &[&str]) -> Arc<[Lane]> {
        let lane = |name: &&str| Lane { name: (*name).to_owned(), topic: format!("t.{name}") };
        names.iter().map(lane).collect()
    }

    #[test]
    fn a_type_becomes_a_lane_that_is_safe_as_a_folder() {
        let long = "a".repeat(81);
        for (kind, lane) in [
            ("page.view", Some("page.view")),
            ("Page_View:2", Some("page-view-2")),
            ("..", Some("--")),
            (".hidden", Some("-hidden")),
            ("a..b...c", Some("a.-b.--c")),
            ("OTHER", Some("other")),
            ("", None),
            ("a/b", None),
            ("a b", None),
            ("é", None),
            (long.as_str(), None),
            (&long[1..], Some(&long[1..])),
        ] {
            assert_eq!(lane_name(kind.as_bytes()).as_deref(), lane, "{kind}");
        }
    }

    proptest! {
        #[test]
        fn no_type_makes_a_lane_outside_the_alphabet(kind in "[A-Za-z0-9_.:-]{0,90}|.{0,5}") {
            if let Some(name) = lane_name(kind.as_bytes()) {
                let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
                prop_assert!(!name.is_empty() && name.len() <= 80);
                prop_assert!(name.bytes().all(allowed));
                prop_assert_eq!(lane_name(name.as_bytes()), Some(name.clone()));
                prop_assert!(!name.starts_with('.') && !name.contains(".."));
            }
        }
    }

    #[test]
    fn the_first_types_get_lanes_and_the_rest_shares_other() {
        let mut lanes = Lanes::new(2, &BTreeMap::new());
        let mut lane_of = |kind: &str| {
            let at = lanes.kind(kind.as_bytes());
            let lane = lanes.count(at, 1);
            lanes.name(lane).to_string()
        };
        for (kind, lane) in
            [("b", "b"), ("A", "a"), ("c", "other"), ("b", "b"), ("d", "other"), ("a", "other")]
        {
            assert_eq!(lane_of(kind), lane, "{kind}");
        }
        let kinds = lanes.kinds();
        assert_eq!(kinds, [("A", 1), ("b", 2), ("", 3)].map(|(k, n)| (k.to_owned(), n)).into());
        let mut again = Lanes::new(1, &kinds);
        assert_eq!(again.kinds(), kinds);
        assert_eq!(again.kind(b"c"), 0, "a lower cap keeps what has a lane and admits no more");
        assert_eq!(seen(&kinds)[0], Seen { kind: String::new(), lane: "other".into(), events: 3 });
    }

    #[test]
    fn a_new_table_gives_numbers_new_names() {
        let mut lanes = Lanes::new(10, &BTreeMap::new());
        let named = |lanes: &Lanes, id| lanes.name(lanes.routed(LaneId(id))).to_string();
        lanes.route_by(&table(&["other", "page"]));
        assert_eq!([0, 1, 2].map(|id| named(&lanes, id)), ["other", "page", "other"]);
        lanes.route_by(&table(&["other", "click", "../x"]));
        assert_eq!([0, 1, 2].map(|id| named(&lanes, id)), ["other", "click", "other"]);
    }

    #[test]
    fn a_type_shares_the_lane_of_a_route_with_its_name() {
        let mut lanes = Lanes::new(10, &BTreeMap::new());
        lanes.route_by(&table(&["other", "page"]));
        let kind = lanes.kind(b"PAGE");
        assert_eq!(lanes.count(kind, 1), lanes.routed(LaneId(1)));
    }
}
