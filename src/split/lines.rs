//! One event a line. Only the byte 0x0A ends a line, whatever stands around it.
//!
//! In: the position behind the header line, or 0. Each line is walked once; where its end is, is
//! known when the walk gets there, and is looked for only when the walk fails.

use super::cutter::{Cutter, Piece};
use super::event;
use crate::json::{Blanks, Fault};
use crate::model::Refusal;

/// Takes every line from `at` to the end of the body.
pub(super) fn cut(cutter: &mut Cutter<'_>, mut at: usize) -> Result<(), Refusal> {
    let body = cutter.body;
    let mut blanks = Blanks::in_line();
    loop {
        let line = at;
        let start = blanks.skip(body, line);
        match body.get(start) {
            None => return Ok(()),
            Some(b'\n') => {
                at = start + 1;
                continue;
            }
            Some(_) => blanks.forget(),
        }
        let mut walked = event::walk(body, start, &mut blanks);
        let broken = blanks.broken();
        if let Ok(found) = &walked {
            at = blanks.skip(body, found.end);
            if !matches!(body.get(at), None | Some(b'\n')) {
                walked = Err(Fault::Syntax(at));
            }
        }
        if walked.is_err() {
            at = end(body, start);
        }
        let whole = line..at - usize::from(at > line && body.get(at - 1) == Some(&b'\r'));
        cutter.take(&Piece { whole, start, broken, walked })?;
        at += 1;
    }
}

/// The line feed that ends the line of `at`, or the end of the body.
pub(super) fn end(body: &[u8], at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(body.len(), |offset| at + offset)
}
