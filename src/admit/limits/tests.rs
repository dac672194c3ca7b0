//! The limiter against a simple model, and the table under more addresses than it has room for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::addresses::{group, is_private, shown};
use super::bucket::millis;
use super::*;

const SECOND: u64 = 1_000_000_000;

fn table(addresses_max: usize) -> Addresses {
    Addresses::new(addresses_max, (0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03))
}

proptest! {
    /// Over any stretch of time no more than rate * time + burst get through, and a request that
    /// comes back when it was told to passes.
    #[test]
    fn the_rate_holds_over_any_window(
        per_s in 1..5_000_u64,
        burst in 1..50_u64,
        gaps in prop::collection::vec(0..20_000_000_u64, 1..300),
        waits in any::<bool>(),
    ) {
        let rate = Rate::of_requests(per_s, burst).expect("a rate");
        let bucket = Bucket::default();
        let (mut now, mut passed) = (7 * SECOND, Vec::new());
        for gap in gaps {
            now += gap;
            match bucket.take(now, rate) {
                Ok(()) => passed.push(now),
                Err(wait_ns) => {
                    prop_assert_eq!(bucket.wait_ns(now, rate), wait_ns);
                    prop_assert!(bucket.take(now + wait_ns - 1, rate).is_err(), "not a moment later");
                    if waits {
                        now += millis(wait_ns) * 1_000_000;
                        prop_assert!(bucket.take(now, rate).is_ok(), "it came back as told");
                        passed.push(now);
                    }
                }
            }
        }
        for (at, first) in passed.iter().enumerate() {
            for (count, last) in (1..).zip(&passed[at..]) {
                // In exact arithmetic: count <= burst + rate * time.
                let grown = u128::from(per_s) * u128::from(last - first) / u128::from(SECOND);
                prop_assert!(count <= u128::from(burst) + grown, "{count} in {}", last - first);
            }
        }
    }

    /// Nobody is refused who stays within the rate (but for the rounding of a nanosecond each).
    #[test]
    fn an_even_client_is_never_refused(per_s in 1..100_000_u64, burst in 1..10_u64) {
        let rate = Rate::of_requests(per_s, burst).expect("a rate");
        let bucket = Bucket::default();
        for request in 0..200 {
            let now = SECOND + request * SECOND.div_ceil(per_s);
            prop_assert!(bucket.take(now, rate).is_ok(), "request {request}");
        }
    }

    /// A quota that is charged afterwards: whatever the sizes, what was charged up to any moment at
    /// which a batch was let in is at most rate * time + what was saved up + that one batch; and a
    /// batch that waits as told is let in.
    #[test]
    fn quotas_hold_with_debt(
        per_s in 1..1_000_000_u64,
        burst_ms in 100..20_000_u64,
        batches in prop::collection::vec((0..2_000_000_000_u64, 1..50_000_u64), 1..60),
        percent in prop::sample::select(vec![70_u64, 90, 100]),
    ) {
        let rate = Rate::of_quota(per_s, burst_ms).expect("a rate");
        let bucket = Bucket::default();
        let (start, mut now, mut charged) = (SECOND, SECOND, 0_u128);
        for (gap, events) in batches {
            now += gap;
            let wait_ns = bucket.wait_below_ns(now, rate, percent);
            if wait_ns > 0 {
                prop_assert!(bucket.wait_below_ns(now + wait_ns - 1, rate, percent) > 0);
                now += millis(wait_ns) * 1_000_000;
                prop_assert_eq!(bucket.wait_below_ns(now, rate, percent), 0);
            }
            let saved = u128::from(per_s) * u128::from(burst_ms) * u128::from(percent) / 100_000;
            let earned = u128::from(per_s) * u128::from(now - start) / u128::from(SECOND);
            prop_assert!(charged <= saved + earned + 1, "{charged} of {saved} and {earned}");
            bucket.pour(now, rate, events);
            charged += u128::from(events);
        }
    }

    /// A time that goes back, as between two workers, never lets more through than it did.
    #[test]
    fn time_that_goes_back_is_harmless(times in prop::collection::vec(0..SECOND, 1..200)) {
        let rate = Rate::of_requests(10, 5).expect("a rate");
        let bucket = Bucket::default();
        let passed = times.iter().filter(|now| bucket.take(**now, rate).is_ok()).count();
        prop_assert!(passed <= 15, "{passed} in one second of 10/s and 5 at once");
    }

    /// Whatever comes in whatever order: an address gets through at most its burst and its rate for
    /// each life of its entry, and entries are only lost to others when their set is full.
    #[test]
    fn an_eviction_gives_back_one_burst_at_most(
        visits in prop::collection::vec((1..60_u64, 0..50_000_000_u64), 1..400),
    ) {
        let table = table(16);
        let rate = Rate::of_requests(2, 3).expect("a rate");
        let mut passed = std::collections::BTreeMap::<u64, u64>::new();
        let (start, mut now) = (SECOND, SECOND);
        for (address, gap) in visits {
            now += gap;
            if table.entry(address << 32, now).requests.take(now, rate).is_ok() {
                *passed.entry(address).or_default() += 1;
            }
        }
        let (known, evicted) = table.counts();
        prop_assert!(known <= 16);
        let earned = 2 * (now - start) / SECOND;
        for (address, passed) in passed {
            prop_assert!(passed <= 3 * (1 + evicted) + earned, "{address}: {passed}");
        }
    }
}

