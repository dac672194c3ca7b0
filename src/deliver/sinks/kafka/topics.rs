//! The topics that the gateway writes to: what they should be, what they are, and the way there.
//!
//! Used by `tidegate topics` and at start-up; never on the data path. Partitions of a topic that
//! exists are never changed, because that moves keys to other partitions: it is said instead.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use serde::{Deserialize, Serialize};

/// `[kafka.topics]`: how `tidegate topics apply` makes topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Partitions of new topics; as many as a topic has consumers, as each costs CPU and latency.
    pub partitions: u32,
    /// Replicas of new topics; 3 with `min.insync.replicas` 2 survives the loss of a broker.
    pub replication: u32,
    /// Milliseconds that topics keep records.
    pub retention_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { partitions: 1, replication: 1, retention_ms: 7 * 24 * 3_600_000 }
    }
}

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    name: String,
    partitions: u32,
    replication: u32,
    properties: BTreeMap<&'static str, String>,
}

/// Why topics cannot be compared or made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster does not answer, or not so.
    #[error("kafka at {brokers}: {source}")]
    Cluster {
        /// Who was asked.
        brokers: String,
        /// What the client says.
        source: KafkaError,
    },
    /// One topic was refused.
    #[error("topic {name}: {message}")]
    Topic {
        /// Which.
        name: String,
        /// What the broker says.
        message: String,
    },
}

/// What has to change for one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// It does not exist.
    Missing(Wanted),
    /// Settings differ: name, is, should be.
    Properties(String, Vec<(&'static str, String, String)>),
    /// It has another number of partitions; nobody changes that but its owner.
    Partitions(String, usize, u32),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(wanted) => write!(
                f,
                "+ {} (partitions {}, replication {})",
                wanted.name, wanted.partitions, wanted.replication
            ),
            Self::Properties(name, changes) => {
                write!(f, "~ {name}")?;
                changes.iter().try_for_each(|(key, is, to)| write!(f, " {key} {is} -> {to}"))
            }
            Self::Partitions(name, is, to) => {
                write!(f, "! {name} has {is} partitions, not {to}; left alone, as keys would move")
            }
        }
    }
}

impl Wanted {
    /// A topic that forgets by time.
    pub fn new(name: String, shape: &Settings, record_bytes_max: u64) -> Self {
        let properties = [
            ("retention.ms", shape.retention_ms.to_string()),
            ("max.message.bytes", record_bytes_max.to_string()),
        ];
        let (partitions, replication) = (shape.partitions, shape.replication);
        Self { name, partitions, replication, properties: properties.into() }
    }

    /// A topic that keeps the last record of each key.
    pub fn compacted(name: String, shape: &Settings, record_bytes_max: u64) -> Self {
        let properties = [
            ("cleanup.policy", "compact".to_owned()),
            ("max.message.bytes", record_bytes_max.to_string()),
        ];
        Self { name, partitions: 1, replication: shape.replication, properties: properties.into() }
    }
}

/// How long a cluster may take to answer an administrator.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a start may wait for a cluster to tell its limits.
const START_PATIENCE: Duration = Duration::from_millis(1_500);
/// The same if it has told them before.
const AGAIN_PATIENCE: Duration = Duration::from_millis(400);
/// What of it is left for the second question at least.
const START_PATIENCE_MIN: Duration = Duration::from_millis(200);

/// Compares the cluster's topics with what is wanted.
pub fn compare(settings: &super::Settings, wanted: &[Wanted]) -> Result<Vec<Difference>, Error> {
    let cluster = |source| Error::Cluster { brokers: settings.brokers.clone(), source };
    let client = client(settings)?;
    let metadata = client.inner().fetch_metadata(None, PATIENCE).map_err(cluster)?;
    let mut differences = Vec::new();
    for topic in wanted {
        let there = metadata.topics().iter().find(|there| there.name() == topic.name);
        let Some(there) = there.filter(|there| !there.partitions().is_empty()) else {
            differences.push(Difference::Missing(topic.clone()));
            continue;
        };
        let changes = property_changes(&client, topic)?;
        if !changes.is_empty() {
            differences.push(Difference::Properties(topic.name.clone(), changes));
        }
        let partitions = there.partitions().len();
        if partitions != topic.partitions as usize {
            differences.push(Difference::Partitions(
                topic.name.clone(),
                partitions,
                topic.partitions,
            ));
        }
    }
    Ok(differences)
}

/// Makes the changes that may be made; gives their number.
pub fn apply(settings: &super::Settings, differences: &[Difference]) -> Result<usize, Error> {
    let client = client(settings)?;
    let mut done = 0;
    for difference in differences {
        match difference {
            Difference::Missing(wanted) => create(settings, &client, wanted)?,
            Difference::Properties(name, _) => alter(&client, name, difference)?,
            Difference::Partitions(..) => continue,
        }
        done += 1;
    }
    wait_until_known(&client, differences);
    Ok(done)
}

