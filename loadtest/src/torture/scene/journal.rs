//! Damages closed segments of the journal while nobody has it open, and says which batches were
//! hit.
//!
//! In: numbers of bit flips and truncations. Out: excuses for exactly the batches whose frames were
//! hit; everything else has to arrive.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use uuid::Uuid;

use super::Scene;
use crate::batch::Place;

/// A frame in a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    at: usize,
    span: usize,
    seq: u64,
}

impl Scene {
    pub(super) fn damage_journal(&mut self, flips: u32, cuts: u32) -> anyhow::Result<()> {
        self.gateway.stop()?;
        let batches = self.batches_by_seq()?;
        let mut closed = segments(&self.gateway.data_dir().join("journal"))?;
        // The newest one may end anywhere.
        closed.pop();
        ensure!(!closed.is_empty(), "there is no closed segment to damage");
        let mut hit = Vec::new();
        for number in 0..flips + cuts {
            let choice = self.random.below(closed.len() as u64);
            let path = closed.get(usize::try_from(choice)?).context("a segment")?.clone();
            let mut bytes = fs::read(&path)?;
            let frames = frames(&bytes);
            ensure!(!frames.is_empty(), "{} holds no frame", path.display());
            let choice = usize::try_from(self.random.below(frames.len() as u64))?;
            let frame = *frames.get(choice).context("a frame")?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let within = usize::try_from(self.random.below(frame.span as u64))?;
            if number < flips {
                let at = frame.at + within;
                let bit = self.random.below(8);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
                hit.push(frame.seq);
                self.timeline
                    .note(format!("bit {bit} of byte {at} of {name}: frame {}", frame.seq));
            } else {
                bytes.truncate(frame.at + within);
                hit.extend(frames.iter().skip(choice).map(|frame| frame.seq));
                let lost = frames.len() - choice;
                self.timeline.note(format!("{name} cut in frame {}: {lost} frames", frame.seq));
            }
            fs::write(&path, bytes)?;
        }
        hit.sort_unstable();
        hit.dedup();
        let lost = hit.iter().filter_map(|seq| batches.get(seq)).copied();
        self.excuses.batches.extend(lost);
        let ready_ms = self.start_gateway()?;
        self.timeline.note(format!(
            "{} frames hit; the gateway started in {ready_ms} ms and counts {} corrupt frames",
            hit.len(),
            self.metric("tidegate_journal_corrupt_frames_total"),
        ));
        Ok(())
    }

    /// Which batch each record of the journal holds, by `tidegate journal dump`.
    fn batches_by_seq(&self) -> anyhow::Result<std::collections::HashMap<u64, u32>> {
        let text = self.gateway.command(&["journal", "dump"])?;
        let plan = &self.crowd.plan;
        let entry = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let id: Uuid = line.get("batch")?.as_str()?.parse().ok()?;
            match plan.locate(id)? {
                Place::Batch(number) => Some((line.get("seq")?.as_u64()?, number)),
                Place::Event(..) => None,
            }
        };
        Ok(text.lines().filter_map(entry).collect())
    }
}

/// Segment files, oldest first.
fn segments(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tgj") {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The frames of an undamaged segment: `TGFR`, kind, flags, place (2), seq (8), length (4), two
/// checksums of 4, the payload, and zeros up to a multiple of 8; behind a header of 64 bytes.
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut at = SEGMENT_HEADER_BYTES;
    while let Some(head) = bytes.get(at..at + FRAME_HEADER_BYTES) {
        let Some((seq, length)) = read(head) else { break };
        let span = (FRAME_HEADER_BYTES + length).next_multiple_of(8);
        if at + span > bytes.len() {
            break;
        }
        frames.push(Frame { at, span, seq });
        at += span;
    }
    frames
}

fn read(head: &[u8]) -> Option<(u64, usize)> {
    let seq = u64::from_le_bytes(head.get(8..16)?.try_into().ok()?);
    let length = u32::from_le_bytes(head.get(16..20)?.try_into().ok()?);
    head.starts_with(b"TGFR").then_some((seq, usize::try_from(length).ok()?))
}

const SEGMENT_HEADER_BYTES: usize = 64;
const FRAME_HEADER_BYTES: usize = 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_frames_up_to_the_first_that_is_cut() {
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES];
        for (seq, length) in [(7_u64, 5_u32), (8, 12)] {
            let begun = bytes.len();
            bytes.extend(b"TGFR");
            bytes.extend([1, 0, 0, 0]);
            bytes.extend(seq.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend([0; 8]);
            bytes.extend(vec![1; length as usize]);
            bytes.resize(begun + (28 + length as usize).next_multiple_of(8), 0);
        }
        let expected = [Frame { at: 64, span: 40, seq: 7 }, Frame { at: 104, span: 40, seq: 8 }];
        assert_eq!(frames(&bytes), expected);
        assert_eq!(frames(&bytes[..bytes.len() - 1]), expected[..1]);
        assert_eq!(frames(&[]), []);
    }
}
