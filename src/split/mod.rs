//! Stage 2: cuts an inflated body into events and gives each its verdict, without copying a byte.
//!
//! In: body, arrival facts, limits and rules. Out: a [`Batch`] of spans, or why all of it is
//! refused. Must never do I/O, read a clock, draw lots, or let one bad event spoil its neighbours.

mod array;
mod cutter;
mod event;
mod header;
mod lenient;
mod limits;
mod lines;
pub mod rules;
#[cfg(test)]
mod tests;
mod time;

pub use limits::Limits;
pub use rules::Rules;

use cutter::Cutter;

use crate::json::{self, Fault, Members, Scanner};
use crate::model::{Batch, Facts, Format, Refusal};

/// Cuts `body` and judges every event in it.
///
/// Whole-batch faults are looked for in this order: empty, version, header, class, number of
/// events, count. `query_class` is the class that the query named, if it did.
pub fn split(
    body: &[u8],
    facts: &Facts,
    query_class: Option<u8>,
    limits: &Limits,
    rules: &Rules,
) -> Result<Batch, Refusal> {
    // Spans are 32 bits wide; decode's own limit is far below.
    if u32::try_from(body.len()).is_err() {
        return Err(Refusal::InflatedTooLarge(u64::from(u32::MAX)));
    }
    let start = Scanner::anywhere().blanks(body, 0);
    let Some(first) = body.get(start) else { return Err(Refusal::Empty) };
    let utf8 = simdutf8::basic::from_utf8(body).is_ok();
    if header::begins(body, start) {
        let read = header::read(body, start, utf8, limits)?;
        return behind_header(body, read, facts, query_class, limits, rules, utf8);
    }
    let mut cutter = Cutter::begin(body, utf8, facts, limits, rules, None);
    cutter.format = match first {
        b'[' => whole_array(&mut cutter, start)?,
        b'{' => one_document(&mut cutter, start)?,
        _ => bare_lines(&mut cutter, 0)?,
    };
    if cutter.count() == 0 { Err(Refusal::Empty) } else { Ok(cutter.finish()) }
}

/// The form that SDKs send: a header line, then one event a line.
fn behind_header(
    body: &[u8],
    read: header::Read,
    facts: &Facts,
    query_class: Option<u8>,
    limits: &Limits,
    rules: &Rules,
    utf8: bool,
) -> Result<Batch, Refusal> {
    if let (Some(query), Some(header)) = (query_class, read.header.class)
        && query != header
    {
        return Err(Refusal::ClassConflict { query, header });
    }
    let (behind, said) = (read.end, read.count);
    let mut cutter = Cutter::begin(body, utf8, facts, limits, rules, Some(read));
    lines::cut(&mut cutter, behind)?;
    let is = cutter.count();
    match said {
        Some(said) if said != is => Err(Refusal::Count { said, is }),
        _ => Ok(cutter.finish()),
    }
}

fn whole_array(cutter: &mut Cutter<'_>, start: usize) -> Result<Format, Refusal> {
    if let Some(end) = array::cut(cutter, start + 1)? {
        let rest = Scanner::anywhere().blanks(cutter.body, end);
        if rest < cutter.body.len() {
            cutter.reject_rest(rest)?;
        }
    }
    Ok(Format::Array)
}

/// A body that begins with an object: the wrapper, one event, or the first of many lines.
fn one_document(cutter: &mut Cutter<'_>, start: usize) -> Result<Format, Refusal> {
    if let Some((b"batch", value)) = json::first_key(cutter.body, start)
        && cutter.body.get(value) == Some(&b'[')
        && wrapper(cutter, start, value + 1)?
    {
        return Ok(Format::Wrapper);
    }
    if line_fault(cutter.body, start).is_some_and(|fault| matches!(fault, Fault::Eof(_)))
        && spread_object(cutter, start)?
    {
        return Ok(Format::Object);
    }
    let format = bare_lines(cutter, 0)?;
    Ok(if cutter.count() == 1 { Format::Object } else { format })
}

fn bare_lines(cutter: &mut Cutter<'_>, start: usize) -> Result<Format, Refusal> {
    lines::cut(cutter, start)?;
    Ok(Format::BareLines)
}

/// Takes the body as `{"batch":[…]}`, whose array begins behind `elements`, if that is what it is.
///
/// With its envelope whole, the elements may be as bad as they like. Without, it may also be lines
/// of which the first is broken, so that the elements have to prove themselves.
fn wrapper(cutter: &mut Cutter<'_>, start: usize, elements: usize) -> Result<bool, Refusal> {
    let body = cutter.body;
    match envelope(body, elements) {
        Envelope::Whole => {
            array::cut(cutter, elements)?;
            Ok(true)
        }
        Envelope::Other => Ok(false),
        Envelope::Broken if line_fault(body, start).is_none() => Ok(false),
        Envelope::Broken => {
            if let Some(end) = array::cut(cutter, elements)? {
                cutter.reject_rest(end)?;
            }
            if cutter.kept() == 0 {
                cutter.clear();
            }
            Ok(cutter.count() > 0)
        }
    }
}

enum Envelope {
    /// Nothing but further members and blanks stands behind the array.
    Whole,
    /// An event that happens to have a `batch`, because it has a `type` as well.
    Other,
    /// Something is missing or in the way.
    Broken,
}

fn envelope(body: &[u8], elements: usize) -> Envelope {
    let Some(close) = lenient::array_end(body, elements) else { return Envelope::Broken };
    let mut scanner = Scanner::anywhere();
    let mut members = Members::resume(body, close + 1, &mut scanner);
    loop {
        match members.advance() {
            Ok(Some(member)) => {
                if json::text_is(member.key, "type") {
                    return Envelope::Other;
                }
            }
            Ok(None) => break,
            Err(_) => return Envelope::Broken,
        }
    }
    let end = members.at();
    if scanner.blanks(body, end) == body.len() { Envelope::Whole } else { Envelope::Broken }
}

/// What is wrong with the value at `start` if it has to end on its line.
fn line_fault(body: &[u8], start: usize) -> Option<Fault> {
    let mut scanner = Scanner::in_line();
    match scanner.value(body, start) {
        Ok(end) => {
            let rest = scanner.blanks(body, end);
            (!matches!(body.get(rest), None | Some(b'\n'))).then_some(Fault::Syntax(rest))
        }
        Err(fault) => Some(fault),
    }
}

/// Takes the body as one object over many lines, if it is one.
fn spread_object(cutter: &mut Cutter<'_>, start: usize) -> Result<bool, Refusal> {
    let body = cutter.body;
    let mut scanner = Scanner::anywhere();
    let mut walked = event::Walked::new();
    let fault = event::walk(body, start, &mut scanner, &mut walked).err();
    let broken = scanner.broken();
    let end = match fault {
        None => walked.end,
        // These two leave the brackets whole, so that the object is one event with one reason.
        Some(Fault::Depth(_) | Fault::LoneSurrogate(_)) => {
            lenient::object_end(body, start).unwrap_or(0)
        }
        Some(_) => return Ok(false),
    };
    if end == 0 || scanner.blanks(body, end) < body.len() {
        return Ok(false);
    }
    let walked = fault.map_or(Ok(&walked), Err);
    cutter.take(&cutter::Piece { whole: start..end, start, broken, walked })?;
    Ok(true)
}