/// Brokers tell each other of new topics with a delay; whoever comes next should find them.
fn wait_until_known(client: &AdminClient<DefaultClientContext>, differences: &[Difference]) {
    let until = Instant::now() + PATIENCE;
    let is_known = |name: &str| {
        let found = client.inner().fetch_metadata(Some(name), PATIENCE);
        found.is_ok_and(|found| found.topics().iter().all(|topic| !topic.partitions().is_empty()))
    };
    for difference in differences {
        let Difference::Missing(wanted) = difference else { continue };
        while !is_known(&wanted.name) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The smallest `max.message.bytes` of these topics; `None` while the cluster does not tell.
/// Asked at start-up, when an absent cluster is normal: so this does not wait long, and even less
/// if it was told `before`.
pub fn record_bytes_max(
    settings: &super::Settings,
    topics: &[String],
    before: bool,
) -> Option<u64> {
    let client = client(settings).ok()?;
    let patience = if before { AGAIN_PATIENCE } else { START_PATIENCE };
    let until = Instant::now() + patience;
    let metadata = client.inner().fetch_metadata(None, patience).ok()?;
    let there = |topic: &&String| metadata.topics().iter().any(|there| there.name() == *topic);
    let wanted: Vec<_> =
        topics.iter().filter(there).map(|topic| ResourceSpecifier::Topic(topic)).collect();
    if wanted.is_empty() {
        return None;
    }
    // A broker may freeze in between, so one question for all of them, in what is left.
    let left = until.saturating_duration_since(Instant::now()).max(START_PATIENCE_MIN);
    let patience = AdminOptions::new().request_timeout(Some(left));
    let described = block_on(client.describe_configs(&wanted, &patience)).ok()?;
    let entries = described.into_iter().flatten().flat_map(|resource| resource.entries);
    entries
        .filter(|entry| entry.name == "max.message.bytes")
        .filter_map(|entry| entry.value?.parse().ok())
        .min()
}

fn create(
    settings: &super::Settings,
    client: &AdminClient<DefaultClientContext>,
    wanted: &Wanted,
) -> Result<(), Error> {
    let narrow = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let replication = TopicReplication::Fixed(narrow(wanted.replication));
    let mut topic = NewTopic::new(&wanted.name, narrow(wanted.partitions), replication);
    for (key, value) in &wanted.properties {
        topic = topic.set(key, value);
    }
    let made = block_on(client.create_topics([&topic], &options()))
        .map_err(|source| Error::Cluster { brokers: settings.brokers.clone(), source })?;
    for result in made {
        if let Err((name, code)) = result {
            return Err(Error::Topic { name, message: code.to_string() });
        }
    }
    Ok(())
}

fn alter(
    client: &AdminClient<DefaultClientContext>,
    name: &str,
    difference: &Difference,
) -> Result<(), Error> {
    let Difference::Properties(_, changes) = difference else { return Ok(()) };
    let refused = |message: String| Error::Topic { name: name.to_owned(), message };
    // This call replaces all settings of a topic, so those that are not ours are read and kept.
    let mut kept: BTreeMap<String, String> = dynamic_properties(client, name)?;
    for (key, _, to) in changes {
        kept.insert((*key).to_owned(), to.clone());
    }
    let mut config = AlterConfig::new(ResourceSpecifier::Topic(name));
    for (key, value) in &kept {
        config = config.set(key, value);
    }
    let altered = block_on(client.alter_configs([&config], &options()))
        .map_err(|error| refused(error.to_string()))?;
    for result in altered {
        result.map_err(|(_, code)| refused(code.to_string()))?;
    }
    Ok(())
}

fn property_changes(
    client: &AdminClient<DefaultClientContext>,
    topic: &Wanted,
) -> Result<Vec<(&'static str, String, String)>, Error> {
    let there = properties(client, &topic.name, |_| true)?;
    let differs = |(key, to): (&&'static str, &String)| {
        let is = there.get(*key).cloned().unwrap_or_default();
        (is != *to).then(|| (*key, is, to.clone()))
    };
    Ok(topic.properties.iter().filter_map(differs).collect())
}

fn dynamic_properties(
    client: &AdminClient<DefaultClientContext>,
    name: &str,
) -> Result<BTreeMap<String, String>, Error> {
    use rdkafka::admin::ConfigSource;
    properties(client, name, |source| matches!(source, ConfigSource::DynamicTopic))
}

fn properties(
    client: &AdminClient<DefaultClientContext>,
    name: &str,
    wanted: impl Fn(&rdkafka::admin::ConfigSource) -> bool,
) -> Result<BTreeMap<String, String>, Error> {
    let refused = |message: String| Error::Topic { name: name.to_owned(), message };
    let described =
        block_on(client.describe_configs([&ResourceSpecifier::Topic(name)], &options()))
            .map_err(|error| refused(error.to_string()))?;
    let mut found = BTreeMap::new();
    for resource in described {
        let resource = resource.map_err(|code| refused(code.to_string()))?;
        for entry in resource.entries.into_iter().filter(|entry| wanted(&entry.source)) {
            found.insert(entry.name, entry.value.unwrap_or_default());
        }
    }
    Ok(found)
}

fn client(settings: &super::Settings) -> Result<AdminClient<DefaultClientContext>, Error> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &settings.brokers).set("client.id", "tidegate-topics");
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    config.create().map_err(|source| Error::Cluster { brokers: settings.brokers.clone(), source })
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

/// The admin client answers from its own thread, so a parked one is enough here.
fn block_on<F: Future>(future: F) -> F::Output {
    futures_executor::block_on(future)
}
