//! The split against other ways to read the same 50 events: who validates them fastest.
//!
//! Throughput counts events, so that 1 s divided by it is the cost of one.

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::de::IgnoredAny;
use tidegate::json;
use tidegate::model::{Coding, Facts, Format, KeyKind};
use tidegate::split::{Limits, Rules, rules, split};
use uuid::Uuid;

const EVENTS: usize = 50;

/// A header and 50 events of about 270 bytes, as an SDK in a shop's app writes them.
fn body() -> Vec<u8> {
    let mut body = format!(
        concat!(
            r#"{{"tidegate":1,"batch":"0198a7c1-5b7e-7cc2-9d5e-0a1b2c3d4e5f","sdk":"js/1.2.0","#,
            r#""instance":"5f0c9a1e7b","epoch":"0198a7c0-0000-7cc2-9d5e-0a1b2c3d4e5f","#,
            r#""class":1,"count":{},"config":7,"context":{{"app":"3.4.1","os":"android 15"}}}}"#,
            "\n"
        ),
        EVENTS
    );
    let kinds = ["page.view", "click", "cart.add", "search", "screen.exit"];
    let screens = ["home", "restaurant/4711", "checkout", "search/ramen", "orders"];
    for at in 0..EVENTS {
        let kind = kinds[at % kinds.len()];
        let screen = screens[(at / 3) % screens.len()];
        let mut line = format!(
            concat!(
                r#"{{"id":"0198a7c1-5b7e-7cc2-9d5e-{:012x}","seq":{},"ts":{},"type":"{}","#,
                r#""props":{{"screen":"/{}","element":"card-{}","position":{},"price":{}.{:02},"#,
                r#""currency":"EUR","network":"wifi","visible":{},"#,
                r#""experiments":["e12:b","e40:a"],"city":"Zürich","ms":{}}}}}"#
            ),
            at * 7_919,
            at + 4_100,
            1_767_225_599_800_u64 + at as u64 * 137,
            kind,
            screen,
            at * 31 % 97,
            at % 12,
            at % 40,
            at % 100,
            at % 4 != 0,
            at * 53 % 9_000,
        );
        line.push('\n');
        body.push_str(&line);
    }
    body.into_bytes()
}

fn facts() -> Facts {
    Facts {
        app: "demo".into(),
        key_kind: KeyKind::Public,
        address: IpAddr::from([192, 0, 2, 7]),
        user_agent: "okhttp/5".into(),
        coding: Coding::Identity,
        format: Format::Unknown,
        arrival_ms: 1_767_225_600_000,
        sent_ms: Some(1_767_225_600_000),
        wait_ms: Some(40),
        attempt: 1,
        class: 1,
        batch: Uuid::from_u128(1),
        batch_made: true,
        rules: 0,
        node: Uuid::from_u128(2),
    }
}

/// Two rules of the usual sort: a type that is dropped, and a field that is sampled by.
fn two_rules() -> Rules {
    let table: toml::Table = toml::from_str(
        r#"
        [[rules]]
        name = "no-debug"
        types = ["debug.*"]
        action = "filter"
        [[rules]]
        name = "few-searches"
        types = ["search"]
        where = [{ field = "props.network", equals = "wifi" }]
        action = "sample"
        rate = 0.5
        "#,
    )
    .expect("the rules above are TOML");
    let settings: Vec<rules::Settings> =
        table["rules"].clone().try_into().expect("the rules above are valid");
    Rules::compile(&settings).expect("the rules above compile")
}

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', body).map(move |end| {
        let line = &body[start..end];
        start = end + 1;
        line
    })
}

fn compare(criterion: &mut Criterion) {
    let body = body();
    let facts = facts();
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("split");
    group.throughput(Throughput::Elements(EVENTS as u64));
    println!("{} bytes an event", body.len() / EVENTS);

    let none = Rules::default();
    group.bench_function("ours", |bencher| {
        bencher.iter(|| split(black_box(&body), &facts, Some(1), &limits, &none));
    });
    let two = two_rules();
    group.bench_function("ours with two rules", |bencher| {
        bencher.iter(|| split(black_box(&body), &facts, Some(1), &limits, &two));
    });
    group.bench_function("our scanner alone", |bencher| {
        bencher
            .iter(|| lines(black_box(&body)).filter(|line| json::validate(line).is_ok()).count());
    });
    group.bench_function("serde_json IgnoredAny", |bencher| {
        bencher.iter(|| {
            lines(black_box(&body))
                .filter(|line| serde_json::from_slice::<IgnoredAny>(line).is_ok())
                .count()
        });
    });
    group.bench_function("sonic-rs IgnoredAny", |bencher| {
        bencher.iter(|| {
            lines(black_box(&body))
                .filter(|line| sonic_rs::from_slice::<IgnoredAny>(line).is_ok())
                .count()
        });
    });
    group.bench_function("simd-json tape", |bencher| {
        let mut buffers = simd_json::Buffers::default();
        let mut copy = Vec::new();
        bencher.iter(|| {
            // It writes into its input, so that a copy of each line belongs to its price.
            lines(black_box(&body))
                .filter(|line| {
                    copy.clear();
                    copy.extend_from_slice(line);
                    simd_json::to_tape_with_buffers(&mut copy, &mut buffers).is_ok()
                })
                .count()
        });
    });
    group.bench_function("simdutf8 alone", |bencher| {
        bencher.iter(|| simdutf8::basic::from_utf8(black_box(&body)).is_ok());
    });
    group.bench_function("memchr lines", |bencher| {
        bencher.iter(|| memchr::memchr_iter(b'\n', black_box(&body)).count());
    });
    group.finish();
}

criterion_group!(benches, compare);
criterion_main!(benches);
