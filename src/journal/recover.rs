//! What happens when a journal is opened: find its end, cut the torn tail, collect settlements.
//!
//! In: a disk as a crash left it. Out: the table of segments and what the owner needs to go on.
//! Cuts only the newest segment, only behind its last valid frame, and keeps a copy. Running it
//! twice, or half and then again, gives the same.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use uuid::Uuid;

use crate::model::Owed;

use super::disk::DiskFile;
use super::frame::{self, Seed};
use super::room::Room;
use super::segment::{self, FIRST_AT};
use super::survey::{Found, Limit, Survey};
use super::table::{Segment, Table};
use super::walk::{Bounds, Step, Walk};
use super::{Entry, Error, Settings, broken, cursor};

/// What was found when the journal was opened.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// The oldest seq that is still there, or the next one.
    pub first_seq: u64,
    /// The seq that the next frame gets.
    pub next_seq: u64,
    /// The lowest position of all cursors; everything, if there is none.
    pub cursor_seq: u64,
    /// What records at or above that position still owe, by their seq and then by cluster, as far
    /// as it was settled; records that are not named owe what their own frames say.
    pub settled: BTreeMap<u64, BTreeMap<u8, Owed>>,
    /// Bytes of the torn tail that were cut off.
    pub torn_bytes: u64,
    /// Frames that are missing in the last group: torn before anybody was told of them, as far as
    /// can be known.
    pub torn_frames: u64,
    /// Acknowledged frames at or above that position that are damaged or missing.
    pub corrupt_frames: u64,
}

/// A journal that can be written.
pub(super) struct Opened {
    pub(super) journal: Uuid,
    pub(super) table: Table,
    pub(super) recovered: Recovered,
}

/// Recovers the journal on this disk, or begins one.
pub(super) fn recover(room: &Room, settings: &Settings) -> Result<Opened, Error> {
    let disk = &*room.disk;
    let survey = Survey::of(disk)?;
    let journal = survey.journal.unwrap_or_else(Uuid::new_v4);
    for name in &survey.unused {
        disk.unlink(name).map_err(|source| Error::disk("delete", name, source))?;
    }
    let cursor_seq = survey.positions().map(|(_, seq)| seq).min().unwrap_or_default();
    let mut recovered = Recovered { cursor_seq, ..Recovered::default() };
    let recovery = Recovery { room, settings, survey: &survey, seed: Seed::of(journal) };
    let mut segments = VecDeque::with_capacity(survey.segments.len());
    for (at, found) in survey.segments.iter().enumerate() {
        let newest = at + 1 == survey.segments.len();
        let before = segments.back().map_or(0, |before: &Segment| before.created_ms);
        let created_ms = found.start.map_or(before, |start| start.created_ms);
        let mut segment = Segment::begun(found.first, created_ms);
        if newest {
            recovery.newest(found, &mut segment, &mut recovered)?;
        } else {
            recovery.sealed(at, found, &mut segment, &mut recovered)?;
        }
        segments.push_back(segment);
    }
    for (sink, saved) in &survey.cursors {
        if let Some(saved) = saved.filter(|saved| saved.journal == journal) {
            cursor::settle(disk, sink, &saved)?;
        }
    }
    // An empty newest segment uses its name up; a cursor may be ahead of what a lost disk left.
    let behind = segments.back().map_or(1, |newest| newest.last.max(newest.first) + 1);
    let cursors = survey.cursors.iter().filter_map(|(_, saved)| *saved);
    let ahead = cursors.map(|saved| saved.next_seq).max().unwrap_or_default();
    recovered.next_seq = behind.max(ahead);
    let oldest = segments.iter().find(|segment| !segment.is_empty());
    recovered.first_seq = oldest.map_or(recovered.next_seq, |segment| segment.first);
    let place = disk.place().display().to_string();
    disk.sync_names().map_err(|source| Error::disk("sync", &place, source))?;
    let sinks = survey.positions().map(|(sink, seq)| (sink.to_owned(), seq)).collect();
    Ok(Opened { journal, table: Table::new(segments, sinks), recovered })
}

struct Recovery<'a> {
    room: &'a Room,
    settings: &'a Settings,
    survey: &'a Survey,
    seed: Seed,
}

/// What a scan of one segment saw.
struct Scan {
    /// The last valid frame, and where it ends.
    last: u64,
    end: u64,
    /// Where the last group begins.
    group_at: u64,
    missing: u64,
    holes: u64,
    missing_to_limit: u64,
}

