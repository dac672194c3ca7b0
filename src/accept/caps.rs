//! How many connections there may be: in all, from one address, in a TLS handshake; and the memory
//! that they are charged.
//!
//! In: a connection that has just come. Out: its [`Place`], which is given back when it is dropped,
//! or why there is none. Must never wait, nor remember an address that has no connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::model::{Budget, Charge, Part};

/// The limits, from `[limits]` and `[tls]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Open connections of all listeners.
    pub connections_max: u64,
    /// Of these, from one address, or from one /64 of IPv6.
    pub connections_per_address_max: u64,
    /// TLS handshakes that have not ended.
    pub handshakes_max: u64,
}

/// Why a connection is not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// `limits.connections_max`.
    Total,
    /// The memory budget.
    Memory,
    /// `limits.connections_per_address_max`.
    Address,
    /// `tls.handshakes_max`.
    Handshakes,
}

impl Full {
    /// The metric's label.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Memory => "memory",
            Self::Address => "address",
            Self::Handshakes => "handshakes",
        }
    }
}

/// What is counted, for all workers.
#[derive(Debug)]
pub(super) struct Caps {
    limits: Limits,
    connections: Arc<AtomicU64>,
    handshakes: AtomicU64,
    budget: Arc<Budget>,
    /// Only addresses with open connections, so it is never longer than `connections_max`. The
    /// hasher is keyed: who owns a network could choose addresses that collide otherwise.
    by_address: Mutex<HashMap<IpAddr, u64>>,
}

impl Caps {
    pub(super) fn new(
        limits: Limits,
        connections: Arc<AtomicU64>,
        budget: Arc<Budget>,
    ) -> Arc<Self> {
        let (handshakes, by_address) = (AtomicU64::new(0), Mutex::default());
        Arc::new(Self { limits, connections, handshakes, budget, by_address })
    }

    /// A place for one connection that may hold `bytes`.
    pub(super) fn enter(self: &Arc<Self>, bytes: u64) -> Result<Place, Full> {
        let charge = self.budget.take(Part::Connections, bytes).ok_or(Full::Memory)?;
        let before = self.connections.fetch_add(1, Ordering::AcqRel);
        // Dropped at once when it is one too many.
        let place = Place { caps: Arc::clone(self), charge, block: None };
        if before < self.limits.connections_max { Ok(place) } else { Err(Full::Total) }
    }

    /// A handshake that begins; ends when the guard is dropped.
    pub(super) fn handshake(self: &Arc<Self>) -> Result<Handshake, Full> {
        let before = self.handshakes.fetch_add(1, Ordering::AcqRel);
        let handshake = Handshake(Arc::clone(self));
        if before < self.limits.handshakes_max { Ok(handshake) } else { Err(Full::Handshakes) }
    }

    /// Memory for one more stream inside of a connection.
    pub(super) fn stream(&self, bytes: u64) -> Option<Charge> {
        self.budget.take(Part::Connections, bytes)
    }
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Place {
    caps: Arc<Caps>,
    charge: Charge,
    block: Option<IpAddr>,
}

impl Place {
    /// Counts it for its client's address.
    pub(super) fn claim(&mut self, address: IpAddr) -> Result<(), Full> {
        let block = block(address);
        let mut by_address = self.caps.by_address.lock();
        let open = by_address.entry(block).or_insert(0);
        if *open >= self.caps.limits.connections_per_address_max {
            // With a limit of 0 nobody else removes it.
            if *open == 0 {
                by_address.remove(&block);
            }
            return Err(Full::Address);
        }
        *open += 1;
        self.block = Some(block);
        Ok(())
    }

    /// Takes more memory, for what it has turned out to be.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), Full> {
        let all = self.charge.bytes() + bytes;
        if self.charge.resize(all) { Ok(()) } else { Err(Full::Memory) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.caps.connections.fetch_sub(1, Ordering::AcqRel);
        let Some(block) = self.block else { return };
        let mut by_address = self.caps.by_address.lock();
        if let Some(open) = by_address.get_mut(&block) {
            *open -= 1;
            if *open == 0 {
                by_address.remove(&block);
            }
        }
    }
}

/// A handshake in progress.
#[derive(Debug)]
pub(super) struct Handshake(Arc<Caps>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whom an address belongs to: in IPv6 everybody has a /64 at least.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::budget::Plan;

    fn caps(connections_max: u64, connections_per_address_max: u64) -> Arc<Caps> {
        let limits = Limits { connections_max, connections_per_address_max, handshakes_max: 1 };
        let plan = Plan { budget_bytes: 4_000, ..Plan::default() };
        Caps::new(limits, Arc::default(), Budget::new(plan))
    }

    fn claimed(caps: &Arc<Caps>, address: &str) -> Result<Place, Full> {
        let mut place = caps.enter(10)?;
        place.claim(address.parse().expect("an address"))?;
        Ok(place)
    }

    #[test]
    fn each_limit_refuses_and_forgets() {
        let caps = caps(3, 2);
        let one = claimed(&caps, "192.0.2.1").expect("room");
        let _two = claimed(&caps, "::ffff:192.0.2.1").expect("room");
        assert_eq!(claimed(&caps, "192.0.2.1").err(), Some(Full::Address));
        let _other = claimed(&caps, "192.0.2.2").expect("what was refused is given back");
        assert_eq!(claimed(&caps, "192.0.2.3").err(), Some(Full::Total));
        drop(one);
        assert!(claimed(&caps, "192.0.2.1").is_ok());
        assert_eq!(caps.enter(4_000).err(), Some(Full::Memory));
        let handshake = caps.handshake().expect("one");
        assert_eq!(caps.handshake().err(), Some(Full::Handshakes));
        drop(handshake);
        assert!(caps.handshake().is_ok());
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let caps = caps(10, 1);
        let _one = claimed(&caps, "2001:db8:0:1::1").expect("room");
        assert_eq!(claimed(&caps, "2001:db8:0:1:ffff::2").err(), Some(Full::Address));
        assert!(claimed(&caps, "2001:db8:0:2::1").is_ok());
    }

    #[test]
    fn more_memory_is_taken_and_given_back() {
        let caps = caps(10, 1);
        let mut place = caps.enter(1_000).expect("room");
        assert_eq!((place.grow(2_000), place.grow(1)), (Ok(()), Err(Full::Memory)));
        drop(place);
        assert!(caps.stream(3_000).is_some());
    }

    proptest! {
        /// Whoever comes and goes: no address has more than its share, nobody is remembered who
        /// has gone, and in the end nothing is left.
        #[test]
        fn counts_are_the_open_connections(steps in prop::collection::vec((0..6u8, any::<bool>()), 0..80)) {
            let caps = caps(8, 3);
            let mut open: Vec<(u8, Place)> = Vec::new();
            for (host, comes) in steps {
                if comes {
                    let of_host = open.iter().filter(|(known, _)| *known == host).count();
                    let place = claimed(&caps, &format!("192.0.2.{host}"));
                    prop_assert_eq!(place.is_ok(), open.len() < 8 && of_host < 3);
                    open.extend(place.ok().map(|place| (host, place)));
                } else if let Some(at) = open.iter().position(|(known, _)| *known == host) {
                    open.swap_remove(at);
                }
                prop_assert_eq!(caps.connections.load(Ordering::Acquire), open.len() as u64);
                let sum: u64 = caps.by_address.lock().values().sum();
                prop_assert_eq!(sum, open.len() as u64);
                prop_assert!(caps.by_address.lock().values().all(|count| *count > 0));
            }
            drop(open);
            prop_assert!(caps.by_address.lock().is_empty());
        }
    }
}
