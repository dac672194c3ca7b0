//! RFC 8878: every frame of the body. A stream may have a window of 8 MiB, as the RFC advises.
//!
//! What the door has taken, the drainer must be able to read, so what is taken must be a matter of
//! the bytes alone. The library's stream is not like that: the buffers of a context that was used
//! are larger, and with room for a whole frame it takes another way; both check other things. So a
//! frame that says its size, as nearly all do, is inflated at once into just that room, where no
//! buffers are; and one that does not gets a new context.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::{DCtx, find_frame_compressed_size, get_frame_content_size};

use super::{Capped, Engines};
use crate::model::Refusal;

const NAME: &str = "zstd";

/// 2^23 bytes; the library's own default would let a client claim 128 MiB a stream.
const WINDOW_LOG_MAX: u32 = 23;

pub(super) fn signature(body: &[u8]) -> bool {
    body.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
}

pub(super) fn inflate(
    body: &[u8],
    engines: &mut Engines,
    out: &mut Capped<'_>,
) -> Result<(), Refusal> {
    let mut used = frame(body, engines, out)?;
    while let Some(rest) = body.get(used..).filter(|rest| !rest.is_empty()) {
        if !signature(rest) {
            return Err(Refusal::Trailing(NAME));
        }
        used += frame(rest, engines, out)?;
    }
    Ok(())
}

/// Inflates the frame that `input` begins with; gives its length.
fn frame(input: &[u8], engines: &mut Engines, out: &mut Capped<'_>) -> Result<usize, Refusal> {
    match get_frame_content_size(input).map_err(|_| damaged())? {
        Some(bytes) => at_once(input, bytes, engines, out),
        None => stream(input, out),
    }
}

/// The library refuses a frame that does not hold as many bytes as it says.
fn at_once(
    input: &[u8],
    bytes: u64,
    engines: &mut Engines,
    out: &mut Capped<'_>,
) -> Result<usize, Refusal> {
    let engine = match &mut engines.zstd {
        Some(engine) => engine,
        none => none.insert(DCtx::try_create().ok_or(Refusal::Busy)?),
    };
    let length = find_frame_compressed_size(input).map_err(|_| damaged())?;
    let frame = input.get(..length).ok_or_else(damaged)?;
    out.take(bytes, |room| engine.decompress(room, frame).map_err(|_| damaged()))?;
    Ok(length)
}

fn stream(input: &[u8], out: &mut Capped<'_>) -> Result<usize, Refusal> {
    let mut engine = Decoder::new().map_err(|_| Refusal::Busy)?;
    engine.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(|_| damaged())?;
    let (mut used, mut ended) = (0, false);
    while !ended {
        let before = (used, out.len());
        out.fill(|room| {
            let mut rest = InBuffer::around(input.get(used..).unwrap_or_default());
            let mut output = OutBuffer::around(room);
            let hint = engine.run(&mut rest, &mut output).map_err(|_| damaged())?;
            used += rest.pos();
            ended = hint == 0;
            Ok(output.pos())
        })?;
        if !ended && before == (used, out.len()) {
            return Err(damaged());
        }
    }
    Ok(used)
}

fn damaged() -> Refusal {
    Refusal::Damaged(NAME)
}
