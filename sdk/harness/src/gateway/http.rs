//! One HTTP/1.1 request a connection: head, then body as far as it is wanted.
//!
//! In: a socket. Out: method, path, query and headers as JSON, bytes of the body. A peer that sends
//! something else is an error, never a panic.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Map, Value, json};
use socket2::SockRef;

/// Most bytes of a head; SDKs send a few hundred.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Most bytes of a body; above the protocol's limit.
const BODY_BYTES_MAX: usize = 16 << 20;
const HEADERS_MAX: usize = 64;

/// A request's head, and what was read of its body with it.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) path: String,
    /// Parameters by name; numbers are numbers.
    pub(super) query: Map<String, Value>,
    /// Names in small letters.
    pub(super) headers: Map<String, Value>,
    pub(super) length: usize,
    rest: Vec<u8>,
}

/// Reads up to the blank line.
pub(super) fn head(stream: &mut TcpStream) -> io::Result<Head> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if let Some(head) = parse(&bytes)? {
            return Ok(head);
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("the head is too long"));
        }
    }
}

fn parse(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut slots);
    let end = match request.parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(end) => end,
    };
    let mut headers = Map::new();
    for header in request.headers.iter() {
        let value = String::from_utf8_lossy(header.value).into_owned();
        headers.insert(header.name.to_ascii_lowercase(), json!(value));
    }
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let length = headers.get("content-length").and_then(Value::as_str);
    let length = length.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    if length > BODY_BYTES_MAX || headers.contains_key("transfer-encoding") {
        return Err(io::Error::other("bodies have a length, and not such a one"));
    }
    Ok(Some(Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: parameters(query),
        headers,
        length,
        rest: bytes.get(end..).unwrap_or_default().to_vec(),
    }))
}

fn parameters(query: &str) -> Map<String, Value> {
    let mut map = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, raw) = pair.split_once('=').unwrap_or((pair, ""));
        let text = decode(raw);
        let value = match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => json!(number),
            _ => json!(text),
        };
        map.insert(decode(name), value);
    }
    map
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next(), bytes.next()];
        let nibble = |digit: Option<u8>| (digit? as char).to_digit(16);
        if let (Some(high), Some(low)) = (nibble(digits[0]), nibble(digits[1])) {
            out.push(u8::try_from(high * 16 + low).unwrap_or_default());
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl Head {
    /// The body, as far as `most` bytes of it; slowly if asked for.
    pub(super) fn body(
        &self,
        stream: &mut TcpStream,
        most: usize,
        slowly: bool,
    ) -> io::Result<Vec<u8>> {
        let wanted = self.length.min(most);
        let mut body: Vec<u8> = self.rest.iter().copied().take(wanted).collect();
        let mut chunk = [0; 16 << 10];
        while body.len() < wanted {
            let most = if slowly { (wanted - body.len()).min(256) } else { wanted - body.len() };
            let most = most.min(chunk.len());
            let read = stream.read(chunk.get_mut(..most).unwrap_or_default())?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            body.extend_from_slice(chunk.get(..read).unwrap_or_default());
            if slowly {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(body)
    }
}

/// Writes a whole reply and ends the connection in order.
pub(super) fn answer(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
    shown: usize,
) -> io::Result<()> {
    let mut text = format!("HTTP/1.1 {status} {}\r\nconnection: close\r\n", phrase(status));
    let given = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if !given("content-type") {
        text.push_str("content-type: application/json\r\n");
    }
    // As the real gateway (`src/admit/origin.rs`): without it a page cannot read `Retry-After`.
    text.push_str("access-control-allow-origin: *\r\n");
    text.push_str("access-control-expose-headers: Retry-After, ETag\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    if status != 304 && status != 204 && status >= 200 {
        text.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes())?;
    stream.write_all(body.get(..shown.min(body.len())).unwrap_or_default())?;
    stream.flush()
}

fn phrase(status: u16) -> &'static str {
    match status {
        200..=299 => "OK",
        300..=399 => "Elsewhere",
        400..=499 => "Not So",
        _ => "Not Now",
    }
}

/// Ends the connection with a reset instead of an orderly end.
pub(super) fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Whether the peer has gone; waits for it for a few milliseconds.
pub(super) fn gone(stream: &TcpStream) -> bool {
    drop(stream.set_read_timeout(Some(Duration::from_millis(4))));
    match stream.peek(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_come() {
        let text =
            b"POST /v1/batch?key=a%20b&class=1&x=007 HTTP/1.1\r\nContent-Length: 3\r\n\r\nab";
        for cut in 0..text.len() - 3 {
            assert!(parse(&text[..cut]).expect("a head").is_none(), "{cut}");
        }
        let head = parse(text).expect("a head").expect("whole");
        assert_eq!(head.path, "/v1/batch");
        assert_eq!(Value::Object(head.query), json!({"key": "a b", "class": 1, "x": "007"}));
        assert_eq!((head.length, head.rest), (3, b"ab".to_vec()));
        assert!(parse(b"nonsense\x00\r\n\r\n").is_err());
    }
}
