//! The header line: who sends the batch, under which id, and how many events follow.
//!
//! In: a first line whose first key is `tidegate`. Out: what it says, or a refusal of the batch.
//! Keys that are not known are ignored, `null` stands for absent, a repeated known key is a fault.

use uuid::Uuid;

use super::event::span;
use super::{Limits, lines};
use crate::json::{self, Kind, Member, Members, Scanner};
use crate::model::{Header, Refusal, Span};

/// The newest protocol version that is spoken here.
const VERSION_MAX: i64 = 1;

/// What a header line says.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// What goes into the batch.
    pub header: Header,
    /// `batch`.
    pub batch: Option<Uuid>,
    /// `count`.
    pub count: Option<u64>,
    /// Behind the line.
    pub end: usize,
}

/// Whether the body's first value is a header line, or means to be one.
pub(super) fn begins(body: &[u8], start: usize) -> bool {
    json::first_key(body, start).is_some_and(|(key, _)| json::text_is(key, "tidegate"))
}

/// Reads the header line at `start`; checks go in this order: version, size, JSON, keys.
pub(super) fn read(
    body: &[u8],
    start: usize,
    utf8: bool,
    limits: &Limits,
) -> Result<Read, Refusal> {
    let end = lines::end(body, start);
    let line = body.get(..end).unwrap_or_default();
    let mut scanner = Scanner::in_line();
    let mut read = Read { end: end + 1, ..Read::default() };
    let mut seen = vec![0];
    // The version comes first in the line and decides whether the rest can be judged here at all.
    let mut members = Members::open(line, start, &mut scanner).map_err(|_| invalid(utf8))?;
    let version = members.advance();
    if let Ok(Some(member)) = &version {
        check_version(member)?;
    }
    check_size("header line", end - start, limits.header_bytes_max)?;
    if !utf8 && simdutf8::basic::from_utf8(line).is_err() {
        return Err(invalid(false));
    }
    version.map_err(|_| invalid(true))?;
    while let Some(member) = members.advance().map_err(|_| invalid(true))? {
        let key = json::unescape(member.key);
        let Some(place) = KEYS.iter().position(|known| *known == key) else { continue };
        if seen.contains(&place) {
            return Err(Refusal::Header("a key stands twice"));
        }
        seen.push(place);
        if member.kind != Kind::Null {
            read.note(&key, line, &member, limits)?;
        }
    }
    let behind = members.at();
    if scanner.blanks(line, behind) < end { Err(invalid(true)) } else { Ok(read) }
}

/// Known keys; the first one has been read when the others are met.
const KEYS: [&str; 10] = [
    "tidegate", "batch", "sdk", "instance", "epoch", "class", "count", "config", "context",
    "report",
];

impl Read {
    fn note(
        &mut self,
        key: &str,
        line: &[u8],
        member: &Member<'_>,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let header = &mut self.header;
        match key {
            "batch" => self.batch = Some(uuid(line, member)?),
            "sdk" => header.sdk = text(member, "sdk must be a string")?,
            "instance" => header.instance = text(member, "instance must be a string")?,
            "epoch" => header.epoch = text(member, "epoch must be a string")?,
            "class" => {
                let class = count(member).and_then(|class| u8::try_from(class).ok());
                let class = class.filter(|class| *class <= 2);
                header.class = Some(class.ok_or(Refusal::Header("class must be 0, 1 or 2"))?);
            }
            "count" => {
                let wrong = Refusal::Header("count must be an integer from 0");
                self.count = Some(count(member).ok_or(wrong)?);
            }
            "config" => {
                let wrong = Refusal::Header("config must be an integer from 0");
                header.config = Some(count(member).ok_or(wrong)?);
            }
            "context" => {
                header.context = object(member, "context must be an object")?;
                check_size("context", member.value.len(), limits.context_bytes_max)?;
            }
            _ => {
                header.report = object(member, "report must be an object")?;
                check_size("report", member.value.len(), limits.report_bytes_max)?;
            }
        }
        Ok(())
    }
}

fn invalid(utf8: bool) -> Refusal {
    let what = if utf8 { "it must be one JSON object on one line" } else { "it is not UTF-8" };
    Refusal::Header(what)
}

fn check_version(member: &Member<'_>) -> Result<(), Refusal> {
    match json::integer(member.value) {
        Some(1..=VERSION_MAX) => Ok(()),
        Some(version) if version > VERSION_MAX => Err(Refusal::Version(VERSION_MAX.unsigned_abs())),
        _ => Err(Refusal::Header("tidegate must be the protocol version, an integer from 1")),
    }
}

fn check_size(what: &'static str, bytes: usize, limit: u64) -> Result<(), Refusal> {
    if bytes as u64 > limit { Err(Refusal::HeaderTooLarge { what, limit }) } else { Ok(()) }
}

/// Only the usual form with hyphens, because the reply echoes that and the SDK compares.
fn uuid(line: &[u8], member: &Member<'_>) -> Result<Uuid, Refusal> {
    let wrong = Refusal::Header("batch must be a UUID");
    let inner = text(member, "batch must be a UUID")?.of(line);
    if inner.len() != 36 {
        return Err(wrong);
    }
    Uuid::try_parse_ascii(inner).map_err(|_| wrong)
}

fn count(member: &Member<'_>) -> Option<u64> {
    let value = json::integer(member.value)?;
    u64::try_from(value).ok()
}

fn text(member: &Member<'_>, wrong: &'static str) -> Result<Span, Refusal> {
    let inner = member.value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let inner = inner.ok_or(Refusal::Header(wrong))?;
    Ok(span(member.at + 1, inner))
}

fn object(member: &Member<'_>, wrong: &'static str) -> Result<Span, Refusal> {
    if member.kind == Kind::Object {
        Ok(span(member.at, member.value))
    } else {
        Err(Refusal::Header(wrong))
    }
}
