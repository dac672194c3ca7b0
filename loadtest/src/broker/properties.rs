//! The text of `server.properties` for a broker that is its own controller, or joins another's.

use std::fmt::Write;
use std::path::Path;

use uuid::Uuid;

/// One node of a cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// Its number.
    pub id: u32,
    /// Whether it is the controller, too.
    pub controls: bool,
    /// Where clients connect.
    pub port: u16,
    /// What clients are told to connect to.
    pub advertised: u16,
    /// Where the cluster's controller listens.
    pub controller: u16,
}

/// All settings: ours, then the caller's, because the last of two equal keys wins.
pub(super) fn text(
    node: Node,
    dir: &Path,
    secured: &[(&str, u16)],
    further: &[(String, String)],
) -> String {
    let mut text = String::new();
    let Node { id, controls, port, advertised, controller } = node;
    let logs = dir.join("logs");
    let roles = if controls { "broker,controller" } else { "broker" };
    let control =
        if controls { format!(",CONTROLLER://127.0.0.1:{controller}") } else { String::new() };
    let secured = secured
        .iter()
        .fold(String::new(), |all, (name, port)| all + &format!(",{name}://127.0.0.1:{port}"));
    let listeners = format!("PLAINTEXT://127.0.0.1:{port}{secured}{control}");
    let ours = [
        ("process.roles", roles.to_owned()),
        ("node.id", id.to_string()),
        ("controller.quorum.bootstrap.servers", format!("127.0.0.1:{controller}")),
        ("listeners", listeners),
        ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{advertised}{secured}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("log.dirs", logs.display().to_string()),
    ];
    let fixed = FIXED.iter().map(|(key, value)| (*key, (*value).to_owned()));
    let further = further.iter().map(|(key, value)| (key.as_str(), value.clone()));
    for (key, value) in ours.into_iter().chain(fixed).chain(further) {
        writeln!(text, "{key}={value}").expect("writing to a string cannot fail");
    }
    text
}

/// What a small, quick, single broker needs.
const FIXED: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "false"),
    // There is no other broker that could take over, so asking for it only delays the stop.
    ("controlled.shutdown.enable", "false"),
    // A killed broker may come back only when its old session is over.
    ("broker.session.timeout.ms", "2000"),
    ("broker.heartbeat.interval.ms", "400"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("num.network.threads", "2"),
    ("num.io.threads", "2"),
    ("log.cleaner.dedupe.buffer.size", "4194304"),
];

/// A new cluster id: 16 random bytes in URL-safe base64 without padding, as Kafka writes them.
pub(super) fn cluster_id() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // A version-7 id begins with the time, so its first digit is never the `-` of an option.
    let number = Uuid::now_v7().as_u128();
    let digit = |at: u32| {
        let six = if at < 21 { number >> (122 - 6 * at) } else { number << 4 };
        char::from(DIGITS[(six & 63) as usize])
    };
    (0..22).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_settings_come_last() {
        let further = vec![("message.max.bytes".to_owned(), "1000".to_owned())];
        let mut node = Node { id: 1, controls: true, port: 1, advertised: 1, controller: 2 };
        let alone = text(node, Path::new("/tmp/x"), &[("SSL", 3)], &further);
        node = Node { id: 3, controls: false, ..node };
        let member = text(node, Path::new("/tmp/x"), &[("SSL", 3)], &further);
        assert!(member.contains("process.roles=broker\n") && member.contains("node.id=3\n"));
        assert!(member.contains("\nlisteners=PLAINTEXT://127.0.0.1:1,SSL://127.0.0.1:3\n"));
        let text = alone;
        assert!(text.contains(
            "listeners=PLAINTEXT://127.0.0.1:1,SSL://127.0.0.1:3,CONTROLLER://127.0.0.1:2\n"
        ));
        assert!(text.contains("log.dirs=/tmp/x/logs\n"));
        assert!(text.ends_with("message.max.bytes=1000\n"));
    }

    #[test]
    fn cluster_ids_have_22_digits_and_differ() {
        let (one, other) = (cluster_id(), cluster_id());
        assert_eq!(one.len(), 22);
        assert_ne!(one, other);
        assert!(one.starts_with('A'));
    }
}
