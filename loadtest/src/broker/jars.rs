//! The broker's jars, fetched once from Maven Central into `<workspace>/target/kafka/lib`.
//!
//! In: `kafka/pom.xml`. Out: a folder of jars. A stamp with the hash of the pom saves every later
//! call of Maven; a file lock lets any number of test processes start at once.

use std::fs::{self, File};
use std::hash::{BuildHasher, BuildHasherDefault};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustc_hash::FxHasher;

/// Why the jars are not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of the cache.
    #[error("jars of the broker in {dir}: {source}")]
    Files {
        /// The cache.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Maven cannot be run.
    #[error("mvn (Debian package maven), which fetches the broker's jars once: {0}")]
    Maven(io::Error),
    /// Maven did not get them, neither from its own cache nor from the network.
    #[error("maven could not fetch the jars of {pom}:\n{output}")]
    Fetch {
        /// The list of what is needed.
        pom: PathBuf,
        /// What Maven said.
        output: String,
    },
}

/// The folder with all jars; calls Maven only if the stamp does not fit the pom.
pub fn fetch() -> Result<PathBuf, Error> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kafka");
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/pom.xml");
    fetch_into(&dir, &pom, |pom, into| maven(pom, into, true).or_else(|_| maven(pom, into, false)))
}

fn fetch_into(
    dir: &Path,
    pom: &Path,
    download: impl FnOnce(&Path, &Path) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let failed = |source| Error::Files { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    let dir = dir.canonicalize().map_err(failed)?;
    let failed = |source| Error::Files { dir: dir.clone(), source };
    let lock = File::create(dir.join("lock")).map_err(failed)?;
    // Held until the file is closed at the end of this function.
    lock.lock().map_err(failed)?;

    let text = fs::read(pom).map_err(failed)?;
    let stamp = format!("{:016x}", BuildHasherDefault::<FxHasher>::default().hash_one(text));
    let jars = dir.join("lib");
    if fs::read_to_string(dir.join("stamp")).is_ok_and(|old| old == stamp) && jars.is_dir() {
        return Ok(jars);
    }
    let fresh = dir.join("lib.new");
    remove(&fresh).map_err(failed)?;
    download(pom, &fresh)?;
    remove(&jars).map_err(failed)?;
    fs::rename(&fresh, &jars).map_err(failed)?;
    fs::write(dir.join("stamp"), stamp).map_err(failed)?;
    Ok(jars)
}

fn maven(pom: &Path, into: &Path, offline: bool) -> Result<(), Error> {
    let mut command = Command::new("mvn");
    command.args(["-q", "-B", "-Dstyle.color=never"]).args(offline.then_some("-o"));
    command.arg("-f").arg(pom).arg(COPY).arg("-DincludeScope=runtime");
    command.arg(format!("-DoutputDirectory={}", into.display()));
    let output = command.output().map_err(Error::Maven)?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(Error::Fetch { pom: pom.to_owned(), output: String::from_utf8_lossy(&text).into_owned() })
}

const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn asks_maven_only_when_the_pom_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let pom = dir.path().join("pom.xml");
        let cache = dir.path().join("cache");
        let calls = Cell::new(0);
        let fetch = || {
            fetch_into(&cache, &pom, |_, into| {
                calls.set(calls.get() + 1);
                fs::create_dir(into).unwrap();
                fs::write(into.join(format!("{}.jar", calls.get())), "").unwrap();
                Ok(())
            })
        };
        fs::write(&pom, "one").unwrap();
        let jars = fetch().unwrap();
        assert_eq!(fetch().unwrap(), jars);
        assert_eq!(calls.get(), 1);
        fs::write(&pom, "two").unwrap();
        fetch().unwrap();
        assert_eq!(calls.get(), 2);
        assert!(jars.join("2.jar").exists() && !jars.join("1.jar").exists());
    }

    #[test]
    fn a_failed_download_leaves_no_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let pom = dir.path().join("pom.xml");
        fs::write(&pom, "one").unwrap();
        let refuse = |pom: &Path, _: &Path| {
            Err(Error::Fetch { pom: pom.to_owned(), output: "no network".to_owned() })
        };
        assert!(fetch_into(dir.path(), &pom, refuse).is_err());
        assert!(!dir.path().join("stamp").exists());
    }
}