#[test]
fn off_is_no_rate_and_huge_rates_do_not_overflow() {
    assert_eq!(Rate::of_requests(0, 10), None);
    assert_eq!(Rate::of_quota(0, 10), None);
    let rate = Rate::of_quota(1_000_000_000_000, 1_000_000_000).expect("a rate");
    let bucket = Bucket::default();
    bucket.pour(SECOND, rate, u64::MAX);
    bucket.pour(SECOND, rate, u64::MAX);
    assert!(bucket.wait_below_ns(SECOND, rate, 100) > 0);
    let slow = Rate::of_requests(1, 1_000_000_000).expect("a rate");
    assert_eq!(Bucket::default().take(SECOND, slow), Ok(()));
}

#[test]
fn a_rate_that_changes_keeps_what_was_used() {
    let bucket = Bucket::default();
    let (fast, slow) = (Rate::of_requests(10, 10), Rate::of_requests(10, 2));
    let (fast, slow) = (fast.expect("a rate"), slow.expect("a rate"));
    for _ in 0..10 {
        assert_eq!(bucket.take(SECOND, fast), Ok(()));
    }
    assert_eq!(bucket.take(SECOND, slow), Err(900_000_000));
    assert_eq!(bucket.take(SECOND + 900_000_000, slow), Ok(()));
}

#[test]
fn an_ipv6_network_of_64_bits_is_one_client() {
    let one: IpAddr = "2001:db8:1:2::1".parse().expect("an address");
    let other: IpAddr = "2001:db8:1:2:ffff:eeee:1:9".parse().expect("an address");
    let next: IpAddr = "2001:db8:1:3::1".parse().expect("an address");
    assert_eq!(group(one), group(other));
    assert_ne!(group(one), group(next));
    assert_eq!(shown(group(one)), "2001:db8:1:2::/64");
    let mapped = IpAddr::V6(Ipv4Addr::new(203, 0, 113, 7).to_ipv6_mapped());
    assert_eq!(group(mapped), group(IpAddr::from([203, 0, 113, 7])));
    assert_eq!(shown(group(mapped)), "203.0.113.7");
    assert_eq!(shown(group(IpAddr::V6(Ipv6Addr::LOCALHOST))), "::/64");
    for text in ["2001:db8::1", "fd00::1", "fe80::1", "::1", "203.0.113.7", "ff02::1"] {
        assert!(!is_instance(group(text.parse().expect("an address"))), "{text}");
    }
    assert!([0, 1, u64::MAX].into_iter().all(|hash| is_instance(instance(hash))));
    for (address, private) in [
        ("10.1.2.3", true),
        ("127.1.2.3", true),
        ("192.168.0.1", true),
        ("203.0.113.7", false),
        ("::1", true),
        ("fd00::1", true),
        ("fe80::1", true),
        ("2001:db8::1", false),
    ] {
        let address: IpAddr = address.parse().expect("an address");
        assert_eq!(is_private(group(address)), private, "{address}");
    }
}

#[test]
fn a_million_addresses_fit_into_a_bounded_table_and_the_latest_are_there() {
    let table = table(10_000);
    let client = |number: u64| 1 << 32 | number;
    // A talker that keeps coming is never put out by a million that come once.
    let talker = client(7_000_000);
    for number in 0..1_000_000 {
        let now = SECOND + number * 1_000_000;
        table.entry(client(number), now).asked(false);
        if number % 1_000 == 0 {
            table.entry(talker, now).asked(false);
        }
    }
    let (known, evicted) = table.counts();
    assert!(known <= 10_000 && known + evicted >= 1_000_000, "{known} known, {evicted} evicted");
    let latest = (999_000..1_000_000).filter(|number| table.find(client(*number)).is_some());
    assert!(latest.count() >= 990, "the latest thousand");
    let seen: u64 =
        table.windows().filter(|(key, _)| *key == talker).map(|(_, w)| w.requests).sum();
    assert_eq!(seen, 1_000);
    assert!(table.windows().next().is_none(), "they were taken");
}

#[test]
fn whoever_owes_or_is_guarded_is_put_out_last() {
    let table = table(8);
    let rate = Rate::of_requests(1, 10).expect("a rate");
    for address in 1..=8 {
        table.entry(address, SECOND);
    }
    table.entry(1, SECOND).guard(100 * SECOND);
    for _ in 0..10 {
        table.entry(2, SECOND).requests.take(SECOND, rate).expect("within the burst");
    }
    for address in 100..106 {
        table.entry(address, 2 * SECOND);
    }
    assert!(table.find(1).is_some_and(|entry| entry.is_guarded(2 * SECOND)));
    assert!(table.find(2).is_some_and(|entry| entry.requests.take(2 * SECOND, rate).is_ok()));
    assert!((3..=8).all(|address| table.find(address).is_none()));
    assert_eq!(table.counts(), (8, 6));
}
