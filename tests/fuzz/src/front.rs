//! What stands in front of a request: PROXY headers, and what proxies say in `X-Forwarded-For` and
//! `Forwarded`. Whatever is sent, nobody becomes somebody whom no trusted proxy has seen.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName, HeaderValue};
use tidegate::accept::forwarded::{self, Form};
use tidegate::accept::networks::Networks;
use tidegate::accept::proxy;

/// The beginning of a connection.
pub fn proxy_header(data: &[u8]) {
    for start in [&b""[..], b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"] {
        let all = [start, data].concat();
        match proxy::parse(&all) {
            Ok(Some(source)) => {
                assert!(source.bytes <= all.len() && source.bytes <= proxy::BYTES_MAX);
                let header = all.get(..source.bytes).unwrap_or_default();
                assert_eq!(proxy::parse(header), Ok(Some(source)), "what follows is read");
                for end in 0..header.len() {
                    let piece = header.get(..end).unwrap_or_default();
                    assert_eq!(proxy::parse(piece), Ok(None), "a piece of {end} bytes");
                }
            }
            Ok(None) => assert!(all.len() < proxy::BYTES_MAX, "{} bytes are too few", all.len()),
            // More bytes make nothing better.
            Err(error) => assert_eq!(proxy::parse(&[&all, &b"\r\n"[..]].concat()), Err(error)),
        }
    }
}

/// Lines of a header, to which the trusted proxy has added its client.
pub fn forwarded(data: &[u8]) {
    let trusted = Networks::new(&["10.0.0.0/8".parse().expect("a network")]);
    let proxy = IpAddr::from([10, 0, 0, 1]);
    let client = IpAddr::from([192, 0, 2, 1]);
    for (form, name, added) in [
        (Form::XForwardedFor, HeaderName::from_static("x-forwarded-for"), "192.0.2.1"),
        (Form::Forwarded, FORWARDED, "for=192.0.2.1"),
    ] {
        let mut headers = HeaderMap::new();
        for line in data.split(|byte| *byte == b'\n') {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                headers.append(&name, value);
            }
        }
        // From somebody who is no proxy of ours nothing is believed.
        let stranger = IpAddr::from([203, 0, 113, 9]);
        assert_eq!(forwarded::client(&headers, form, &trusted, stranger), stranger);
        // In a line of its own, or at the end of the client's own.
        let mut glued = headers.clone();
        headers.append(&name, HeaderValue::from_static(added));
        assert_eq!(forwarded::client(&headers, form, &trusted, proxy), client);
        let last = data.split(|byte| *byte == b'\n').next_back().unwrap_or_default();
        let line = [last, b", ", added.as_bytes()].concat();
        if let Ok(value) = HeaderValue::from_bytes(&line) {
            glued.append(&name, value);
            assert_eq!(forwarded::client(&glued, form, &trusted, proxy), client);
        }
    }
}
