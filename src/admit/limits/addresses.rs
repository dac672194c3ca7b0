//! A bounded table of the addresses that are known: one cache line each, found by two.
//!
//! In: an address as one number, and the time. Out: its entry. The table has sets of 8 places; a
//! newcomer in a full set takes the place of the one that is at rest and idle for longest, so what
//! is forgotten is worth nothing as a rule, and at most one burst. Reading takes no lock. An entry
//! that changes hands while somebody counts in it gets one request too many: that is harmless.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::bucket::Bucket;

/// Memory of one known address: its entry, and its place in a set.
pub const ADDRESS_BYTES: u64 = 64 + 8;

/// Places in a set: one cache line of keys.
const WAYS: usize = 8;
/// Locks of newcomers.
const LOCKS: usize = 64;
/// Coarse time: 2^26 nanoseconds, 67 ms; 32 bits of it are nine years.
const COARSE_BITS: u32 = 26;

/// The table.
#[derive(Debug)]
pub struct Addresses {
    sets: Box<[Set]>,
    entries: Box<[Entry]>,
    locks: Box<[Mutex<()>]>,
    /// Of this process: nobody outside can choose whom he puts out.
    seed: (u64, u64),
    known: AtomicU64,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set {
    keys: [AtomicU64; WAYS],
}

/// What is known of one address.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Entry {
    /// Its requests.
    pub requests: Bucket,
    /// Its requests while it is guarded.
    pub tight: Bucket,
    bytes: AtomicU64,
    seen: AtomicU32,
    guarded_until: AtomicU32,
    asked: AtomicU32,
    trusted: AtomicU32,
    refused: AtomicU32,
    events: AtomicU32,
    repeats: AtomicU32,
    impossible: AtomicU32,
}

/// What an address did since somebody last looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// Requests with a known key, those that were refused for their rate included.
    pub requests: u64,
    /// Those of them that had a secret key or a certificate.
    pub trusted: u64,
    /// Those that were refused for a rate, a quota or by the guard.
    pub refused: u64,
    /// Events that it sent.
    pub events: u64,
    /// Events of a time that cannot be.
    pub impossible: u64,
    /// Batches that had been sent before.
    pub repeats: u64,
    /// Bytes of its bodies.
    pub bytes: u64,
}

