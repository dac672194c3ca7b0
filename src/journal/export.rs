//! Carries what a journal still owes to another node: into one file, and out of it again.
//!
//! In: a journal that no gateway has open. Out: a file with every record that is still owed, and
//! what it owes; or a journal to which they were appended. A file is written whole and synced or
//! not at all; it is read to its end before anything is appended. Must never change the journal
//! that it reads.
//!
//! ```text
//! file      magic TGJX | version u32 = 1 | journal uuid | sinks bytes u32 | checksum u32
//!           | names of the sinks, one a line | their checksum u32 | zeros up to a multiple of 8
//! frames    as in a segment, records only, with what is left of the owed sets
//! end       magic TGXE | records u64 | bytes of all frames u64 | checksum of all frames u32
//!           | checksum u32
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use uuid::Uuid;

use super::disk::Directory;
use super::entry::{Draft, Encoded};
use super::frame::{self, ALIGN, HEADER_BYTES, Header, Seed};
use super::inspect::{self, Looked};
use super::survey::Survey;
use super::{Entry, Error, Frame};
use crate::model::Owed;

/// What an export begins with.
pub(super) const MAGIC: [u8; 4] = *b"TGJX";
/// What it ends with.
pub(super) const END_MAGIC: [u8; 4] = *b"TGXE";
/// The version that is written, and the newest that can be read.
pub(super) const VERSION: u32 = 1;
/// Bytes in front of the names of the sinks.
pub(super) const START_BYTES: usize = 32;
/// Bytes behind the last frame.
pub(super) const END_BYTES: usize = 28;

/// What was exported or imported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The journal that the records were written to first.
    pub journal: String,
    /// Records.
    pub records: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Their lowest and highest number: in the export those of the source, else those they got.
    pub seqs: Option<(u64, u64)>,
    /// The sinks that the source had cursors of.
    pub sinks: Vec<String>,
    /// The rules that they were accepted under: files in `rules/` of the data directory, which the
    /// other node needs as well.
    pub rules: BTreeSet<String>,
    /// Acknowledged frames of the source that are damaged or missing.
    pub corrupt_frames: u64,
}

/// Writes every record that is still owed into a file that must not exist yet. Without `from` it
/// begins at the lowest cursor.
pub fn export(directory: &Path, to: &Path, from: Option<u64>) -> Result<Summary, Error> {
    let disk = Directory::look_alone(directory)?;
    let survey = Survey::of(&disk)?;
    let positions = || survey.positions().map(|(_, seq)| seq);
    let from = from.unwrap_or_else(|| positions().min().unwrap_or_default());
    let journal = survey.journal.unwrap_or_default();
    let mut sinks: Vec<String> = survey.positions().map(|(sink, _)| sink.to_owned()).collect();
    sinks.sort_unstable();
    let mut settled = Settled::default();
    inspect::look(&disk, &survey, from, |frame| {
        settled.note(&frame);
        Ok::<(), Error>(())
    })?;
    let mut file = Unfinished::create(to)?;
    file.begin(journal, &sinks)?;
    let mut summary = Summary { journal: journal.to_string(), sinks, ..Summary::default() };
    let Looked { corrupt_frames, .. } = inspect::look(&disk, &survey, from, |frame| {
        let Some(left) = settled.left(&frame) else { return Ok(()) };
        let Entry::Record { record, .. } = &frame.entry else { return Ok(()) };
        let draft = Draft::Record { pending: false, owed: &left, record };
        let bytes = file.frame(frame.seq, Seed::of(journal), draft.encode()?)?;
        summary.add(frame.seq, bytes, record.facts.rules);
        Ok::<(), Error>(())
    })?;
    summary.corrupt_frames = corrupt_frames;
    file.finish(&summary)?;
    Ok(summary)
}

impl Summary {
    pub(super) fn add(&mut self, seq: u64, bytes: u64, rules: u64) {
        self.records += 1;
        self.bytes += bytes;
        self.seqs = Some((self.seqs.map_or(seq, |(first, _)| first), seq));
        self.rules.insert(format!("{rules:016x}"));
    }
}

