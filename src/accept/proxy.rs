//! The PROXY protocol, versions 1 and 2: a header in front of everything else in which a proxy
//! tells who its client is.
//!
//! In: the first bytes of a connection from a trusted network. Out: the address, and how long the
//! header was. Must never wait for more than [`BYTES_MAX`]. [`parse`] is pure.

use std::net::IpAddr;

use ppp::{HeaderResult, PartialResult as _, v1, v2};

/// The longest header that is read: with all of what the specification calls sane.
pub const BYTES_MAX: usize = 536;
/// The longest of version 1.
const TEXT_BYTES_MAX: usize = 107;
/// The beginning of version 2, and its length with the field that says the rest.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const BINARY_HEAD: usize = 16;
/// The beginning of version 1.
const TEXT: &[u8] = b"PROXY ";

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The client; nothing when the proxy speaks for itself (a health check) or does not know.
    pub address: Option<IpAddr>,
    /// Bytes of the header; what stands behind it is the client's.
    pub bytes: usize,
}

/// Why there is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something else stands there.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// It is not valid.
    #[error("the PROXY header is damaged")]
    Damaged,
    /// It is longer than is read.
    #[error("the PROXY header is longer than {BYTES_MAX} bytes")]
    TooLong,
}

/// Looks for a whole header at the beginning of `bytes`; nothing means that more has to come.
pub fn parse(bytes: &[u8]) -> Result<Option<Source>, Error> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(is, wanted)| is == wanted);
    if begins(BINARY) {
        return binary(bytes);
    }
    if !begins(TEXT) {
        return Err(Error::Missing);
    }
    // Only the line itself: what stands behind it is no text.
    let window = bytes.get(..TEXT_BYTES_MAX.min(bytes.len())).unwrap_or_default();
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        let more = bytes.len() < TEXT_BYTES_MAX;
        return if more { Ok(None) } else { Err(Error::TooLong) };
    };
    let line = window.get(..end + 2).unwrap_or_default();
    match HeaderResult::parse(line) {
        HeaderResult::V1(Ok(header)) => {
            let address = match header.addresses {
                v1::Addresses::Tcp4(pair) => Some(IpAddr::V4(pair.source_address)),
                v1::Addresses::Tcp6(pair) => Some(IpAddr::V6(pair.source_address)),
                v1::Addresses::Unknown => None,
            };
            Ok(Some(Source { address: address.map(|ip| ip.to_canonical()), bytes: line.len() }))
        }
        _ => Err(Error::Damaged),
    }
}

fn binary(bytes: &[u8]) -> Result<Option<Source>, Error> {
    let Some(head) = bytes.first_chunk::<BINARY_HEAD>() else { return Ok(None) };
    let rest = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if BINARY_HEAD + rest > BYTES_MAX {
        return Err(Error::TooLong);
    }
    let result = HeaderResult::parse(bytes);
    if result.is_incomplete() {
        return if bytes.len() < BINARY_HEAD + rest { Ok(None) } else { Err(Error::Damaged) };
    }
    let HeaderResult::V2(Ok(header)) = result else { return Err(Error::Damaged) };
    let address = match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(pair)) => Some(IpAddr::V4(pair.source_address)),
        (v2::Command::Proxy, v2::Addresses::IPv6(pair)) => Some(IpAddr::V6(pair.source_address)),
        _ => None,
    };
    let address = address.map(|ip| ip.to_canonical());
    Ok(Some(Source { address, bytes: BINARY_HEAD + rest }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Version 2 with this command and family, and this behind its head.
    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [BINARY, &[command, family], &length, rest].concat()
    }

    fn four() -> Vec<u8> {
        v2(0x21, 0x11, &[192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80])
    }

    #[test]
    fn both_versions_say_the_client() {
        let says = |bytes: &[u8]| parse(bytes).map(|source| source.and_then(|s| s.address));
        let ip = |text: &str| Ok(Some(text.parse().expect("an address")));
        assert_eq!(says(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\nGET"), ip("192.0.2.1"));
        assert_eq!(says(b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n\xff"), ip("2001:db8::1"));
        assert_eq!(says(b"PROXY UNKNOWN\r\n"), Ok(None));
        assert_eq!(says(&four()), ip("192.0.2.1"));
        let six = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 12], &[0; 16], &[0; 4]].concat();
        assert_eq!(says(&v2(0x21, 0x21, &six)), ip("2001:db8::"));
        assert_eq!(says(&v2(0x20, 0x00, &[])), Ok(None), "a health check");
        let with_more = v2(0x21, 0x11, &[&four()[16..], &[4, 0, 1, 0][..]].concat());
        assert_eq!(parse(&with_more).expect("valid").map(|s| s.bytes), Some(32), "its extensions");
    }

    #[test]
    fn everything_else_is_refused_as_soon_as_it_shows() {
        assert_eq!(parse(b"GET / HTTP/1.1"), Err(Error::Missing));
        assert_eq!(parse(b"\x16\x03\x01"), Err(Error::Missing));
        assert_eq!(parse(b"PROXY TCP4 nonsense\r\n"), Err(Error::Damaged));
        assert_eq!(parse(b"PROXY TCP4 1.1.1.1 2.2.2.2 99999 1\r\n"), Err(Error::Damaged));
        assert_eq!(parse(&v2(0x31, 0x11, &four()[16..])), Err(Error::Damaged));
        assert_eq!(parse(&v2(0x21, 0x11, &[1, 2, 3])), Err(Error::Damaged));
        assert_eq!(parse(&[b"PROXY ", &[b'x'; 200][..]].concat()), Err(Error::TooLong));
        assert_eq!(parse(&v2(0x21, 0x11, &[0; 600])[..16]), Err(Error::TooLong));
    }

    proptest! {
        /// A header that comes in pieces is waited for, never misread, and nothing behind it is
        /// taken for it.
        #[test]
        fn pieces_and_what_follows_make_no_difference(rest in prop::collection::vec(any::<u8>(), 0..50)) {
            for header in [b"PROXY TCP4 192.0.2.1 10.0.0.1 1 80\r\n".to_vec(), four()] {
                for end in 0..header.len() {
                    prop_assert_eq!(parse(&header[..end]), Ok(None));
                }
                let whole = parse(&[&header[..], &rest].concat());
                prop_assert_eq!(whole.map(|s| s.map(|s| s.bytes)), Ok(Some(header.len())));
            }
        }

        /// Nothing panics, and nothing is waited for beyond the limit.
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            for start in [&b""[..], TEXT, BINARY] {
                let all = [start, &bytes].concat();
                if let Ok(None) = parse(&all) {
                    prop_assert!(all.len() < BYTES_MAX);
                }
            }
        }
    }
}
