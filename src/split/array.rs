//! A JSON array of events, alone or as the value of `batch` in a wrapper.
//!
//! In: the position behind the opening bracket. A bad element is skipped to the next comma outside
//! of its own strings and brackets; where there is none, the rest of the body is one rejected
//! event.

use super::cutter::{Cutter, Piece};
use super::event::{self, Walked};
use super::lenient;
use crate::json::{Fault, Scanner};
use crate::model::Refusal;

/// Takes every element; returns the position behind the closing bracket, or nothing if there is no
/// such bracket and the rest of the body has been rejected.
pub(super) fn cut(cutter: &mut Cutter<'_>, at: usize) -> Result<Option<usize>, Refusal> {
    let body = cutter.body;
    let mut scanner = Scanner::anywhere();
    let mut start = scanner.blanks(body, at);
    if body.get(start) == Some(&b']') {
        return Ok(Some(start + 1));
    }
    let mut walked = Walked::new();
    loop {
        let Some(stop) = element(cutter, start, &mut scanner, &mut walked)? else {
            return Ok(None);
        };
        match body.get(stop) {
            Some(b',') => start = scanner.blanks(body, stop + 1),
            Some(_) => return Ok(Some(stop + 1)),
            None => {
                cutter.reject_rest(stop)?;
                return Ok(None);
            }
        }
    }
}

/// Takes the element at `start`; returns where its comma or bracket has to be, or nothing if the
/// element swallowed the rest.
fn element(
    cutter: &mut Cutter<'_>,
    start: usize,
    scanner: &mut Scanner,
    walked: &mut Walked,
) -> Result<Option<usize>, Refusal> {
    let body = cutter.body;
    scanner.forget();
    let mut fault = event::walk(body, start, scanner, walked).err();
    let broken = scanner.broken();
    if fault.is_none() {
        let stop = scanner.blanks(body, walked.end);
        if matches!(body.get(stop), None | Some(b',' | b']')) {
            let whole = start..walked.end;
            cutter.take(&Piece { whole, start, broken, walked: Ok(walked) })?;
            return Ok(Some(stop));
        }
        fault = Some(Fault::Syntax(stop));
    }
    let stop = lenient::element_end(body, start);
    let whole = start..stop.unwrap_or(body.len());
    let walked = fault.map_or(Ok(&*walked), Err);
    cutter.take(&Piece { whole, start, broken, walked })?;
    Ok(stop)
}
