//! Networks that are trusted to say who a client is.
//!
//! In: CIDRs of the configuration. Out: whether an address is in one of them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = || text.parse::<IpAddr>().map(IpNet::from);
        let net = text.parse::<IpNet>().or_else(|_| whole()).map_err(|_| {
            format!("{text:?} is no network; write 10.0.0.0/8, 2001:db8::/32 or one address")
        })?;
        // A host's address in place of its network's is a slip that would be silent otherwise.
        if net.trunc() != net {
            return Err(format!("{text:?} has bits behind its prefix; write {}", net.trunc()));
        }
        Ok(Self(net))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(to)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// Some networks.
#[derive(Debug, Clone, Default)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// The union of `networks`.
    pub fn new(networks: &[Network]) -> Self {
        Self(networks.to_vec())
    }

    /// Whether nobody is in them.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `address` is in one of them. An IPv4 address in IPv6's clothes is an IPv4 address.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.0.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_is_in_them() {
        let of = |text: &str| text.parse::<Network>().expect("a network");
        let networks = Networks::new(&[of("10.0.0.0/8"), of("2001:db8::/32"), of("192.0.2.7")]);
        let holds = |text: &str| networks.contain(text.parse().expect("an address"));
        assert!(holds("10.255.0.1") && holds("2001:db8:1::1") && holds("192.0.2.7"));
        assert!(holds("::ffff:10.0.0.1"), "mapped");
        assert!(!holds("11.0.0.1") && !holds("192.0.2.8") && !holds("::1"));
        assert!(!Networks::default().contain(IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn slips_are_refused() {
        for text in ["10.0.0.1/8", "10.0.0.0/33", "ten", ""] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
