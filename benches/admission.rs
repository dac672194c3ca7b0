//! What all limits together cost a request when 100,000 addresses are known, in CPU time of the
//! thread, and what an address costs in memory: printed first, as the difference of resident pages.
//!
//! Every limit is switched on and none is reached: rates per address and key, quotas of events and
//! bytes. Addresses come in random order, so each request meets a cold cache line, as it does when
//! 100,000 clients take turns. What one such line costs by itself stands beside it: a table of as
//! many lines, of which each is read and written in the same order. The same few addresses again and
//! again show what is left without it.

use std::cell::Cell;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use hyper::HeaderMap;
use rustix::time::{ClockId, clock_gettime};
use tidegate::admit::limits::{ADDRESS_BYTES, Account, Toll, group};
use tidegate::admit::settings::Kind;
use tidegate::admit::{Counters, Documents, Key, Policy, Settings, Terms, quotas, rates};
use tidegate::model::{Cargo, Peer, Refusal, Reply};

const KNOWN: usize = 100_000;
/// The default of `limits.addresses_max`.
const PLACES: usize = 200_000;

/// Everything on, nothing reached.
fn terms() -> Terms {
    let limits = Settings {
        address_rate: 1_000_000,
        address_burst: 1_000_000,
        key_rate: 1_000_000_000,
        key_burst: 1_000_000_000,
        app_events_rate: 1_000_000_000_000,
        app_bytes_rate: 1_000_000_000_000,
        addresses_max: PLACES,
        ..Settings::default()
    };
    let key =
        Key { key: "wk_bench".into(), app: "bench".into(), kind: Kind::Public, ..Key::default() };
    Terms { keys: vec![key], limits, ..Terms::default() }
}

/// Addresses in an order that no prefetcher guesses.
fn addresses() -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut all: Vec<u64> = (0..u32::try_from(KNOWN).unwrap_or(u32::MAX))
        .map(|number| group(IpAddr::from((0x0800_0000 + number * 7).to_be_bytes())))
        .collect();
    for at in (1..all.len()).rev() {
        all.swap(at, usize::try_from(next()).unwrap_or(0) % (at + 1));
    }
    all
}

fn account(policy: &Policy) -> Arc<Account> {
    let peer = Peer::from(IpAddr::from([127, 0, 0, 1]));
    let entry = policy.keys.find(&HeaderMap::new(), Some("wk_bench"), &peer).expect("a key");
    Arc::clone(&entry.account)
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

/// CPU time of this thread for so many of them: others on the machine do not count.
fn cpu_of(count: u64, mut one: impl FnMut()) -> Duration {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
    };
    let begun = now();
    for _ in 0..count {
        one();
    }
    now().saturating_sub(begun)
}

fn admission(bench: &mut Criterion) {
    let addresses = addresses();
    let before = resident_bytes();
    let counters = Counters::new(PLACES);
    let policy = Policy::compile(&terms(), Documents::default(), &counters).expect("a policy");
    let account = account(&policy);
    for address in &addresses {
        rates::admit(&policy, &counters, &account, *address, 1).expect("within its rate");
    }
    let (known, evicted) = counters.addresses.counts();
    let each = (resident_bytes() - before) / PLACES as u64;
    println!(
        "{known} addresses known, {evicted} put out by others; {each} resident bytes for each of \
         {PLACES} places, {ADDRESS_BYTES} by layout"
    );
    let one = |address, now_ns| {
        rates::admit(&policy, &counters, &account, address, now_ns).expect("within its rate");
        quotas::admit(&account, 1, now_ns).expect("within its quota");
    };
    let reply = Reply::refused(&Refusal::Empty, tidegate::model::Advice::default());
    let reply = reply.of(Cargo { events: 50, ..Cargo::default() });
    let cold = Cold::default();
    measure(bench, &addresses, "the loop alone", |address, _| _ = black_box(address));
    measure(bench, &addresses, "one cold line alone", |address, _| cold.touch(address));
    measure(bench, &addresses[..8], "rates and quotas, eight addresses", one);
    measure(bench, &addresses, "rates and quotas", one);
    measure(bench, &addresses, "rates, quotas and the toll", |address, now_ns| {
        one(address, now_ns);
        let toll = Toll {
            counters: Arc::clone(&counters),
            account: Arc::clone(&account),
            address,
            at_ns: now_ns,
            bytes: 4_400,
        };
        toll.pay(&reply);
    });
}

/// One after the other, each with a time of its own.
fn measure(bench: &mut Criterion, addresses: &[u64], name: &str, mut one: impl FnMut(u64, u64)) {
    let (mut at, mut now_ns) = (0, 1_000_000_000);
    bench.benchmark_group("admission").measurement_time(Duration::from_secs(5)).bench_function(
        name,
        |bench| {
            bench.iter_custom(|count| {
                cpu_of(count, || {
                    at = (at + 1) % addresses.len();
                    now_ns += 10_000;
                    one(addresses[at], now_ns);
                })
            });
        },
    );
}

/// A table of as many lines as there are places for addresses.
struct Cold {
    lines: Vec<Line>,
    /// What was read last, so that the next place depends on it.
    last: Cell<u64>,
}

#[derive(Default)]
#[repr(align(64))]
struct Line(AtomicU64);

impl Default for Cold {
    fn default() -> Self {
        Self { lines: (0..PLACES).map(|_| Line::default()).collect(), last: Cell::new(0) }
    }
}

impl Cold {
    fn touch(&self, address: u64) {
        let mixed = (address ^ self.last.get()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let at = usize::try_from(mixed).unwrap_or(0) % PLACES;
        let seen = self.lines[at].0.load(Ordering::Relaxed);
        self.lines[at].0.store(seen + 1, Ordering::Relaxed);
        self.last.set(u64::from(seen == u64::MAX));
    }
}

criterion_group!(benches, admission);
criterion_main!(benches);
