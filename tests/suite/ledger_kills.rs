//! Real SDKs with a store against a real gateway, both killed, and the gateway stalled, limiting
//! and restarted: once every epoch is closed, the ledger's remainder is 0.
//!
//! `TIDEGATE_BOOKS` is the number of events for each SDK (2,000; 100,000 for a proof),
//! `TIDEGATE_BOOKS_SDKS` their names (`python,go`), `TIDEGATE_BOOKS_SEED` the seed of all moments,
//! `TIDEGATE_BOOKS_PACE_MS` the time between two groups of 1 to 20 events (20).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use loadtest::ports;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::sdk::Sdk;
use super::support::{Binary, eventually, files};

/// Deaths of each client, and troubles of the gateway.
const CLIENT_KILLS: u64 = 4;
const TROUBLES: u64 = 6;
/// What is older than this is in the store (R110) ...
const STORE_FLUSH_MS: u64 = 100;
/// ... give or take what a busy machine needs.
const UNSYNCED: Duration = Duration::from_secs(2);

/// What an SDK's driver knows by itself.
#[derive(Debug, Default)]
struct Log {
    calls: u64,
    kills: u64,
    /// Calls that were so recent when a kill came that they may be lost.
    at_risk: u64,
}

struct Plan {
    events: u64,
    seed: u64,
    pace: Duration,
    endpoint: String,
    progress: AtomicU64,
}

#[test]
fn books_through_kills_close() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (events, seed) = (number("TIDEGATE_BOOKS", 2_000), number("TIDEGATE_BOOKS_SEED", 1));
    let names = std::env::var("TIDEGATE_BOOKS_SDKS").unwrap_or_else(|_| "python,go".to_owned());
    let names: Vec<&str> = names.split(',').collect();
    let all = events * names.len() as u64;
    let pace_ms = number("TIDEGATE_BOOKS_PACE_MS", 20);
    let pace = Duration::from_millis(pace_ms);
    // 10 events in a group, on average.
    let demand = names.len() as u64 * 10_000 / pace_ms.max(1);
    let mut binary = Binary::prepare(&configuration(all, demand));
    let port = ports::free().expect("a port");
    binary.set("TIDEGATE__LISTEN", &format!("127.0.0.1:{port}"));
    binary.run();
    let endpoint = format!("http://127.0.0.1:{port}");
    let plan = Plan { events, seed, pace, endpoint, progress: AtomicU64::new(0) };
    let homes = tempfile::tempdir().expect("a folder");
    let (troubles, logs): (Troubles, BTreeMap<&str, Log>) = std::thread::scope(|scope| {
        let (plan, homes) = (&plan, homes.path());
        let drivers: Vec<_> = names
            .iter()
            .map(|name| (*name, scope.spawn(move || drive(name, plan, homes))))
            .collect();
        let troubles = trouble(&mut binary, plan, all);
        let joined = drivers.into_iter().map(|(name, log)| (name, log.join().expect("a driver")));
        (troubles, joined.collect())
    });
    for name in logs.keys() {
        settle(name, &plan, homes.path());
    }
    let limited = troubles.limited + limited(&binary);
    println!("{troubles:?}, {limited} requests limited in all");
    assert!(limited > 0, "the quota was never reached");
    assert_eq!(binary.stop().code(), Some(0));
    judge(&binary, &logs);
}

/// A quota that bulk events run into in each life of the gateway, which begins with 10 s of it.
fn configuration(all: u64, demand_per_s: u64) -> String {
    let rate = all.div_ceil(70).min(demand_per_s.div_ceil(3));
    format!(
        "[store]\nflush_ms = 20\n[limits]\napp_events_rate = {rate}\n\
         [[keys]]\nkey = \"wk_books\"\napp = \"books\"\nkind = \"public\"\n"
    )
}

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % sides
    }
}

/// What was done to the gateway.
#[derive(Debug, Default)]
struct Troubles {
    kills: u32,
    stalls: u32,
    stops: u32,
    /// Requests refused with 429 before each end of it.
    limited: u64,
}

