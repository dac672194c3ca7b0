//! Small file systems that can be filled, broken and copied: the data folder of a gateway on them.
//!
//! In: a kind and a size. Out: a mounted folder. Copying the image of a mounted ext4 gives what a
//! power cut leaves: what was synced, and of the rest whatever the kernel had written by then. Must
//! never leave a mount behind: the whole rig runs in a mount namespace that ends with it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use rustix::fs::statvfs;
use tempfile::TempDir;

use super::case::Place;

/// A mounted folder.
#[derive(Debug)]
pub struct Disk {
    mounted: PathBuf,
    image: Option<PathBuf>,
    options: String,
    // Last: what is mounted in it has to go first.
    _dir: TempDir,
}

impl Disk {
    /// Makes and mounts one; none for a plain folder.
    pub fn make(place: Place, mib: u64, options: &str) -> anyhow::Result<Option<Self>> {
        let dir = tempfile::Builder::new().prefix("tidegate-disk-").tempdir()?;
        let image = dir.path().join("image");
        let image = match place {
            Place::Folder => return Ok(None),
            Place::Tmpfs => None,
            Place::Ext4 => {
                File::create(&image)?.set_len(mib << 20)?;
                // Everything at once, so that no thread of the kernel writes later.
                let now = "lazy_itable_init=0,lazy_journal_init=0";
                let shown = image.display().to_string();
                run("mkfs.ext4", &["-q", "-F", "-m", "0", "-E", now, &shown])?;
                Some(image)
            }
        };
        let options = if image.is_none() { format!("size={mib}m") } else { options.to_owned() };
        Self::mount(dir, image, options).map(Some)
    }

    /// Mounts a copy of an image, as the next start of the machine would.
    pub fn of_image(image: PathBuf) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("tidegate-disk-").tempdir()?;
        Self::mount(dir, Some(image), String::new())
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.mounted
    }

    /// Copies the image as it is at this moment; nothing is synced for it.
    pub fn copy(&self, to: &Path) -> anyhow::Result<()> {
        let image = self.image.as_ref().context("only an ext4 disk can be copied")?;
        run("cp", &["--sparse=always", &image.display().to_string(), &to.display().to_string()])
    }

    /// Writes a file that leaves only so much room; returns how large it is.
    pub fn fill(&self, leave_kib: u64) -> anyhow::Result<u64> {
        let stat = statvfs(&self.mounted)?;
        let free = stat.f_bavail * stat.f_frsize;
        let bytes = free.saturating_sub(leave_kib << 10);
        let mut ballast = File::create(self.mounted.join(BALLAST))?;
        let block = vec![0xa5; 1 << 20];
        let mut left = bytes;
        while left > 0 {
            let length = left.min(block.len() as u64);
            let part = block.get(..usize::try_from(length)?).unwrap_or(&block);
            match ballast.write_all(part) {
                // Whoever else writes there was faster: full is full.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                written => written?,
            }
            left -= length;
        }
        Ok(bytes - left)
    }

    /// Takes that file away.
    pub fn free(&self) -> io::Result<()> {
        match fs::remove_file(self.mounted.join(BALLAST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells the file system that it has found an error, upon which it goes read-only for good.
    pub fn break_it(&self) -> anyhow::Result<()> {
        let device = fs::metadata(&self.mounted)?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        ensure!(major == LOOP_MAJOR, "{} is not on a loop device", self.mounted.display());
        let trigger = format!("/sys/fs/ext4/loop{minor}/trigger_fs_error");
        fs::write(&trigger, "an error that somebody wished for").context(trigger)
    }

    /// Unmounts, repairs and mounts again; nobody may have files open.
    pub fn repair(&self) -> anyhow::Result<()> {
        let image = self.image.as_ref().context("only an ext4 disk can be repaired")?;
        let (image, at) = (image.display().to_string(), self.mounted.display().to_string());
        run("umount", &[&at])?;
        let checked = Command::new("e2fsck").args(["-p", "-f", &image]).output()?;
        // 1 means that errors were corrected.
        if !matches!(checked.status.code(), Some(0 | 1)) {
            bail!("e2fsck: {}", String::from_utf8_lossy(&checked.stdout));
        }
        run("mount", &["-o", &format!("loop,errors=remount-ro{}", self.options), &image, &at])
    }

    fn mount(dir: TempDir, image: Option<PathBuf>, options: String) -> anyhow::Result<Self> {
        let mounted = dir.path().join("mounted");
        fs::create_dir(&mounted)?;
        let at = mounted.display().to_string();
        let Some(image) = image else {
            run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", &at])?;
            return Ok(Self { mounted, image, options, _dir: dir });
        };
        let options = if options.is_empty() { options } else { format!(",{options}") };
        let all = format!("loop,errors=remount-ro{options}");
        run("mount", &["-o", &all, &image.display().to_string(), &at])?;
        let image = Some(image);
        Ok(Self { mounted, image, options, _dir: dir })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = run("umount", &["-l", &self.mounted.display().to_string()]) {
            eprintln!("{error}");
        }
    }
}

/// Why no file system can be made here; `None` if it can.
pub fn unable(place: Place) -> Option<String> {
    if place == Place::Folder {
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        return Some("mounting needs root".to_owned());
    }
    if place == Place::Ext4 {
        let dir = tempfile::tempdir().ok()?;
        let image = dir.path().join("image");
        let tried = File::create(&image).and_then(|file| file.set_len(8 << 20));
        let tried = tried.map_err(anyhow::Error::from).and_then(|()| {
            run("mkfs.ext4", &["-q", "-F", &image.display().to_string()])?;
            Disk::of_image(image.clone()).map(drop)
        });
        return tried.err().map(|error| format!("no ext4 on a loop device: {error}"));
    }
    None
}

/// Runs a program of the system to its end.
pub(super) fn run(program: &str, words: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(words).output().with_context(|| program.to_owned())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", words.join(" "), said.trim());
    Ok(())
}

const BALLAST: &str = "ballast";
const LOOP_MAJOR: u32 = 7;