impl Addresses {
    /// A table of so many places, rounded up to whole sets.
    pub fn new(addresses_max: usize, seed: (u64, u64)) -> Self {
        let sets = addresses_max.div_ceil(WAYS).max(1);
        Self {
            sets: (0..sets).map(|_| Set::default()).collect(),
            entries: (0..sets * WAYS).map(|_| Entry::default()).collect(),
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
            seed,
            known: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// The entry of an address, which is made if it is new.
    pub fn entry(&self, address: u64, now_ns: u64) -> &Entry {
        let set = self.set(address);
        let way = self.way(set, address).unwrap_or_else(|| self.settle(set, address, now_ns));
        let entry = self.place(set, way);
        entry.seen.store(coarse(now_ns), Ordering::Relaxed);
        entry
    }

    /// The entry of an address, if it is still there.
    pub fn find(&self, address: u64) -> Option<&Entry> {
        let set = self.set(address);
        self.way(set, address).map(|way| self.place(set, way))
    }

    /// Addresses that are known, and how many were put out by others.
    pub fn counts(&self) -> (u64, u64) {
        (self.known.load(Ordering::Relaxed), self.evicted.load(Ordering::Relaxed))
    }

    /// Takes what every address did since the last time; those that did nothing are passed over.
    pub fn windows(&self) -> impl Iterator<Item = (u64, Window)> {
        let keys = self.sets.iter().flat_map(|set| &set.keys);
        keys.zip(&self.entries).filter_map(|(key, entry)| {
            let key = key.load(Ordering::Acquire);
            if key == 0 || entry.asked.load(Ordering::Relaxed) == 0 {
                return None;
            }
            Some((key, entry.take_window()))
        })
    }

    fn set(&self, address: u64) -> usize {
        let mixed = u128::from(address ^ self.seed.0) * u128::from(self.seed.1 | 1);
        let mixed = low(mixed) ^ low(mixed >> 64);
        let scaled = (u128::from(mixed) * self.sets.len() as u128) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }

    fn way(&self, set: usize, address: u64) -> Option<usize> {
        let keys = &self.sets.get(set)?.keys;
        keys.iter().position(|key| key.load(Ordering::Acquire) == address)
    }

    fn place(&self, set: usize, way: usize) -> &Entry {
        &self.entries[set * WAYS + way]
    }

    /// Gives a newcomer a place. Under a lock, so that nobody gets two.
    #[cold]
    fn settle(&self, set: usize, address: u64, now_ns: u64) -> usize {
        let _alone = self.locks[set % LOCKS].lock();
        if let Some(way) = self.way(set, address) {
            return way;
        }
        let keys = &self.sets[set].keys;
        if let Some(way) = keys.iter().position(|key| key.load(Ordering::Acquire) == 0) {
            self.known.fetch_add(1, Ordering::Relaxed);
            keys[way].store(address, Ordering::Release);
            return way;
        }
        let worth = |way: &usize| self.place(set, *way).worth(now_ns);
        let way = (0..WAYS).min_by_key(worth).unwrap_or(0);
        self.evicted.fetch_add(1, Ordering::Relaxed);
        self.place(set, way).clear();
        keys[way].store(address, Ordering::Release);
        way
    }
}

impl Entry {
    /// One request came.
    pub fn asked(&self, trusted: bool) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if trusted {
            self.trusted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One request was refused.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What a request came to.
    pub fn carried(&self, bytes: u64, events: u64, impossible: u64, repeated: bool) {
        let count = |counter: &AtomicU32, more: u64| {
            if more > 0 {
                let more = u32::try_from(more).unwrap_or(u32::MAX);
                counter.fetch_add(more, Ordering::Relaxed);
            }
        };
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        count(&self.events, events);
        count(&self.impossible, impossible);
        count(&self.repeats, u64::from(repeated));
    }

    /// Whether it is under the tighter limit.
    pub fn is_guarded(&self, now_ns: u64) -> bool {
        self.guarded_until.load(Ordering::Relaxed) > coarse(now_ns)
    }

    /// Puts it under the tighter limit until then.
    pub fn guard(&self, until_ns: u64) {
        self.guarded_until.store(coarse(until_ns), Ordering::Relaxed);
    }

    fn take_window(&self) -> Window {
        let take = |counter: &AtomicU32| u64::from(counter.swap(0, Ordering::Relaxed));
        Window {
            requests: take(&self.asked),
            trusted: take(&self.trusted),
            refused: take(&self.refused),
            events: take(&self.events),
            impossible: take(&self.impossible),
            repeats: take(&self.repeats),
            bytes: self.bytes.swap(0, Ordering::Relaxed),
        }
    }

    /// What would be lost with it; the least goes first.
    fn worth(&self, now_ns: u64) -> (bool, bool, u32) {
        let rests = self.requests.is_empty(now_ns);
        (self.is_guarded(now_ns), !rests, self.seen.load(Ordering::Relaxed))
    }

    fn clear(&self) {
        self.requests.clear();
        self.tight.clear();
        self.guarded_until.store(0, Ordering::Relaxed);
        self.take_window();
    }
}

fn coarse(ns: u64) -> u32 {
    u32::try_from(ns >> COARSE_BITS).unwrap_or(u32::MAX)
}

fn low(wide: u128) -> u64 {
    (wide & u128::from(u64::MAX)) as u64
}

/// Marks of numbers that are no IPv6 network: nothing is ever assigned below 1::/16.
const IPV4: u64 = 1 << 32;
const ZERO: u64 = 2 << 32;

/// Who counts as one: an IPv4 address, or an IPv6 network of 64 bits, which is what one line gets.
/// Never 0.
pub fn group(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => IPV4 | u64::from(address.to_bits()),
        IpAddr::V6(address) => match low(address.to_bits() >> 64) {
            0 => ZERO,
            network => network,
        },
    }
}

/// The same as people write it.
pub fn shown(group: u64) -> String {
    match group >> 32 {
        1 => ipv4(group).to_string(),
        2 => "::/64".to_owned(),
        _ => format!("{}/64", Ipv6Addr::from_bits(u128::from(group) << 64)),
    }
}

/// Whether it lies in the operator's own networks: loopback, private, link-local.
pub(in crate::admit) fn is_private(group: u64) -> bool {
    match group >> 32 {
        1 => {
            let address = ipv4(group);
            address.is_private() || address.is_loopback() || address.is_link_local()
        }
        2 => true,
        _ => {
            let address = Ipv6Addr::from_bits(u128::from(group) << 64);
            address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

fn ipv4(group: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits((group & u64::from(u32::MAX)) as u32)
}
