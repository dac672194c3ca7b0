//! What lies in a journal directory, before a single frame is read.
//!
//! In: a disk. Out: segments with their headers, cursors, and the journal that they belong to. Only
//! reads. Must never guess: two journals in one directory, or a newer format, are errors.

use uuid::Uuid;

use super::disk::Disk;
use super::segment::{self, FIRST_AT, START_BYTES, Start, Unusable, VERSION};
use super::{Error, cursor};

/// A directory of segments.
pub(super) struct Survey {
    /// The journal; `None` while there is nothing that names one.
    pub(super) journal: Option<Uuid>,
    /// The segments, oldest first.
    pub(super) segments: Vec<Found>,
    /// Files of segments that were never finished, so that nothing in them was acknowledged.
    pub(super) unused: Vec<String>,
    /// The cursors, by sink.
    pub(super) cursors: Vec<(String, Option<cursor::Saved>)>,
}

/// One segment file.
pub(super) struct Found {
    /// The seq in its name.
    pub(super) first: u64,
    /// Its length.
    pub(super) bytes: u64,
    /// Its header; `None` if that is damaged.
    pub(super) start: Option<Start>,
}

/// Where the acknowledged frames of a segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    /// No frame beyond this was acknowledged.
    pub(super) last: u64,
    /// Whether every frame up to it was, but for the holes.
    pub(super) certain: bool,
    /// How many frames a crash had torn out of the last group.
    pub(super) holes: u64,
}

impl Survey {
    /// Looks at the files.
    pub(super) fn of(disk: &dyn Disk) -> Result<Self, Error> {
        let place = disk.place().display().to_string();
        let names = disk.list().map_err(|source| Error::disk("list", &place, source))?;
        let mut firsts: Vec<u64> =
            names.iter().filter_map(|name| segment::first_of(name)).collect();
        firsts.sort_unstable();
        let mut survey = Self {
            journal: None,
            segments: Vec::new(),
            unused: Vec::new(),
            cursors: cursor::all(disk, &names)?,
        };
        for first in firsts {
            let found = look(disk, first)?;
            // Frames are only written once the header is durable.
            if found.start.is_none() && found.bytes <= FIRST_AT {
                survey.unused.push(segment::name(first));
            } else {
                survey.segments.push(found);
            }
        }
        survey.journal = survey.identify(disk)?;
        Ok(survey)
    }

    /// The limit of the segment at this place; of the newest nobody knows.
    pub(super) fn limit(&self, at: usize) -> Limit {
        let (Some(this), Some(next)) = (self.segments.get(at), self.segments.get(at + 1)) else {
            return Limit { last: u64::MAX, certain: false, holes: 0 };
        };
        let certain = next.start.is_some_and(|start| start.previous == this.first);
        let last =
            next.start.map_or(next.first - 1, |start| start.acknowledged.min(next.first - 1));
        let holes = next.start.map_or(0, |start| u64::from(start.holes));
        Limit { last: last.max(this.first - 1), certain, holes }
    }

    /// What each sink wants next, by the cursors that belong to this journal.
    pub(super) fn positions(&self) -> impl Iterator<Item = (&str, u64)> + '_ {
        let ours = |saved: &cursor::Saved| Some(saved.journal) == self.journal;
        let found = self.cursors.iter().filter_map(|(sink, saved)| Some((sink, (*saved)?)));
        found.filter(move |(_, saved)| ours(saved)).map(|(sink, saved)| (&**sink, saved.next_seq))
    }

    fn identify(&self, disk: &dyn Disk) -> Result<Option<Uuid>, Error> {
        let mut starts = self.segments.iter().filter_map(|found| found.start);
        let Some(oldest) = starts.next() else {
            // Headers may be damaged where frames are not; cursors name the journal as well.
            let named = self.cursors.iter().find_map(|(_, saved)| *saved);
            return match named {
                Some(saved) => Ok(Some(saved.journal)),
                None if self.segments.is_empty() => Ok(None),
                None => Err(Error::Headers(disk.place().to_owned())),
            };
        };
        match starts.find(|start| start.journal != oldest.journal) {
            None => Ok(Some(oldest.journal)),
            Some(foreign) => Err(Error::Foreign {
                name: segment::name(foreign.first),
                found: foreign.journal,
                expected: oldest.journal,
            }),
        }
    }
}

fn look(disk: &dyn Disk, first: u64) -> Result<Found, Error> {
    let name = segment::name(first);
    let file = disk.open(&name).map_err(|source| Error::disk("open", &name, source))?;
    let bytes = file.bytes().map_err(|source| Error::disk("measure", &name, source))?;
    let mut header = [0; START_BYTES];
    let read = file.read_at(&mut header, 0).map_err(|source| Error::disk("read", &name, source))?;
    match Start::parse(header.get(..read).unwrap_or_default(), first) {
        Ok(start) => Ok(Found { first, bytes, start: Some(start) }),
        Err(Unusable::Damaged) => Ok(Found { first, bytes, start: None }),
        Err(Unusable::Newer(found)) => Err(Error::Version { name, found, known: VERSION }),
    }
}
