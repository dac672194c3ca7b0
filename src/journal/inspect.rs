//! Looks at a journal that nobody else may have open: for `tidegate journal verify` and `dump`.
//!
//! In: a directory. Out: a [`Report`], or every frame in order. Only reads, and tolerates a writer
//! beside it: then the end may look torn.

use std::path::Path;

use bytes::Bytes;
use serde::Serialize;

use super::disk::{Directory, Disk};
use super::frame::{self, Seed};
use super::segment;
use super::survey::Survey;
use super::walk::{Bounds, Step, Walk};
use super::{Entry, Error, Frame, Settings};

/// What a journal directory holds, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The journal's id; `None` for an empty directory.
    pub journal: Option<String>,
    /// Its segments, oldest first.
    pub segments: Vec<Verified>,
    /// What each sink wants next; `None` for a cursor that cannot be read or is of another journal.
    pub cursors: Vec<(String, Option<u64>)>,
    /// Whether nothing that was acknowledged is damaged or missing.
    pub intact: bool,
}

/// What one segment holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Its file.
    pub name: String,
    /// Whether its header is readable.
    pub header: bool,
    /// Its length.
    pub bytes: u64,
    /// Records in it.
    pub records: u64,
    /// Settlements in it.
    pub settlements: u64,
    /// Frames of kinds that this program does not know.
    pub others: u64,
    /// The last valid seq; 0 for none.
    pub last: u64,
    /// Acknowledged frames that are damaged or missing.
    pub corrupt_frames: u64,
    /// Bytes that are no frame and, as far as is known, were never acknowledged.
    pub torn_bytes: u64,
    /// Whether acknowledged segments between the one before and this one may be missing. Segments
    /// that were drained and came back after a crash look like that as well.
    pub gap: bool,
}

/// Checks every frame of a journal.
pub fn verify(directory: &Path) -> Result<Report, Error> {
    let disk = Directory::look(directory)?;
    let survey = Survey::of(&disk)?;
    let mut report = Report {
        journal: survey.journal.map(|journal| journal.to_string()),
        intact: true,
        ..Report::default()
    };
    for (sink, saved) in &survey.cursors {
        let ours = saved.filter(|saved| Some(saved.journal) == survey.journal);
        report.cursors.push((sink.clone(), ours.map(|saved| saved.next_seq)));
    }
    for at in 0..survey.segments.len() {
        let verified = verify_segment(&disk, &survey, at)?;
        report.intact &= verified.header && verified.corrupt_frames == 0 && !verified.gap;
        report.segments.push(verified);
    }
    Ok(report)
}

/// Hands out every readable frame from a seq on; gives their number. Frames that the process which
/// wrote them had not acknowledged yet may be among the last.
pub fn dump(directory: &Path, from: u64, mut each: impl FnMut(Frame)) -> Result<u64, Error> {
    let disk = Directory::look(directory)?;
    let survey = Survey::of(&disk)?;
    let looked = look(&disk, &survey, from, |frame| {
        each(frame);
        Ok::<(), Error>(())
    })?;
    Ok(looked.frames)
}

/// What a journal was found to be by [`scan`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Acknowledged frames that are damaged or missing.
    pub corrupt_frames: u64,
    /// Whether it held older frames once, which were deleted after they had been drained.
    pub cut: bool,
}

/// Hands out every readable frame, until `each` fails; says what could not be read.
pub fn scan<E: From<Error>>(
    directory: &Path,
    each: impl FnMut(Frame) -> Result<(), E>,
) -> Result<Scanned, E> {
    let disk = Directory::look(directory)?;
    let survey = Survey::of(&disk)?;
    let cut = survey.segments.first().is_some_and(|oldest| oldest.first > 1);
    let Looked { corrupt_frames, .. } = look(&disk, &survey, 0, each)?;
    Ok(Scanned { corrupt_frames, cut })
}

/// What a look at a part of a journal came to.
pub(super) struct Looked {
    /// Frames that were handed out.
    pub(super) frames: u64,
    /// Acknowledged frames that are damaged or missing, in the segments that were read.
    pub(super) corrupt_frames: u64,
}