impl Recovery<'_> {
    /// A segment that has a successor: nothing in it is changed.
    fn sealed(
        &self,
        at: usize,
        found: &Found,
        segment: &mut Segment,
        recovered: &mut Recovered,
    ) -> Result<(), Error> {
        let limit = self.survey.limit(at);
        segment.bytes = found.bytes;
        segment.last = limit.last;
        segment.holes = limit.holes;
        if limit.certain && limit.last < recovered.cursor_seq {
            return Ok(());
        }
        let scan = self.scan(found, limit, segment, recovered)?;
        if limit.certain {
            recovered.corrupt_frames += scan.missing_to_limit;
        } else {
            // The header behind it is damaged, or its successor was deleted and it came back.
            tracing::warn!(name = segment.name(), "a journal segment has no successor");
            recovered.corrupt_frames += scan.missing;
            segment.last = scan.last;
            segment.holes = scan.holes;
        }
        Ok(())
    }

    /// The newest segment: its tail may be torn.
    fn newest(
        &self,
        found: &Found,
        segment: &mut Segment,
        recovered: &mut Recovered,
    ) -> Result<(), Error> {
        let name = segment.name();
        let fail = |step| {
            let name = name.clone();
            move |source| Error::disk(step, &name, source)
        };
        let limit = Limit { last: u64::MAX, certain: false, holes: 0 };
        let scan = self.scan(found, limit, segment, recovered)?;
        recovered.corrupt_frames += scan.missing;
        recovered.torn_frames += scan.holes;
        let file = self.room.disk.edit(&name).map_err(fail("open"))?;
        if found.bytes > scan.end {
            let torn_bytes = found.bytes - scan.end;
            tracing::warn!(name, torn_bytes, "cutting the torn tail of the journal");
            broken::keep(self.room, self.settings, &name, scan.end, torn_bytes)?;
            file.resize(scan.end).map_err(fail("cut"))?;
            recovered.torn_bytes += torn_bytes;
        } else if let Err(error) = file.resize(scan.end) {
            tracing::warn!(%error, name, "cannot free the unused end of a segment");
        }
        // If the sync of the header or of the last group failed before we died, the system holds
        // their pages for clean, and a sync would write nothing. Written again they are dirty.
        rewrite(&*file, 0, FIRST_AT).map_err(fail("write"))?;
        rewrite(&*file, scan.group_at, scan.end).map_err(fail("write"))?;
        file.sync().map_err(fail("sync"))?;
        segment.last = scan.last;
        segment.holes = scan.holes;
        segment.bytes = scan.end;
        Ok(())
    }

    /// Reads a segment from end to end and marks places in it.
    fn scan(
        &self,
        found: &Found,
        limit: Limit,
        segment: &mut Segment,
        recovered: &mut Recovered,
    ) -> Result<Scan, Error> {
        let name = segment::name(found.first);
        let fail = |source| Error::disk("read", &name, source);
        let file = self.room.disk.open(&name).map_err(fail)?;
        let bounds = Bounds::whole(found.first, limit.last, found.bytes);
        let mut walk = Walk::new(file, self.seed, bounds, self.settings.read_ahead_bytes);
        let mut scan = Scan {
            last: found.first - 1,
            end: FIRST_AT,
            group_at: FIRST_AT,
            missing: 0,
            holes: 0,
            missing_to_limit: 0,
        };
        let mut group_first = 0;
        while let Some(step) = walk.step().map_err(fail)? {
            let (offset, header) = match step {
                Step::Frame { offset, header } => (offset, header),
                Step::Damage { offset, bytes } => {
                    tracing::warn!(name, offset, bytes, "damage in the journal");
                    continue;
                }
            };
            if header.proves() + 1 != group_first {
                group_first = header.proves() + 1;
                scan.group_at = offset;
                segment.mark(group_first, offset);
            }
            scan.last = header.seq;
            scan.end = offset + header.span() as u64;
            if header.kind == frame::SETTLE {
                recovered.collect(walk.payload(offset, &header));
            }
        }
        scan.missing = walk.missing();
        scan.holes = walk.holes();
        scan.missing_to_limit = walk.missing_up_to(limit.last, limit.holes);
        Ok(scan)
    }
}

impl Recovered {
    fn collect(&mut self, payload: &[u8]) {
        match Entry::decode(frame::SETTLE, &Bytes::copy_from_slice(payload)) {
            Ok(Some(Entry::Settle { record, cluster, owed })) => {
                if record >= self.cursor_seq {
                    self.settled.entry(record).or_default().insert(cluster, owed);
                }
            }
            // What cannot be read settles nothing: the record comes twice.
            unreadable => tracing::warn!(?unreadable, "unreadable settlement"),
        }
    }
}

fn rewrite(file: &dyn DiskFile, from: u64, to: u64) -> std::io::Result<()> {
    let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or_default()];
    let read = file.read_at(&mut bytes, from)?;
    bytes.truncate(read);
    file.write_at(&bytes, from)
}
