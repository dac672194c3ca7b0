//! One real Kafka for all tests of this binary, and what a consumer can tell about a record.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use loadtest::broker::{Broker, BrokerOptions, Message};

/// The broker, and the shell that cleans up behind it.
static BROKER: OnceLock<(Broker, Child)> = OnceLock::new();

/// Starts the broker at the first call.
pub(crate) fn shared() -> &'static Broker {
    let (broker, _) = BROKER.get_or_init(|| {
        let mut broker = Broker::start(BrokerOptions::default()).expect("a broker");
        let shell = remove_after_exit(broker.keep());
        (broker, shell)
    });
    broker
}

/// A static is never dropped. The broker itself dies with this process; its folder is removed by a
/// shell that waits for the end of a pipe whose other end only this process holds.
fn remove_after_exit(dir: &Path) -> Child {
    const SCRIPT: &str = "cat >/dev/null; n=0; while [ -e \"$1\" ] && [ $n -lt 100 ]; \
                          do rm -rf \"$1\" 2>/dev/null; n=$((n+1)); sleep 0.1; done";
    Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh")
}

/// The partition that Java clients choose for a key: `murmur2`, seed `0x9747b28c`, made positive.
pub(crate) fn partition_of(key: &[u8], partitions: u32) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(key.len()).expect("a short key");
    let mut hash = 0x9747_b28c ^ length;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ k >> 24).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !rest.is_empty() {
        for (byte, at) in rest.iter().zip(0..) {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^= hash >> 15;
    i32::try_from((hash & 0x7fff_ffff) % partitions).expect("a small number")
}

/// A header's value as text.
pub(crate) fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let (_, value) = message.headers.iter().find(|(known, _)| known == name)?;
    std::str::from_utf8(value).ok()
}

#[test]
fn keys_land_where_java_clients_put_them() {
    // From Kafka's own UtilsTest.testMurmur2.
    for (key, hash) in [
        ("21", -973_932_308i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
    ] {
        let positive = hash.cast_unsigned() & 0x7fff_ffff;
        assert_eq!(partition_of(key.as_bytes(), 1_000), i32::try_from(positive % 1_000).unwrap());
    }
}
