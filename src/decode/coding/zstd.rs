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
    let mut used = 0;
    loop {
        let mut frame_ended = false;
        let before = (used, out.len());
        out.fill(|room| {
            let room_bytes = room.len();
            let mut input = InBuffer::around(body.get(used..).unwrap_or_default());
            let mut output = OutBuffer::around(room);
            let hint = engine.run(&mut input, &mut output).map_err(|_| Refusal::Damaged(NAME))?;
            used += input.pos();
            // Zero means that a frame is complete and all of it is written.
            frame_ended = hint == 0;
            Ok(output.pos().min(room_bytes))
        })?;
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

fn new_engine() -> Result<Decoder<'static>, Refusal> {
    let mut engine = Decoder::new().map_err(|_| Refusal::Busy)?;
    engine
        .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
        .map_err(|_| Refusal::Damaged(NAME))?;
    Ok(engine)
}
