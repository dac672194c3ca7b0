//! One event a line. Only the byte 0x0A ends a line, whatever stands around it.
//!
//! In: the position behind the header line, or 0. Each line is walked once; where its end is, is
//! known when the walk gets there, and is looked for only when the walk fails.

use super::cutter::{Cutter, Piece};
use super::event::{self, Walked};
use crate::json::{Fault, Scanner};
use crate::model::Refusal;

/// Takes every line from `at` to the end of the body.
pub(super) fn cut(cutter: &mut Cutter<'_>, mut at: usize) -> Result<(), Refusal> {
    let body = cutter.body;
    let mut scanner = Scanner::in_line();
    let mut walked = Walked::new();
    loop {
        let line = at;
        let start = scanner.blanks(body, line);
        match body.get(start) {
            None => return Ok(()),
            Some(b'\n') => {
                at = start + 1;
                continue;
            }
            Some(_) => scanner.forget(),
        }
        let mut fault = event::walk(body, start, &mut scanner, &mut walked).err();
        let broken = scanner.broken();
        if fault.is_none() {
            at = scanner.blanks(body, walked.end);
            if !matches!(body.get(at), None | Some(b'\n')) {
                fault = Some(Fault::Syntax(at));
            }
        }
        if fault.is_some() {
            at = end(body, start);
        }
        let whole = line..at - usize::from(at > line && body.get(at - 1) == Some(&b'\r'));
        let walked = fault.map_or(Ok(&walked), Err);
        cutter.take(&Piece { whole, start, broken, walked })?;
        at += 1;
    }
}

/// The line feed that ends the line of `at`, or the end of the body.
pub(super) fn end(body: &[u8], at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(body.len(), |offset| at + offset)
}
