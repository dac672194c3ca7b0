//! How far a sink has come: one small file per sink with two slots, of which the older is
//! overwritten.
//!
//! In: the seq that the sink wants next. Out: the last one that was saved. A lost cursor means that
//! records come twice, never that one is lost. Must never overwrite the only good slot.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::Error;
use super::disk::{Disk, DiskFile};
use super::frame::field;
use super::room::Room;

/// What a slot begins with: `TGCU`.
const MAGIC: [u8; 4] = *b"TGCU";
/// The version that is written, and the newest that can be read.
const VERSION: u32 = 1;
/// Distance of the two slots: they never share a block.
pub const SLOT_BYTES: usize = 4_096;
/// Bytes of a slot that are used.
pub const USED_BYTES: usize = 48;
/// The part of them that the checksum covers.
const CHECKED_BYTES: usize = USED_BYTES - 4;
/// How names of cursor files begin.
const PREFIX: &str = "cursor-";

/// The position of one sink.
pub struct Cursor {
    room: Arc<Room>,
    journal: Uuid,
    name: String,
    file: Option<Box<dyn DiskFile>>,
    saved: Option<Saved>,
    /// The same for the table of segments; 0 while nothing is saved in this journal.
    durable: Arc<AtomicU64>,
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// Counts the saves; the slot is the one with this parity.
    pub generation: u64,
    /// What the sink wants next.
    pub next_seq: u64,
    /// The journal that it is a position in.
    pub journal: Uuid,
}

impl Cursor {
    pub(super) fn open(room: Arc<Room>, journal: Uuid, sink: &str) -> Result<Self, Error> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
        if !(1..=80).contains(&sink.len()) || !sink.bytes().all(allowed) {
            return Err(Error::CursorName(sink.to_owned()));
        }
        let name = format!("{PREFIX}{sink}");
        let saved = read(&*room.disk, &name)?;
        if let Some(saved) = saved.filter(|saved| saved.journal != journal) {
            tracing::warn!(name, other = %saved.journal, "cursor of another journal ignored");
        }
        let cursor = Self { room, journal, name, file: None, saved, durable: Arc::default() };
        cursor.durable.store(cursor.load().unwrap_or_default(), Ordering::Release);
        Ok(cursor)
    }

    /// The seq that the sink wants next; `None` if it has never saved one in this journal.
    pub fn load(&self) -> Option<u64> {
        self.saved.filter(|saved| saved.journal == self.journal).map(|saved| saved.next_seq)
    }

    /// What is durable of it, kept up to date.
    pub(super) fn durable(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.durable)
    }

    /// Saves it durably. Everything below is done for this sink.
    pub fn save(&mut self, next_seq: u64) -> Result<(), Error> {
        let generation = self.saved.map_or(0, |saved| saved.generation).wrapping_add(1);
        let saved = Saved { generation, next_seq, journal: self.journal };
        // After a failure the same slot is written again, as the other one is the good one.
        let written = match self.write(saved) {
            Err(error) if self.room.ran_out(&error) => self.write(saved),
            written => written,
        };
        written.map_err(|source| Error::disk("save", &self.name, source))?;
        self.saved = Some(saved);
        self.durable.store(next_seq, Ordering::Release);
        Ok(())
    }

    fn write(&mut self, saved: Saved) -> io::Result<()> {
        let fresh = self.file.is_none();
        let file = match self.file.take() {
            Some(file) => file,
            None => match self.room.disk.edit(&self.name) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let file = self.room.disk.create_new(&self.name)?;
                    // Both slots at once, so that a full disk cannot stop a cursor later.
                    file.write_at(&[0; 2 * SLOT_BYTES], 0)?;
                    file
                }
                opened => opened?,
            },
        };
        file.write_at(&saved.encode(), saved.at())?;
        file.sync()?;
        if fresh {
            self.room.disk.sync_names()?;
        }
        self.file = Some(file);
        Ok(())
    }
}

/// All cursors in a directory, by the name of their sink.
pub(super) fn all(
    disk: &dyn Disk,
    names: &[String],
) -> Result<Vec<(String, Option<Saved>)>, Error> {
    let ours = names.iter().filter_map(|name| Some((name, name.strip_prefix(PREFIX)?)));
    ours.map(|(name, sink)| Ok((sink.to_owned(), read(disk, name)?))).collect()
}

/// Makes what was read durable. If its sync failed before we died, the system may show it all the
/// same, and a loss of power would take it back; written again and synced it stays.
pub(super) fn settle(disk: &dyn Disk, sink: &str, saved: &Saved) -> Result<(), Error> {
    let name = format!("{PREFIX}{sink}");
    let write = || {
        let file = disk.edit(&name)?;
        file.write_at(&saved.encode(), saved.at())?;
        file.sync()
    };
    write().map_err(|source| Error::disk("save", &name, source))
}

