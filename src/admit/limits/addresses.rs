//! A bounded table of the addresses and instances that are known: one cache line each.
//!
//! In: an address as one number, and the time. Out: its entry. The table has sets of 8 places, and
//! whoever is known stands in the first one that was free: nearly always the first one that is
//! looked at, because each begins at one of its own. A newcomer in a full set takes the place of the one that is at rest and idle for longest, so what
//! is forgotten is worth nothing as a rule, and at most one burst. Reading takes no lock. An entry
//! that changes hands while somebody counts in it gets one request too many: that is harmless.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::bucket::Bucket;

/// Memory of one known address.
pub const ADDRESS_BYTES: u64 = size_of::<Entry>() as u64;

/// Places in a set.
const WAYS: usize = 8;
/// Locks of newcomers.
const LOCKS: usize = 64;
/// Coarse time: 2^26 nanoseconds, 67 ms; 32 bits of it are nine years.
const COARSE_BITS: u32 = 26;

/// The table.
#[derive(Debug)]
pub struct Addresses {
    entries: Box<[Entry]>,
    locks: Box<[Mutex<()>]>,
    /// Of this process: nobody outside can choose whom he puts out.
    seed: (u64, u64),
    known: AtomicU64,
    evicted: AtomicU64,
}

/// What is known of one address.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Entry {
    /// Whose it is; 0 for nobody's, which it never becomes again.
    who: AtomicU64,
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
            entries: (0..sets * WAYS).map(|_| Entry::default()).collect(),
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
            seed,
            known: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// The entry of an address, which is made if it is new.
    pub fn entry(&self, address: u64, now_ns: u64) -> &Entry {
        let home = self.home(address);
        let entry = home.look(address).unwrap_or_else(|| self.settle(home, address, now_ns));
        entry.seen.store(coarse(now_ns), Ordering::Relaxed);
        entry
    }

    /// The entry of an address, if it is still there.
    pub fn find(&self, address: u64) -> Option<&Entry> {
        self.home(address).look(address)
    }

    /// Addresses that are known, and how many were put out by others.
    pub fn counts(&self) -> (u64, u64) {
        (self.known.load(Ordering::Relaxed), self.evicted.load(Ordering::Relaxed))
    }

    /// Takes what every address did since the last time; those that did nothing are passed over.
    pub fn windows(&self) -> impl Iterator<Item = (u64, Window)> {
        self.entries.iter().filter_map(|entry| {
            let who = entry.who.load(Ordering::Acquire);
            if who == 0 || entry.asked.load(Ordering::Relaxed) == 0 {
                return None;
            }
            Some((who, entry.take_window()))
        })
    }

    fn home(&self, address: u64) -> Home<'_> {
        let mixed = u128::from(address ^ self.seed.0) * u128::from(self.seed.1 | 1);
        let mixed = low(mixed) ^ low(mixed >> 64);
        let sets = self.entries.len() / WAYS;
        let scaled = (u128::from(mixed) * sets as u128) >> 64;
        let number = usize::try_from(scaled).unwrap_or(0);
        let set = self.entries.get(number * WAYS..(number + 1) * WAYS).unwrap_or_default();
        Home { number, set, first: usize::try_from(mixed % WAYS as u64).unwrap_or(0) }
    }

    /// Gives a newcomer a place. Under a lock, so that nobody gets two.
    #[cold]
    fn settle<'a>(&'a self, home: Home<'a>, address: u64, now_ns: u64) -> &'a Entry {
        let _alone = self.locks[home.number % LOCKS].lock();
        if let Some(known) = home.look(address) {
            return known;
        }
        let free = home.around().find(|entry| entry.who.load(Ordering::Acquire) == 0);
        if let Some(entry) = free {
            self.known.fetch_add(1, Ordering::Relaxed);
            entry.who.store(address, Ordering::Release);
            return entry;
        }
        let least = home.set.iter().min_by_key(|entry| entry.worth(now_ns));
        let entry = least.unwrap_or(&self.entries[0]);
        self.evicted.fetch_add(1, Ordering::Relaxed);
        entry.clear();
        entry.who.store(address, Ordering::Release);
        entry
    }
}

/// Where an address belongs: a set, and the place in it where to begin.
#[derive(Clone, Copy)]
struct Home<'a> {
    number: usize,
    set: &'a [Entry],
    first: usize,
}

impl<'a> Home<'a> {
    fn around(self) -> impl Iterator<Item = &'a Entry> {
        let (before, from) = self.set.split_at(self.first.min(self.set.len()));
        from.iter().chain(before)
    }

    /// Whoever is known stands before the first place that is free.
    fn look(self, address: u64) -> Option<&'a Entry> {
        for entry in self.around() {
            match entry.who.load(Ordering::Acquire) {
                who if who == address => return Some(entry),
                0 => return None,
                _ => {}
            }
        }
        None
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
    u64::try_from(wide & u128::from(u64::MAX)).unwrap_or(0)
}

/// Marks of numbers that are no IPv6 network: nothing is ever assigned below 1::/16.
const IPV4: u64 = 1 << 32;
const ZERO: u64 = 2 << 32;

/// Instances beside them: no address begins with these two bits.
const INSTANCE: u64 = 0b10 << 62;
const INSTANCE_BITS: u64 = 0b11 << 62;

/// An instance as one number, from a hash of its app and its name.
pub fn instance(hash: u64) -> u64 {
    INSTANCE | hash >> 2
}

/// Whether a number is an instance's.
pub fn is_instance(group: u64) -> bool {
    group & INSTANCE_BITS == INSTANCE
}

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
        _ if is_instance(group) => format!("instance {group:016x}"),
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
    Ipv4Addr::from_bits(u32::try_from(group & u64::from(u32::MAX)).unwrap_or(0))
}
