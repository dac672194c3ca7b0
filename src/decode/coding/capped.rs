//! The only place where inflated bytes appear: a buffer that refuses to outgrow the limits.

use flate2::{Decompress, FlushDecompress, Status};

use super::super::Limits;
use crate::model::Refusal;

/// First guess of how much a body inflates.
const RATIO_USUAL: usize = 6;

/// An output buffer under an absolute and a relative cap.
pub(super) struct Capped<'a> {
    out: &'a mut Vec<u8>,
    received: u64,
    limits: &'a Limits,
}

impl<'a> Capped<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, received: usize, limits: &'a Limits) -> Self {
        let guess = received.saturating_mul(RATIO_USUAL).max(4_096);
        out.reserve(guess.min(usize::try_from(limits.inflated_bytes_max).unwrap_or(guess)));
        Self { out, received: received as u64, limits }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// The bytes from `start` on.
    pub(super) fn since(&self, start: usize) -> &[u8] {
        self.out.get(start..).unwrap_or_default()
    }

    /// Runs one raw or zlib stream to its end; gives the input bytes that it used.
    pub(super) fn run(
        &mut self,
        engine: &mut Decompress,
        input: &[u8],
        name: &'static str,
    ) -> Result<usize, Refusal> {
        let start_in = engine.total_in();
        loop {
            self.make_room()?;
            let used = usize::try_from(engine.total_in() - start_in).unwrap_or(usize::MAX);
            let rest = input.get(used..).unwrap_or_default();
            let before = (engine.total_in(), self.out.len());
            let status = engine
                .decompress_vec(rest, self.out, FlushDecompress::None)
                .map_err(|_| Refusal::Damaged(name))?;
            self.check()?;
            let used = usize::try_from(engine.total_in() - start_in).unwrap_or(usize::MAX);
            let moved = before != (engine.total_in(), self.out.len());
            match status {
                Status::StreamEnd => return Ok(used),
                Status::Ok | Status::BufError if moved => {}
                // No progress although there was room: the input has ended too early.
                Status::Ok | Status::BufError => return Err(Refusal::Damaged(name)),
            }
        }
    }

    /// The spare room as a slice, for decoders that want one; at least one byte.
    pub(super) fn fill(
        &mut self,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, Refusal>,
    ) -> Result<(), Refusal> {
        self.make_room()?;
        let start = self.out.len();
        let end = (start + CHUNK_BYTES).min(self.out.capacity());
        self.out.resize(end, 0);
        let written = write(self.out.get_mut(start..).unwrap_or_default());
        self.out.truncate(start + written.as_ref().copied().unwrap_or(0));
        written.and_then(|_| self.check())
    }

    /// Room for so many bytes as a slice, for decoders that know before how many there will be;
    /// refused before it is taken if they are too many.
    pub(super) fn take(
        &mut self,
        bytes: u64,
        write: impl FnOnce(&mut [u8]) -> Result<usize, Refusal>,
    ) -> Result<(), Refusal> {
        let start = self.out.len();
        let inflated = (start as u64).saturating_add(bytes);
        self.allow(inflated)?;
        let end = usize::try_from(inflated).unwrap_or(usize::MAX);
        self.out.reserve_exact(end - start);
        self.out.resize(end, 0);
        let written = write(self.out.get_mut(start..).unwrap_or_default());
        self.out.truncate(start + written.as_ref().copied().unwrap_or(0));
        written.map(|_| ())
    }

    fn make_room(&mut self) -> Result<(), Refusal> {
        self.check()?;
        if self.out.len() < self.out.capacity() {
            return Ok(());
        }
        // One byte over the cap is enough to see that it is crossed.
        let cap = usize::try_from(self.limits.inflated_bytes_max).unwrap_or(usize::MAX);
        let more = self.out.len().max(4_096).min(cap.saturating_add(1) - self.out.len());
        self.out.reserve_exact(more.max(1));
        Ok(())
    }

    fn check(&self) -> Result<(), Refusal> {
        self.allow(self.out.len() as u64)
    }

    fn allow(&self, inflated: u64) -> Result<(), Refusal> {
        let Limits { inflated_bytes_max, ratio_max, ratio_free_bytes } = *self.limits;
        let by_ratio = self.received.saturating_mul(ratio_max).max(ratio_free_bytes);
        // Of two limits that are crossed the lower one, which byte by byte would have been met
        // first: the reason must not depend on the room that was there.
        if inflated > by_ratio && by_ratio <= inflated_bytes_max {
            return Err(Refusal::Ratio(ratio_max));
        }
        if inflated > inflated_bytes_max {
            return Err(Refusal::InflatedTooLarge(inflated_bytes_max));
        }
        Ok(())
    }
}

/// Zeroed room per step of a decoder that wants a slice.
const CHUNK_BYTES: usize = 128 << 10;
