//! Reads what has arrived behind the gateway: Kafka's topics, or the files of the embedded store.
//!
//! Each pass reads on from where the last one stood, so that waiting for millions of events costs
//! one reading of them.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdkafka::Message as _;

use super::Judge;
use super::lanes::Lanes;
use crate::broker::{Reader, Topics, topics};

/// Why arrivals could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A topic.
    #[error(transparent)]
    Topic(#[from] topics::Error),
    /// A file of the store.
    #[error("{path}: {source}")]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where events arrive.
pub enum Arrivals {
    /// The topics `tidegate.raw` and `tidegate.event.*`.
    Kafka {
        /// All topics of the cluster.
        topics: Topics,
        /// Its address.
        brokers: String,
        /// The topics seen so far.
        readers: BTreeMap<String, Reader>,
        /// Records seen in `tidegate.dead`.
        dead: u64,
        /// What arrived in each lane.
        lanes: Lanes,
    },
    /// In several places, of which together they have to have everything.
    Several(Vec<Arrivals>),
    /// NDJSON files below a folder.
    Files {
        /// The folder.
        dir: PathBuf,
        /// How far each file was read.
        read: HashMap<PathBuf, u64>,
    },
}

impl Arrivals {
    /// In a cluster.
    pub fn in_kafka(brokers: &str) -> Self {
        let topics = Topics::at(brokers);
        let (brokers, readers) = (brokers.to_owned(), BTreeMap::new());
        Self::Kafka { topics, brokers, readers, dead: 0, lanes: Lanes::default() }
    }

    /// In the embedded store below `dir`.
    pub fn in_files(dir: &Path) -> Self {
        Self::Files { dir: dir.to_owned(), read: HashMap::new() }
    }

    /// Whether tier 1 can be judged: the embedded store keeps it in the journal's own format.
    pub fn has_tier1(&self) -> bool {
        !matches!(self, Self::Files { .. })
    }

    /// Records in the dead-letter topic.
    pub fn dead_letters(&self) -> u64 {
        match self {
            Self::Kafka { dead, .. } => *dead,
            Self::Several(places) => places.iter().map(Self::dead_letters).sum(),
            Self::Files { .. } => 0,
        }
    }

    /// The counts of lanes, where there are any; of several places those of the first.
    pub fn lanes(&mut self) -> Option<&mut Lanes> {
        match self {
            Self::Kafka { lanes, .. } => Some(lanes),
            Self::Several(places) => places.first_mut().and_then(Self::lanes),
            Self::Files { .. } => None,
        }
    }

    /// Shows the judge what is new; returns how many values that were.
    pub fn pass(&mut self, judge: &mut Judge) -> Result<u64, Error> {
        match self {
            Self::Kafka { topics, brokers, readers, dead, lanes } => {
                let mut count = 0;
                for topic in topics.list()? {
                    let lane = topic.strip_prefix(LANE_PREFIX);
                    if lane.is_none() && ![RAW, DEAD].contains(&topic.as_str()) {
                        continue;
                    }
                    if !readers.contains_key(&topic) {
                        readers.insert(topic.clone(), Reader::open(brokers, &topic)?);
                    }
                    let Some(reader) = readers.get_mut(&topic) else { continue };
                    count += reader.read_on(|message| {
                        let value = message.payload().unwrap_or_default();
                        match lane {
                            Some(lane) => {
                                judge.event(value, Some(lane));
                                lanes.see(lane, value, message.timestamp().to_millis());
                            }
                            None if topic == RAW => judge.raw(value),
                            None => {
                                *dead += 1;
                                judge.buried(message.key().unwrap_or_default());
                            }
                        }
                    })?;
                }
                Ok(count)
            }
            Self::Several(places) => {
                places.iter_mut().try_fold(0, |count, place| Ok(count + place.pass(judge)?))
            }
            Self::Files { dir, read } => {
                let mut count = 0;
                for path in ndjson(dir)? {
                    let from = read.get(&path).copied().unwrap_or_default();
                    let failed = |source| Error::File { path: path.clone(), source };
                    let (lines, until) =
                        lines_from(&path, from, |line| judge.event(line, None)).map_err(failed)?;
                    count += lines;
                    read.insert(path, until);
                }
                Ok(count)
            }
        }
    }

    /// Waits until nothing claimed is missing, or until nothing new has come for `idle`; returns
    /// how long it took if everything came.
    pub fn wait(&mut self, judge: &mut Judge, idle: Duration) -> Result<Option<Duration>, Error> {
        let start = Instant::now();
        let mut last = Instant::now();
        loop {
            if self.pass(judge)? > 0 {
                last = Instant::now();
            }
            let bodies = if self.has_tier1() { judge.batches_missing() } else { 0 };
            if bodies + judge.events_missing() == 0 {
                return Ok(Some(start.elapsed()));
            }
            if last.elapsed() > idle {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Begins again at the first value, for a store whose files may have been rewritten.
    pub fn rewind(&mut self) {
        match self {
            Self::Kafka { readers, dead, lanes, .. } => {
                lanes.clear();
                readers.clear();
                *dead = 0;
            }
            Self::Several(places) => places.iter_mut().for_each(Self::rewind),
            Self::Files { read, .. } => read.clear(),
        }
    }
}

/// Calls for every whole line behind `from`; returns their number and where the last one ended.
fn lines_from(path: &Path, from: u64, mut each: impl FnMut(&[u8])) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let (mut count, mut until) = (0, from);
    let mut block = Vec::new();
    loop {
        let read = Read::by_ref(&mut file).take(BLOCK_BYTES).read_to_end(&mut block)?;
        let Some(last) = block.iter().rposition(|byte| *byte == b'\n') else {
            if read == 0 {
                return Ok((count, until));
            }
            continue;
        };
        let (whole, _) = block.split_at(last);
        for line in whole.split(|byte| *byte == b'\n') {
            each(line);
            count += 1;
        }
        until += last as u64 + 1;
        block.drain(..=last);
        if read == 0 {
            return Ok((count, until));
        }
    }
}

/// All `*.ndjson` below a folder; none if it does not exist yet.
fn ndjson(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |source| Error::File { path: folder.clone(), source };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "ndjson") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

const RAW: &str = "tidegate.raw";
const DEAD: &str = "tidegate.dead";
const LANE_PREFIX: &str = "tidegate.event.";
const BLOCK_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lane=x/part.ndjson");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "one\ntwo\nthr").unwrap();
        let mut lines = Vec::new();
        let mut keep = |line: &[u8]| lines.push(String::from_utf8(line.to_vec()).unwrap());
        assert_eq!(lines_from(&path, 0, &mut keep).unwrap(), (2, 8));
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(lines_from(&path, 8, &mut keep).unwrap(), (1, 14));
        assert_eq!(lines_from(&path, 14, &mut keep).unwrap(), (0, 14));
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(ndjson(dir.path()).unwrap(), [path]);
        assert!(ndjson(&dir.path().join("nowhere")).unwrap().is_empty());
    }
}
