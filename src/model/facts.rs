//! Arrival facts: what the gateway knew of a batch when it came in, and their tag-length-value
//! form.
//!
//! A record is these facts and the body bytes as received. The TLV form is what journal frames
//! hold; `tg-*` headers on tier 1 carry the same values as text. Must never lose an unknown tag's
//! meaning silently: a reader skips tags that it does not know, so that older readers survive newer
//! writers.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

/// The version of the record layout, in `tg-v` and in the facts themselves.
pub const RECORD_VERSION: u8 = 1;

/// One batch as it came: the body still coded, and its arrival facts.
#[derive(Debug, Clone)]
pub struct Record {
    /// What was known when it arrived.
    pub facts: Facts,
    /// The body bytes exactly as received.
    pub body: Bytes,
}

/// Everything about a batch that its bytes alone do not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The application that the write key belongs to.
    pub app: Arc<str>,
    /// Which sort of key let it in.
    pub key_kind: KeyKind,
    /// The client's address.
    pub address: IpAddr,
    /// The client's `User-Agent`, cut at 256 bytes; empty when absent.
    pub user_agent: Box<str>,
    /// The coding of the body, as sniffed.
    pub coding: Coding,
    /// The form of the inflated body; `Unknown` until split has seen it.
    pub format: Format,
    /// When the whole body had arrived, Unix milliseconds.
    pub arrival_ms: i64,
    /// The client's clock when it sent, Unix milliseconds.
    pub sent_ms: Option<i64>,
    /// Monotonic milliseconds between sealing and sending.
    pub wait_ms: Option<u64>,
    /// Which attempt this is, from 1; 0 when not told.
    pub attempt: u32,
    /// 0 critical, 1 normal, 2 bulk.
    pub class: u8,
    /// The batch id: the client's, or made by the gateway.
    pub batch: Uuid,
    /// Whether the gateway made the batch id.
    pub batch_made: bool,
    /// The hash that names the rules text in force at arrival (16 hex digits as a number).
    pub rules: u64,
    /// The node that accepted it.
    pub node: Uuid,
}

/// The sort of write key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyKind {
    /// No keys are configured: everybody on loopback may write.
    Open = 0,
    /// Embedded in apps and pages; may be lied with.
    Public = 1,
    /// Held by servers.
    Secret = 2,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Coding {
    /// Not compressed.
    Identity = 0,
    /// RFC 1952, any number of members.
    Gzip = 1,
    /// RFC 1950 (zlib) or RFC 1951 (raw), as HTTP clients do both.
    Deflate = 2,
    /// RFC 8878.
    Zstd = 3,
}

/// How events are framed in an inflated body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// Nobody has looked yet.
    Unknown = 0,
    /// One event a line, behind a header line.
    Lines = 1,
    /// One event a line, no header.
    BareLines = 2,
    /// A JSON array of events.
    Array = 3,
    /// One JSON object, which is the event.
    Object = 4,
    /// `{"batch":[…]}`.
    Wrapper = 5,
}

impl KeyKind {
    /// The name in headers, metrics and configuration.
    pub fn name(self) -> &'static str {
        ["open", "public", "secret"][self as usize]
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Open, Self::Public, Self::Secret].into_iter().find(|kind| *kind as u8 == byte)
    }
}

impl Coding {
    /// The name in `Content-Encoding` and headers.
    pub fn name(self) -> &'static str {
        ["identity", "gzip", "deflate", "zstd"][self as usize]
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Identity, Self::Gzip, Self::Deflate, Self::Zstd]
            .into_iter()
            .find(|coding| *coding as u8 == byte)
    }
}

impl Format {
    /// The name in headers and metrics.
    pub fn name(self) -> &'static str {
        ["unknown", "lines", "bare_lines", "array", "object", "wrapper"][self as usize]
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Unknown, Self::Lines, Self::BareLines, Self::Array, Self::Object, Self::Wrapper]
            .into_iter()
            .find(|format| *format as u8 == byte)
    }
}

/// Why stored facts could not be read back.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A length points outside the bytes.
    #[error("facts end inside tag {0}")]
    Truncated(u8),
    /// A value has the wrong size or an unknown code.
    #[error("fact with tag {0} has a value that is not allowed")]
    Value(u8),
    /// A fact that every record has is not there.
    #[error("fact with tag {0} is missing")]
    Missing(u8),
}

const VERSION: u8 = 1;
const APP: u8 = 2;
const KEY_KIND: u8 = 3;
const ADDRESS: u8 = 4;
const USER_AGENT: u8 = 5;
const CODING: u8 = 6;
const FORMAT: u8 = 7;
const ARRIVAL: u8 = 8;
const SENT: u8 = 9;
const WAIT: u8 = 10;
const ATTEMPT: u8 = 11;
const CLASS: u8 = 12;
const BATCH: u8 = 13;
const BATCH_MADE: u8 = 14;
const RULES: u8 = 15;
const NODE: u8 = 16;

