//! Every operation that the journal does on files, as two small traits, and the real directory.
//!
//! In: names without folders. Out: bytes, or what the system said. Tests put a disk in memory here
//! that fails and loses power on demand. Must never retry a sync: a second one proves nothing.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::Error;

/// One directory of files.
pub trait Disk: Send + Sync {
    /// Where it is, for messages.
    fn place(&self) -> &Path;
    /// Creates a file that must not exist yet, for reading and writing.
    fn create_new(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that exists, for reading only: that must work on a read-only disk too.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that exists, for writing at offsets as well.
    fn edit(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Deletes a file.
    fn unlink(&self, name: &str) -> io::Result<()>;
    /// Makes created and deleted names durable.
    fn sync_names(&self) -> io::Result<()>;
    /// How much room the file system has.
    fn space(&self) -> io::Result<Space>;
}

/// The room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that it still has for us.
    pub free_bytes: u64,
    /// All its bytes.
    pub total_bytes: u64,
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// Writes all slices behind what this handle wrote before. Only for files that it created.
    fn append(&self, slices: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Writes all bytes at an offset.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads until `into` is full or the file ends; gives the number of bytes.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes content and length durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
    /// Makes sure that the file can grow to so many bytes; its length stays. `Unsupported` where
    /// the file system cannot.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Sets the length, and gives back what was allocated beyond it.
    fn resize(&self, bytes: u64) -> io::Result<()>;
    /// The length of the file.
    fn bytes(&self) -> io::Result<u64>;
}

/// The name of the lock file.
const LOCK: &str = "lock";
/// The most slices that Linux takes in one call.
const SLICES_MAX: usize = 1_024;

/// A real directory.
pub struct Directory {
    path: PathBuf,
    handle: File,
    _lock: Option<File>,
}

impl Directory {
    /// Creates the directory if need be, durably, and takes it for this process alone.
    pub fn claim(path: &Path) -> Result<Self, Error> {
        let named = |step: &'static str| {
            move |source| Error::disk(step, &path.display().to_string(), source)
        };
        create_durably(path).map_err(named("create directory"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o640)
            .open(path.join(LOCK))
            .map_err(named("open the lock of"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(named("lock")(source)),
        }
        let handle = File::open(path).map_err(named("open directory"))?;
        Ok(Self { path: path.to_owned(), handle, _lock: Some(lock) })
    }

    /// Opens a directory without taking it: for commands that only read.
    pub fn look(path: &Path) -> Result<Self, Error> {
        let handle = File::open(path)
            .map_err(|source| Error::disk("open directory", &path.display().to_string(), source))?;
        Ok(Self { path: path.to_owned(), handle, _lock: None })
    }

    /// Opens a directory that no gateway has open, and keeps gateways out while it is looked at.
    pub fn look_alone(path: &Path) -> Result<Self, Error> {
        let looked = Self::look(path)?;
        let lock = match File::open(path.join(LOCK)) {
            Ok(lock) => lock,
            // Copied from a node, or never opened by a gateway.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(looked),
            Err(source) => return Err(Error::disk("open the lock of", LOCK, source)),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(Self { _lock: Some(lock), ..looked }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(Error::disk("lock", LOCK, source)),
        }
    }
}

/// A new directory is only durable once its parent is synced, and so on up.
fn create_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match DirBuilder::new().mode(0o750).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => File::open(parent)?.sync_all(),
    }
}

impl Disk for Directory {
    fn place(&self) -> &Path {
        &self.path
    }

    fn create_new(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o640);
        Ok(Box::new(options.open(self.path.join(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::open(self.path.join(name))?))
    }

    fn edit(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        Ok(Box::new(options.open(self.path.join(name))?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn space(&self) -> io::Result<Space> {
        let found = rustix::fs::fstatvfs(&self.handle)?;
        Ok(Space {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }
}

impl DiskFile for File {
    fn append(&self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut rest = slices;
        while !rest.is_empty() {
            let window = rest.get(..SLICES_MAX).unwrap_or(rest);
            match (&mut &*self).write_vectored(window) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = into.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        loop {
            // The length stays, so that it still tells where the last write ended.
            match rustix::fs::fallocate(self, FallocateFlags::KEEP_SIZE, 0, bytes) {
                Err(rustix::io::Errno::INTR) => {}
                allocated => return Ok(allocated?),
            }
        }
    }

    fn resize(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_more_slices_than_one_call_takes() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Directory::claim(&folder.path().join("a/b")).unwrap();
        let file = disk.create_new("x").unwrap();
        let pieces: Vec<Vec<u8>> = (0..3_000u32).map(|at| at.to_le_bytes().to_vec()).collect();
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        file.append(&mut slices).unwrap();
        let mut back = vec![0; 12_001];
        assert_eq!(file.read_at(&mut back, 0).unwrap(), 12_000);
        assert_eq!(back[..12_000], pieces.concat());
        assert_eq!(disk.create_new("x").err().unwrap().kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_is_allocated_and_not_used_is_given_back() {
        use std::os::unix::fs::MetadataExt as _;

        let folder = tempfile::tempdir().unwrap();
        let disk = Directory::claim(folder.path()).unwrap();
        let file = disk.create_new("x").unwrap();
        let held = || fs::metadata(folder.path().join("x")).unwrap().blocks() * 512;
        match file.allocate(1 << 20) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
            Ok(()) => assert!(held() >= 1 << 20),
        }
        file.append(&mut [IoSlice::new(&[7; 100])]).unwrap();
        assert_eq!(file.bytes().unwrap(), 100);
        file.resize(100).unwrap();
        file.sync().unwrap();
        assert!(held() <= 64 << 10, "{} bytes are held", held());
        let space = disk.space().unwrap();
        assert!(space.free_bytes <= space.total_bytes);
    }

    #[test]
    fn is_claimed_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = Directory::claim(folder.path()).unwrap();
        assert!(matches!(Directory::claim(folder.path()), Err(Error::Locked(_))));
        drop(first);
        assert!(Directory::claim(folder.path()).is_ok());
    }
}