fn read(disk: &dyn Disk, name: &str) -> Result<Option<Saved>, Error> {
    let file = match disk.open(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|source| Error::disk("open", name, source))?,
    };
    let mut bytes = [0; SLOT_BYTES + USED_BYTES];
    let read = file.read_at(&mut bytes, 0).map_err(|source| Error::disk("read", name, source))?;
    newest(bytes.get(..read).unwrap_or_default()).map_err(|found| Error::Version {
        name: name.to_owned(),
        found,
        known: VERSION,
    })
}

/// The newer of the two slots in a cursor file; `None` if both are damaged. Slots of a newer format
/// are errors, with its version.
pub fn newest(file: &[u8]) -> Result<Option<Saved>, u32> {
    let mut newest: Option<Saved> = None;
    for (slot, at) in [(0, 0), (1, SLOT_BYTES)] {
        let found = Saved::parse(file.get(at..).unwrap_or_default())?;
        let found = found.filter(|found| found.generation % 2 == slot);
        if found.map(|found| found.generation) > newest.map(|newest| newest.generation) {
            newest = found;
        }
    }
    Ok(newest)
}

impl Saved {
    /// Where its slot is.
    fn at(&self) -> u64 {
        self.generation % 2 * SLOT_BYTES as u64
    }

    /// The bytes of the slot.
    pub fn encode(&self) -> [u8; USED_BYTES] {
        let fields = MAGIC
            .into_iter()
            .chain(VERSION.to_le_bytes())
            .chain(self.generation.to_le_bytes())
            .chain(self.next_seq.to_le_bytes())
            .chain(self.journal.into_bytes());
        let mut bytes = [0; USED_BYTES];
        for (slot, byte) in bytes.iter_mut().zip(fields) {
            *slot = byte;
        }
        let sum = crc32c::crc32c(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Option<Self>, u32> {
        let Some(bytes) = bytes.first_chunk::<USED_BYTES>() else { return Ok(None) };
        let sum = crc32c::crc32c(&bytes[..CHECKED_BYTES]);
        if !bytes.starts_with(&MAGIC) || sum != u32::from_le_bytes(field(bytes, CHECKED_BYTES)) {
            return Ok(None);
        }
        match u32::from_le_bytes(field(bytes, 4)) {
            VERSION => Ok(Some(Self {
                generation: u64::from_le_bytes(field(bytes, 8)),
                next_seq: u64::from_le_bytes(field(bytes, 16)),
                journal: Uuid::from_bytes(field(bytes, 24)),
            })),
            0 => Ok(None),
            newer => Err(newer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::super::disk::Directory;
    use super::*;

    const JOURNAL: Uuid = Uuid::from_u128(5);

    fn room(folder: &tempfile::TempDir) -> Arc<Room> {
        let disk = Arc::new(Directory::claim(folder.path()).unwrap());
        Arc::new(Room::new(disk, &Settings::default()))
    }

    fn cursor(room: &Arc<Room>, journal: Uuid) -> Cursor {
        Cursor::open(Arc::clone(room), journal, "kafka").unwrap()
    }

    #[test]
    fn remembers_the_last_save_and_survives_a_damaged_slot() {
        let folder = tempfile::tempdir().unwrap();
        let room = room(&folder);
        let mut first = cursor(&room, JOURNAL);
        assert_eq!(first.load(), None);
        for next_seq in [10, 20, 30] {
            first.save(next_seq).unwrap();
            assert_eq!(cursor(&room, JOURNAL).load(), Some(next_seq));
        }
        let path = folder.path().join("cursor-kafka");
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), 8_192);
        for at in 0..USED_BYTES {
            let mut bytes = whole.clone();
            bytes[SLOT_BYTES + at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(cursor(&room, JOURNAL).load(), Some(20), "byte {at}");
        }
        // The slot that is damaged is the one that is written next.
        let mut again = cursor(&room, JOURNAL);
        again.save(40).unwrap();
        assert_eq!(cursor(&room, JOURNAL).load(), Some(40));
        assert_eq!(cursor(&room, Uuid::from_u128(6)).load(), None);
    }

    #[test]
    fn refuses_names_that_are_no_names() {
        let folder = tempfile::tempdir().unwrap();
        let room = room(&folder);
        for sink in ["", "a/b", "../x", "Kafka", &"x".repeat(81)] {
            let opened = Cursor::open(Arc::clone(&room), JOURNAL, sink);
            assert!(matches!(opened, Err(Error::CursorName(_))), "{sink}");
        }
    }

    #[test]
    fn slot_bytes_are_pinned() {
        let saved = Saved { generation: 3, next_seq: 258, journal: Uuid::from_u128(1) };
        let mut golden = [0; USED_BYTES];
        golden[..5].copy_from_slice(b"TGCU\x01");
        golden[8] = 3;
        golden[16..18].copy_from_slice(&[2, 1]);
        golden[39] = 1;
        golden[44..].copy_from_slice(&[0x1f, 0xde, 0x64, 0xd2]);
        assert_eq!(saved.encode(), golden);
        assert_eq!(Saved::parse(&saved.encode()), Ok(Some(saved)));
        let mut newer = golden;
        newer[4] = 2;
        let sum = crc32c::crc32c(&newer[..CHECKED_BYTES]);
        newer[CHECKED_BYTES..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(newest(&newer), Err(2));
    }
}
