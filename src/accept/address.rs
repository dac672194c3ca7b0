//! Where to listen: TCP addresses, paths of Unix sockets, and what systemd has opened.
//!
//! In: texts of the configuration, one or a list. Out: [`Address`]. Must never look at the system.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `127.0.0.1:8080` or `[::]:8080`.
    Tcp(SocketAddr),
    /// `unix:/run/tidegate.sock`.
    Unix(PathBuf),
    /// `systemd`: every socket that was passed on (`LISTEN_FDS`).
    Systemd,
}

/// What stands in front of a path.
const UNIX: &str = "unix:";
/// The word for sockets that were passed on.
const SYSTEMD: &str = "systemd";

impl Address {
    /// Whether only this machine reaches it. What systemd passes on could be anything.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
            Self::Systemd => false,
        }
    }

    /// Whether it has a port.
    pub fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == SYSTEMD {
            return Ok(Self::Systemd);
        }
        if let Some(path) = text.strip_prefix(UNIX).filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!(
                "{text:?} is no address; write 127.0.0.1:8080, [::]:8080, unix:/path or systemd"
            )
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(to),
            Self::Unix(path) => write!(to, "{UNIX}{}", path.display()),
            Self::Systemd => to.write_str(SYSTEMD),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// One address or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(pub Vec<Address>);

impl Addresses {
    /// The first that is not on this machine only.
    pub fn public(&self) -> Option<&Address> {
        self.0.iter().find(|address| !address.is_local())
    }
}

impl From<SocketAddr> for Addresses {
    fn from(address: SocketAddr) -> Self {
        Self(vec![Address::Tcp(address)])
    }
}

impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(to),
            many => many.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OneOrMany)
    }
}

/// A list of its own type would lose the text of what is wrong.
struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Addresses;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an address or a list of addresses")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
        Ok(Addresses(vec![text.parse().map_err(E::custom)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
        let mut all = Vec::new();
        while let Some(address) = list.next_element()? {
            all.push(address);
        }
        Ok(Addresses(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        listen: Addresses,
    }

    #[test]
    fn one_and_many_are_read_and_written_as_they_were() {
        for text in [
            "listen = \"127.0.0.1:8080\"\n",
            "listen = [\"[::]:80\", \"unix:/run/t.sock\", \"systemd\"]\n",
            "listen = []\n",
        ] {
            let sample: Sample = toml::from_str(text).expect("addresses");
            assert_eq!(toml::to_string(&sample).expect("text"), text);
        }
    }

    #[test]
    fn what_is_no_address_is_told() {
        for text in ["localhost", "unix:", "127.0.0.1", "fd:3"] {
            let error = toml::from_str::<Sample>(&format!("listen = \"{text}\"")).expect_err(text);
            assert!(error.to_string().contains("is no address"), "{error}");
        }
    }

    #[test]
    fn only_loopback_and_unix_are_local() {
        let local = |text: &str| text.parse::<Address>().expect("an address").is_local();
        assert!(local("127.0.0.2:1") && local("[::1]:1") && local("[::ffff:127.0.0.1]:1"));
        assert!(local("unix:/a") && !local("systemd") && !local("[::]:1") && !local("10.0.0.1:1"));
    }
}