/// Hands out every readable frame from a seq on, until `each` fails.
pub(super) fn look<E: From<Error>>(
    disk: &Directory,
    survey: &Survey,
    from: u64,
    mut each: impl FnMut(Frame) -> Result<(), E>,
) -> Result<Looked, E> {
    let mut looked = Looked { frames: 0, corrupt_frames: 0 };
    for at in 0..survey.segments.len() {
        if survey.limit(at).last < from {
            continue;
        }
        let mut walk = walk(disk, survey, at)?;
        while let Some(step) = next(&mut walk, survey, at)? {
            let Step::Frame { offset, header } = step else { continue };
            if header.seq < from {
                continue;
            }
            let payload = Bytes::copy_from_slice(walk.payload(offset, &header));
            let bytes = header.span() as u64;
            match Entry::decode(header.kind, &payload) {
                Ok(Some(entry)) => {
                    each(Frame { seq: header.seq, bytes, entry })?;
                    looked.frames += 1;
                }
                Ok(None) => {}
                Err(_) => looked.corrupt_frames += 1,
            }
        }
        looked.corrupt_frames += missing(&walk, survey, at);
    }
    Ok(looked)
}

fn verify_segment(disk: &Directory, survey: &Survey, at: usize) -> Result<Verified, Error> {
    let Some(found) = survey.segments.get(at) else { return Ok(Verified::default()) };
    let before = at.checked_sub(1).and_then(|before| survey.segments.get(before));
    let previous = found.start.map(|start| start.previous);
    let mut verified = Verified {
        name: segment::name(found.first),
        header: found.start.is_some(),
        bytes: found.bytes,
        gap: before.zip(previous).is_some_and(|(before, previous)| before.first != previous),
        ..Verified::default()
    };
    let mut walk = walk(disk, survey, at)?;
    let mut end = segment::FIRST_AT;
    let mut damaged = 0;
    while let Some(step) = next(&mut walk, survey, at)? {
        let (offset, header) = match step {
            Step::Frame { offset, header } => (offset, header),
            Step::Damage { bytes, .. } => {
                damaged += bytes;
                continue;
            }
        };
        end = offset + header.span() as u64;
        verified.last = header.seq;
        let payload = Bytes::copy_from_slice(walk.payload(offset, &header));
        match (header.kind, Entry::decode(header.kind, &payload)) {
            (_, Err(_)) => verified.corrupt_frames += 1,
            (frame::RECORD, _) => verified.records += 1,
            (frame::SETTLE, _) => verified.settlements += 1,
            _ => verified.others += 1,
        }
    }
    let missing = missing(&walk, survey, at);
    verified.corrupt_frames += missing;
    // With frames missing, damaged bytes are theirs; without, nobody was ever promised them.
    let tail = found.bytes.saturating_sub(end);
    verified.torn_bytes = if missing == 0 { damaged.max(tail) } else { 0 };
    Ok(verified)
}

/// Acknowledged frames of a segment that a walk to its end did not find.
fn missing(walk: &Walk, survey: &Survey, at: usize) -> u64 {
    let limit = survey.limit(at);
    if limit.certain { walk.missing_up_to(limit.last, limit.holes) } else { walk.missing() }
}

fn walk(disk: &Directory, survey: &Survey, at: usize) -> Result<Walk, Error> {
    let (first, bytes) = survey.segments.get(at).map_or((1, 0), |found| (found.first, found.bytes));
    let name = segment::name(first);
    let file = disk.open(&name).map_err(|source| Error::disk("open", &name, source))?;
    let seed = Seed::of(survey.journal.unwrap_or_default());
    let bounds = Bounds::whole(first, survey.limit(at).last, bytes);
    Ok(Walk::new(file, seed, bounds, Settings::default().read_ahead_bytes))
}

fn next(walk: &mut Walk, survey: &Survey, at: usize) -> Result<Option<Step>, Error> {
    let first = survey.segments.get(at).map_or(1, |found| found.first);
    walk.step().map_err(|source| Error::disk("read", &segment::name(first), source))
}
