//! RFC 8878: every frame of the body, with a window of at most 8 MiB as the RFC advises.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

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
    let engine = match &mut engines.zstd {
        Some(engine) => {
            engine.reinit().map_err(|_| Refusal::Damaged(NAME))?;
            engine
        }
        none => none.insert(new_engine()?),
    };
    let (mut used, mut is_new) = (0, true);
    loop {
        let before = (used, out.len());
        let mut frame_ended = false;
        let mut step = |room: &mut [u8]| {
            let (written, ended) = step(engine, body, &mut used, room)?;
            frame_ended = ended;
            Ok(written)
        };
        if is_new {
            // Without room for it the library cannot inflate a whole frame at once, where it checks
            // other things than in its stream: what is taken must not depend on the room there is.
            step(&mut [])?;
        } else {
            out.fill(step)?;
        }
        is_new = frame_ended;
        if frame_ended && used == body.len() {
            return Ok(());
        }
        if frame_ended && !signature(body.get(used..).unwrap_or_default()) {
            return Err(Refusal::Trailing(NAME));
        }
        if before == (used, out.len()) {
            return Err(Refusal::Damaged(NAME));
        }
    }
}

/// Goes on with the body from `used`; gives the bytes written, and whether a frame is complete and
/// all of it is written.
fn step(
    engine: &mut Decoder<'_>,
    body: &[u8],
    used: &mut usize,
    room: &mut [u8],
) -> Result<(usize, bool), Refusal> {
    let mut input = InBuffer::around(body.get(*used..).unwrap_or_default());
    let mut output = OutBuffer::around(room);
    let hint = engine.run(&mut input, &mut output).map_err(|_| Refusal::Damaged(NAME))?;
    *used += input.pos();
    Ok((output.pos(), hint == 0))
}

fn new_engine() -> Result<Decoder<'static>, Refusal> {
    let mut engine = Decoder::new().map_err(|_| Refusal::Busy)?;
    engine
        .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
        .map_err(|_| Refusal::Damaged(NAME))?;
    Ok(engine)
}