fn limited(binary: &Binary) -> u64 {
    let page = binary.metrics();
    let line = page.lines().find(|line| line.contains("reason=\"app_events_rate\""));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// Kills, stalls and restarts the gateway whenever another part of all events has been tracked.
fn trouble(binary: &mut Binary, plan: &Plan, all: u64) -> Troubles {
    let (mut dice, mut done) = (Dice(plan.seed), Troubles::default());
    for part in 1..=TROUBLES {
        let at = all * part / (TROUBLES + 1) + dice.roll(all / 20 + 1);
        eventually("more events are tracked", || {
            (plan.progress.load(Ordering::Relaxed) >= at.min(all)).then_some(())
        });
        match dice.roll(3) {
            0 => {
                done.kills += 1;
                done.limited += limited(binary);
                binary.kill();
                binary.run();
            }
            1 => {
                done.stalls += 1;
                binary.signal(Signal::STOP);
                std::thread::sleep(Duration::from_millis(300 + dice.roll(1_000)));
                binary.signal(Signal::CONT);
            }
            _ => {
                done.stops += 1;
                done.limited += limited(binary);
                assert_eq!(binary.stop().code(), Some(0));
                binary.run();
            }
        }
    }
    done
}

fn begin(name: &str, plan: &Plan, home: &Path) -> Sdk {
    let folder = home.join(name);
    let store = folder.join("store");
    std::fs::create_dir_all(&store).expect("a folder");
    let mut client = Sdk::start(name, &folder);
    let options = json!({
        "key": "wk_books",
        "endpoint": plan.endpoint,
        "instance": name,
        "batch_events_max": 50,
        "batch_ms": 100,
        "retry_base_ms": 100,
        "retry_cap_ms": 1_000,
        "request_timeout_ms": 2_000,
        "store_flush_ms": STORE_FLUSH_MS,
    });
    client.init(Some(&store), &options);
    client
}

/// Tracks everything, with a death now and then.
fn drive(name: &str, plan: &Plan, home: &Path) -> Log {
    let mut dice = Dice(name.bytes().fold(plan.seed, |seed, byte| seed * 31 + u64::from(byte)));
    let mut log = Log::default();
    let mut client = begin(name, plan, home);
    let mut recent: Vec<(Instant, u64)> = Vec::new();
    let mut next_kill = plan.events / (CLIENT_KILLS + 1);
    while log.calls < plan.events {
        let class = u8::try_from(dice.roll(3)).unwrap_or(1);
        let count = (1 + dice.roll(20)).min(plan.events - log.calls);
        recent.push((Instant::now(), count));
        client.track(["order", "view", "scroll"][usize::from(class)], class, count, log.calls);
        log.calls += count;
        plan.progress.fetch_add(count, Ordering::Relaxed);
        if log.calls >= next_kill && log.kills < CLIENT_KILLS {
            client.kill();
            log.kills += 1;
            next_kill += plan.events / (CLIENT_KILLS + 1) + dice.roll(plan.events / 20 + 1);
            let now = Instant::now();
            let young = recent.iter().filter(|(at, _)| now.duration_since(*at) < UNSYNCED);
            log.at_risk += young.map(|(_, count)| count).sum::<u64>();
            recent.clear();
            client = begin(name, plan, home);
        }
        recent.retain(|(at, _)| at.elapsed() < UNSYNCED);
        std::thread::sleep(plan.pace);
        // No more is tracked than an SDK can hold while the gateway is away.
        eventually("the queue is not full", || {
            (client.stats()["queue_bytes"].as_u64() < Some(2 << 20)).then_some(())
        });
    }
    // What is limited still may stay in the store: it is sent in the next life.
    client.close(50_000);
    log
}

/// Starts the client once more, so that whatever is left on its store is sent and closed.
fn settle(name: &str, plan: &Plan, home: &Path) {
    let mut client = begin(name, plan, home);
    eventually("no older epoch is open", || {
        let stats = client.stats();
        let older = stats["older"].as_array().map_or(0, Vec::len);
        (older == 0 && stats["in_flight"] == 0 && stats["sealed"] == 0).then_some(())
    });
    assert!(client.close(50_000), "{name}: {}", client.stats());
}

fn judge(binary: &Binary, logs: &BTreeMap<&str, Log>) {
    let output = binary.command(&["ledger", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let books: Value = serde_json::from_slice(&output.stdout).expect(&said);
    let verdict = (output.status.code(), &books["remainder"], &books["closes"]);
    assert_eq!(verdict, (Some(0), &json!(0), &json!(true)), "{books:#}");
    let epochs = books["epochs"].as_array().expect("epochs");
    let mut accepted = 0;
    for (name, log) in logs {
        let ours: Vec<_> = epochs.iter().filter(|entry| entry["instance"] == *name).collect();
        let sum = |field: &str| -> u64 {
            ours.iter().map(|entry| entry[field].as_u64().expect("a number")).sum()
        };
        assert!(ours.iter().all(|entry| entry["state"] == "closed"), "{books:#}");
        let (tracked, gaps, unused) = (sum("tracked"), sum("gap_events"), sum("unused"));
        accepted += sum("accepted");
        // Lost with a kill: never in the store. Their numbers show among the unused ones, as far
        // as their block had been reserved there.
        let lost = log.calls - tracked;
        println!(
            "{name}: {} calls, {} kills, {} epochs; tracked {tracked}, acked {}, received {}; lost \
             {lost} of at most {} at risk; gaps {gaps}, unused {unused}, repeated batches {}",
            log.calls,
            log.kills,
            ours.len(),
            sum("acked"),
            sum("received"),
            log.at_risk,
            sum("repeated_batches"),
        );
        assert!(tracked <= log.calls && lost <= log.at_risk, "{name}: {lost} of {}", log.at_risk);
    }
    // The files say the same as the books: every accepted event, once.
    assert_eq!(files::stored(&binary.data_dir()).len() as u64, accepted);
}
