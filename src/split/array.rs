//! A JSON array of events, alone or as the value of `batch` in a wrapper.
//!
//! In: the position behind the opening bracket. A bad element is skipped to the next comma outside of
//! its own strings and brackets; where there is none, the rest of the body is one rejected event.

use super::cutter::{Cutter, Piece};
use super::{event, lenient};
use crate::json::{Blanks, Fault};
use crate::model::Refusal;

/// Takes every element; returns the position behind the closing bracket, or nothing if there is no
/// such bracket and the rest of the body has been rejected.
pub(super) fn cut(cutter: &mut Cutter<'_>, at: usize) -> Result<Option<usize>, Refusal> {
    let body = cutter.body;
    let mut blanks = Blanks::anywhere();
    let mut start = blanks.skip(body, at);
    if body.get(start) == Some(&b']') {
        return Ok(Some(start + 1));
    }
    loop {
        let Some(stop) = element(cutter, start, &mut blanks)? else { return Ok(None) };
        match body.get(stop) {
            Some(b',') => start = blanks.skip(body, stop + 1),
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
    blanks: &mut Blanks,
) -> Result<Option<usize>, Refusal> {
    let body = cutter.body;
    blanks.forget();
    let mut walked = event::walk(body, start, blanks);
    let broken = blanks.broken();
    if let Ok(found) = &walked {
        let end = found.end;
        let stop = blanks.skip(body, end);
        if matches!(body.get(stop), None | Some(b',' | b']')) {
            cutter.take(&Piece { whole: start..end, start, broken, walked })?;
            return Ok(Some(stop));
        }
        walked = Err(Fault::Syntax(stop));
    }
    let stop = lenient::element_end(body, start);
    let whole = start..stop.unwrap_or(body.len());
    cutter.take(&Piece { whole, start, broken, walked })?;
    Ok(stop)
}
