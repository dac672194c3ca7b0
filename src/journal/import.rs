//! Takes what another node's journal still owed into this one.
//!
//! In: a file that `export` wrote. Out: its records at the end of a journal that no gateway has
//! open. The file is checked to its end before the first record is appended, and each record is
//! durable before the import says that it is done. Must never skip what it cannot read.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use uuid::Uuid;

use super::entry::Draft;
use super::export::{END_BYTES, END_MAGIC, MAGIC, START_BYTES, Summary, VERSION};
use super::frame::{self, ALIGN, HEADER_BYTES, Header, Seed, field};
use super::handle::open;
use super::{Appended, Entry, Error, Settings};

/// Records that are on their way to the disk at a time; well below `queue_bytes_max`.
const UNDER_WAY_BYTES_MAX: u64 = 8 << 20;
/// The most that the names of all sinks take.
const SINKS_BYTES_MAX: usize = 1 << 20;

/// Appends everything in an export to the journal in a directory, which is created if need be.
pub fn import(file: &Path, directory: &Path, settings: &Settings) -> Result<Summary, Error> {
    let whole = Export::open(file)?.check()?;
    let mut export = Export::open(file)?;
    let (journal, _) = open("import", directory, settings)?;
    // A sink that this journal does not know would begin at its end, behind what is imported.
    let first = journal.synced() + 1;
    for sink in &export.sinks {
        let mut cursor = journal.cursor(sink)?;
        if cursor.load().is_none() {
            cursor.save(first)?;
        }
    }
    let mut done =
        Summary { journal: whole.journal, sinks: export.sinks.clone(), ..Summary::default() };
    let mut waiting: Vec<(Appended, u64, u64)> = Vec::new();
    let mut waiting_bytes = 0;
    let settle = |waiting: &mut Vec<(Appended, u64, u64)>, done: &mut Summary| {
        for (appended, bytes, rules) in waiting.drain(..) {
            let seq = appended.wait().map_err(|source| Error::Half {
                records: done.records,
                of: whole.records,
                source: Box::new(source),
            })?;
            done.add(seq, bytes, rules);
        }
        Ok::<(), Error>(())
    };
    while let Some((Entry::Record { owed, record, .. }, bytes)) = export.next()? {
        let draft = Draft::Record { pending: false, owed: &owed, record: &record };
        waiting.push((journal.append(draft, None), bytes, record.facts.rules));
        waiting_bytes += bytes;
        if waiting_bytes > UNDER_WAY_BYTES_MAX {
            settle(&mut waiting, &mut done)?;
            waiting_bytes = 0;
        }
    }
    settle(&mut waiting, &mut done)?;
    journal.close();
    Ok(done)
}

/// An export that is being read.
struct Export {
    name: String,
    file: BufReader<File>,
    journal: Uuid,
    sinks: Vec<String>,
    records: u64,
    bytes: u64,
    sum: u32,
}

impl Export {
    fn open(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|source| Error::disk("open", &name, source))?;
        let file = BufReader::with_capacity(1 << 20, file);
        let (journal, sinks) = (Uuid::nil(), Vec::new());
        let mut export = Self { name, file, journal, sinks, records: 0, bytes: 0, sum: 0 };
        export.start()?;
        Ok(export)
    }

    fn start(&mut self) -> Result<(), Error> {
        let start: [u8; START_BYTES] = self.take()?;
        if !start.starts_with(&MAGIC) {
            return Err(self.damaged("it does not begin like an export"));
        }
        if crc32c::crc32c(&start[..START_BYTES - 4]) != number(&start, START_BYTES - 4) {
            return Err(self.damaged("its header has a wrong checksum"));
        }
        let found = number(&start, 4);
        if found > VERSION {
            return Err(Error::Version { name: self.name.clone(), found, known: VERSION });
        }
        self.journal = Uuid::from_bytes(field(&start, 8));
        let names_bytes = number(&start, 24) as usize;
        if names_bytes > SINKS_BYTES_MAX {
            return Err(self.damaged("it names too many sinks"));
        }
        let padded = (names_bytes + 4).next_multiple_of(ALIGN);
        let names = self.read(padded)?;
        let (names, behind) = names.split_at(names_bytes);
        let is_padded = behind.iter().skip(4).all(|byte| *byte == 0);
        if crc32c::crc32c(names) != number(behind, 0) || !is_padded {
            return Err(self.damaged("the names of its sinks have a wrong checksum"));
        }
        let names = String::from_utf8_lossy(names);
        self.sinks = names.lines().map(str::to_owned).collect();
        Ok(())
    }

    /// Reads everything; gives what there is.
    fn check(mut self) -> Result<Summary, Error> {
        while self.next()?.is_some() {}
        let journal = self.journal.to_string();
        Ok(Summary { journal, records: self.records, bytes: self.bytes, ..Summary::default() })
    }

    /// The next record with the bytes of its frame; `None` at the end, which has to be right.
    fn next(&mut self) -> Result<Option<(Entry, u64)>, Error> {
        // The end is as long as the header of a frame.
        let head: [u8; HEADER_BYTES] = self.take()?;
        if head.starts_with(&END_MAGIC) {
            return self.end(&head).map(|()| None);
        }
        let seed = Seed::of(self.journal);
        let header = Header::parse(&head, seed).map_err(|flaw| self.damaged(&flaw.to_string()))?;
        let mut whole = head.to_vec();
        whole.extend_from_slice(&self.read(header.span() - HEADER_BYTES)?);
        if let Err(flaw) = frame::parse(&whole, seed) {
            return Err(self.damaged(&flaw.to_string()));
        }
        self.records += 1;
        self.bytes += whole.len() as u64;
        self.sum = crc32c::crc32c_append(self.sum, &whole);
        let payload = Bytes::from(whole).slice(HEADER_BYTES..);
        let payload = payload.slice(..header.payload_bytes as usize);
        match Entry::decode(header.kind, &payload) {
            Ok(Some(entry @ Entry::Record { .. })) => Ok(Some((entry, header.span() as u64))),
            _ => Err(self.damaged(&format!("frame {} is no record", header.seq))),
        }
    }

    fn end(&mut self, end: &[u8; END_BYTES]) -> Result<(), Error> {
        let right = crc32c::crc32c(&end[..END_BYTES - 4]) == number(end, END_BYTES - 4)
            && u64::from_le_bytes(field(end, 4)) == self.records
            && u64::from_le_bytes(field(end, 12)) == self.bytes
            && number(end, 20) == self.sum;
        let mut more = [0; 1];
        let read = self.file.read(&mut more);
        let read = read.map_err(|source| Error::disk("read", &self.name, source))?;
        match (right, read) {
            (true, 0) => Ok(()),
            (true, _) => Err(self.damaged("there is something behind its end")),
            (false, _) => Err(self.damaged("its end does not fit what is before it")),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.read(N)?;
        Ok(field(&bytes, 0))
    }

    fn read(&mut self, bytes: usize) -> Result<Vec<u8>, Error> {
        let mut into = vec![0; bytes];
        self.file.read_exact(&mut into).map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged("it ends too early"),
            _ => Error::disk("read", &self.name, source),
        })?;
        Ok(into)
    }

    fn damaged(&self, flaw: &str) -> Error {
        Error::Export { name: self.name.clone(), flaw: flaw.to_owned(), after: self.records }
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}