/// What settlements say: the last one of a record and cluster counts.
#[derive(Default)]
struct Settled {
    left: BTreeMap<(u64, u8), Owed>,
}

impl Settled {
    fn note(&mut self, frame: &Frame) {
        if let Entry::Settle { record, cluster, owed } = &frame.entry {
            self.left.insert((*record, *cluster), owed.clone());
        }
    }

    /// What a record still owes to each cluster; `None` if it was owed to clusters and all have it.
    /// One that names no cluster is owed to the store.
    fn left(&self, frame: &Frame) -> Option<Vec<Owed>> {
        let Entry::Record { owed, .. } = &frame.entry else { return None };
        let left: Vec<Owed> = (0u8..)
            .zip(owed)
            .map(|(cluster, owed)| self.left.get(&(frame.seq, cluster)).unwrap_or(owed).clone())
            .collect();
        let done = !left.is_empty() && left.iter().all(Owed::is_empty);
        (!done).then_some(left)
    }
}

/// A file that is deleted again unless it is finished.
struct Unfinished {
    path: PathBuf,
    name: String,
    out: Option<BufWriter<File>>,
    sum: u32,
}

impl Unfinished {
    fn create(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let created = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path);
        let file = created.map_err(|source| Error::disk("create", &name, source))?;
        let out = Some(BufWriter::with_capacity(1 << 20, file));
        Ok(Self { path: path.to_owned(), name, out, sum: 0 })
    }

    fn begin(&mut self, journal: Uuid, sinks: &[String]) -> Result<(), Error> {
        let names = sinks.join("\n").into_bytes();
        let names_bytes = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let mut start = Vec::with_capacity(START_BYTES + names.len());
        start.extend_from_slice(&MAGIC);
        start.extend_from_slice(&VERSION.to_le_bytes());
        start.extend_from_slice(journal.as_bytes());
        start.extend_from_slice(&names_bytes.to_le_bytes());
        start.extend_from_slice(&crc32c::crc32c(&start).to_le_bytes());
        start.extend_from_slice(&names);
        start.extend_from_slice(&crc32c::crc32c(&names).to_le_bytes());
        start.resize(start.len().next_multiple_of(ALIGN), 0);
        self.write(&start)
    }

    fn frame(&mut self, seq: u64, seed: Seed, mut encoded: Encoded) -> Result<u64, Error> {
        let Encoded { kind, payload_bytes, payload_crc, .. } = encoded;
        let header = Header { kind, flags: 0, place: 0, seq, payload_bytes, payload_crc };
        if let Some(room) = encoded.head.first_chunk_mut::<HEADER_BYTES>() {
            *room = header.encode(seed);
        }
        let padding = header.span() - encoded.head.len() - encoded.body.len();
        let zeros = [0; frame::ALIGN];
        for piece in [&encoded.head[..], &encoded.body, &zeros[..padding.min(ALIGN)]] {
            self.sum = crc32c::crc32c_append(self.sum, piece);
            self.write(piece)?;
        }
        Ok(header.span() as u64)
    }

    fn finish(mut self, summary: &Summary) -> Result<(), Error> {
        let mut end = Vec::with_capacity(END_BYTES);
        end.extend_from_slice(&END_MAGIC);
        end.extend_from_slice(&summary.records.to_le_bytes());
        end.extend_from_slice(&summary.bytes.to_le_bytes());
        end.extend_from_slice(&self.sum.to_le_bytes());
        end.extend_from_slice(&crc32c::crc32c(&end).to_le_bytes());
        self.write(&end)?;
        let Some(out) = &mut self.out else { return Ok(()) };
        out.flush()
            .and_then(|()| out.get_ref().sync_all())
            .and_then(|()| File::open(parent(&self.path))?.sync_all())
            .map_err(|source| Error::disk("sync", &self.name, source))?;
        self.out = None;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(out) = &mut self.out else { return Ok(()) };
        out.write_all(bytes).map_err(|source| Error::disk("write", &self.name, source))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.out.take().is_some()
            && let Err(error) = fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, path = self.name, "cannot delete an unfinished export");
        }
    }
}

/// The directory of a file.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