impl Facts {
    /// Appends the facts as tag (u8), length (u16, little-endian) and value, tags ascending.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, VERSION, &[RECORD_VERSION]);
        put(out, APP, self.app.as_bytes());
        put(out, KEY_KIND, &[self.key_kind as u8]);
        match self.address {
            IpAddr::V4(address) => put(out, ADDRESS, &address.octets()),
            IpAddr::V6(address) => put(out, ADDRESS, &address.octets()),
        }
        if !self.user_agent.is_empty() {
            put(out, USER_AGENT, self.user_agent.as_bytes());
        }
        put(out, CODING, &[self.coding as u8]);
        put(out, FORMAT, &[self.format as u8]);
        put(out, ARRIVAL, &self.arrival_ms.to_le_bytes());
        if let Some(sent_ms) = self.sent_ms {
            put(out, SENT, &sent_ms.to_le_bytes());
        }
        if let Some(wait_ms) = self.wait_ms {
            put(out, WAIT, &wait_ms.to_le_bytes());
        }
        put(out, ATTEMPT, &self.attempt.to_le_bytes());
        put(out, CLASS, &[self.class]);
        put(out, BATCH, self.batch.as_bytes());
        put(out, BATCH_MADE, &[u8::from(self.batch_made)]);
        put(out, RULES, &self.rules.to_le_bytes());
        put(out, NODE, self.node.as_bytes());
    }

    /// Reads what [`Facts::encode`] wrote; tags that are not known here are skipped.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, Error> {
        let mut found: [Option<&[u8]>; 17] = [None; 17];
        while let Some((&tag, rest)) = bytes.split_first() {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or(Error::Truncated(tag))?;
            let length = usize::from(u16::from_le_bytes(*length));
            let (value, rest) = rest.split_at_checked(length).ok_or(Error::Truncated(tag))?;
            if let Some(slot) = found.get_mut(usize::from(tag)) {
                *slot = Some(value);
            }
            bytes = rest;
        }
        let found = Found(found);
        Ok(Self {
            app: Arc::from(found.text(APP)?),
            key_kind: KeyKind::from_byte(found.byte(KEY_KIND)?).ok_or(Error::Value(KEY_KIND))?,
            address: found.address()?,
            user_agent: found.text(USER_AGENT).unwrap_or_default().into(),
            coding: Coding::from_byte(found.byte(CODING)?).ok_or(Error::Value(CODING))?,
            format: Format::from_byte(found.byte(FORMAT)?).ok_or(Error::Value(FORMAT))?,
            arrival_ms: i64::from_le_bytes(found.fixed(ARRIVAL)?),
            sent_ms: found.optional(SENT)?.map(i64::from_le_bytes),
            wait_ms: found.optional(WAIT)?.map(u64::from_le_bytes),
            attempt: u32::from_le_bytes(found.fixed(ATTEMPT)?),
            class: found.byte(CLASS)?,
            batch: Uuid::from_bytes(found.fixed(BATCH)?),
            batch_made: found.byte(BATCH_MADE)? != 0,
            rules: u64::from_le_bytes(found.fixed(RULES)?),
            node: Uuid::from_bytes(found.fixed(NODE)?),
        })
    }
}

fn put(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.push(tag);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend(value.iter().take(usize::from(length)));
}

struct Found<'a>([Option<&'a [u8]>; 17]);

impl<'a> Found<'a> {
    fn get(&self, tag: u8) -> Result<&'a [u8], Error> {
        self.0.get(usize::from(tag)).copied().flatten().ok_or(Error::Missing(tag))
    }

    fn fixed<const N: usize>(&self, tag: u8) -> Result<[u8; N], Error> {
        self.get(tag)?.try_into().map_err(|_| Error::Value(tag))
    }

    fn optional<const N: usize>(&self, tag: u8) -> Result<Option<[u8; N]>, Error> {
        match self.fixed(tag) {
            Ok(value) => Ok(Some(value)),
            Err(Error::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn byte(&self, tag: u8) -> Result<u8, Error> {
        self.fixed::<1>(tag).map(|[byte]| byte)
    }

    fn text(&self, tag: u8) -> Result<&'a str, Error> {
        std::str::from_utf8(self.get(tag)?).map_err(|_| Error::Value(tag))
    }

    fn address(&self) -> Result<IpAddr, Error> {
        let bytes = self.get(ADDRESS)?;
        if let Ok(four) = <[u8; 4]>::try_from(bytes) {
            return Ok(IpAddr::from(four));
        }
        self.fixed::<16>(ADDRESS).map(IpAddr::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Facts {
        Facts {
            app: Arc::from("demo"),
            key_kind: KeyKind::Public,
            address: IpAddr::from([192, 0, 2, 7]),
            user_agent: "curl/8".into(),
            coding: Coding::Gzip,
            format: Format::Lines,
            arrival_ms: 1_767_225_600_000,
            sent_ms: Some(1_767_225_599_999),
            wait_ms: None,
            attempt: 2,
            class: 1,
            batch: Uuid::from_u128(7),
            batch_made: false,
            rules: 0xdead_beef,
            node: Uuid::from_u128(9),
        }
    }

    #[test]
    fn survives_encoding() {
        for facts in
            [sample(), Facts { address: IpAddr::from([1; 16]), wait_ms: Some(5), ..sample() }]
        {
            let mut bytes = Vec::new();
            facts.encode(&mut bytes);
            assert_eq!(Facts::decode(&bytes), Ok(facts));
        }
    }

    #[test]
    fn skips_tags_of_a_newer_version() {
        let mut bytes = vec![200, 3, 0, 1, 2, 3];
        sample().encode(&mut bytes);
        assert_eq!(Facts::decode(&bytes), Ok(sample()));
    }

    #[test]
    fn refuses_every_truncation() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        for end in 0..bytes.len() {
            assert!(Facts::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
