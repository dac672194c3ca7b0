//! Who a request comes from when proxies stand in between: `X-Forwarded-For` or `Forwarded`.
//!
//! In: a request's headers and the address that the connection itself shows. Out: the nearest
//! address that no trusted proxy has. Must never believe what stands left of an untrusted hop,
//! because its client wrote that. Pure.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName};
use serde::{Deserialize, Serialize};

use super::networks::Networks;

/// Which header the trusted proxies write. Only one is ever read: a proxy that sets one of them
/// passes on the other as its client has sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// `X-Forwarded-For: client, proxy, proxy`.
    #[serde(rename = "x-forwarded-for")]
    XForwardedFor,
    /// `Forwarded: for=client, for="[2001:db8::1]:80"` (RFC 7239).
    #[serde(rename = "forwarded")]
    Forwarded,
}

/// Hops that are looked at; beyond it the last one that was reached counts.
const HOPS_MAX: usize = 32;

/// The client's address. `nearest` is trusted, or there is nothing to ask.
pub fn client(headers: &HeaderMap, form: Form, trusted: &Networks, nearest: IpAddr) -> IpAddr {
    const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    let name = match form {
        Form::XForwardedFor => X_FORWARDED_FOR,
        Form::Forwarded => FORWARDED,
    };
    let mut last = nearest;
    let values = headers.get_all(name);
    // Hop by hop, as bytes: what a client wrote on the left must not make the rest unreadable.
    let comma = |byte: &u8| *byte == b',';
    let hops = values.iter().rev().flat_map(|value| value.as_bytes().rsplit(comma));
    for hop in hops.take(HOPS_MAX) {
        if !trusted.contain(last) {
            break;
        }
        let hop = std::str::from_utf8(hop).ok().and_then(|hop| match form {
            Form::XForwardedFor => address(hop),
            Form::Forwarded => node(hop).and_then(address),
        });
        // Hidden or damaged: nothing left of it can be placed.
        let Some(hop) = hop else { break };
        last = hop;
    }
    last
}

/// The `for` of one element of `Forwarded`.
fn node(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then(|| value.trim_matches('"'))
    })
}

/// An address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    bare().or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(name: &str, values: &[&str], form: Form) -> String {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        for value in values {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, value.as_bytes().try_into().expect("a value"));
        }
        let nearest = IpAddr::from([10, 0, 0, 1]);
        client(&headers, form, &Networks::new(&networks), nearest).to_string()
    }

    #[test]
    fn the_walk_ends_at_the_first_hop_that_is_not_trusted() {
        let ask = |values: &[&str]| ask("X-Forwarded-For", values, Form::XForwardedFor);
        assert_eq!(ask(&[]), "10.0.0.1");
        assert_eq!(ask(&["192.0.2.1"]), "192.0.2.1");
        assert_eq!(ask(&["6.6.6.6, 192.0.2.1"]), "192.0.2.1", "what the client wrote");
        assert_eq!(ask(&["192.0.2.1, 10.9.9.9,fd00::1"]), "192.0.2.1");
        assert_eq!(ask(&["6.6.6.6", "192.0.2.1, 10.1.1.1", "10.2.2.2"]), "192.0.2.1", "lines");
        assert_eq!(ask(&["192.0.2.1:4711, [fd00::1]:80"]), "192.0.2.1");
        assert_eq!(ask(&["6.6.6.6, unknown, 10.1.1.1"]), "10.1.1.1", "nothing left of damage");
        assert_eq!(ask(&["10.3.3.3, 10.2.2.2"]), "10.3.3.3", "all trusted");
        assert_eq!(ask(&["::ffff:192.0.2.9"]), "192.0.2.9");
        assert_eq!(ask(&["\u{e9}, 192.0.2.1"]), "192.0.2.1", "bytes that nobody can read");
    }

    #[test]
    fn only_the_header_that_the_proxies_write_is_read() {
        let forwarded = |value: &str| ask("Forwarded", &[value], Form::Forwarded);
        assert_eq!(forwarded("for=192.0.2.60;proto=http;by=203.0.113.43"), "192.0.2.60");
        assert_eq!(forwarded("for=6.6.6.6, For=\"[2001:db8::17]:4711\""), "2001:db8::17");
        assert_eq!(forwarded("for=6.6.6.6, for=_hidden"), "10.0.0.1");
        assert_eq!(forwarded("proto=https"), "10.0.0.1");
        assert_eq!(ask("Forwarded", &["for=6.6.6.6"], Form::XForwardedFor), "10.0.0.1");
        assert_eq!(ask("X-Forwarded-For", &["6.6.6.6"], Form::Forwarded), "10.0.0.1");
    }

    proptest! {
        /// Whatever a client writes, its own hop, which the trusted proxy appended, decides.
        #[test]
        fn a_client_cannot_forge_its_address(forged in "[ -~]{0,200}") {
            let value = format!("{forged}, 192.0.2.1, 10.1.1.1");
            prop_assert_eq!(ask("X-Forwarded-For", &[&value], Form::XForwardedFor), "192.0.2.1");
        }
    }
}
