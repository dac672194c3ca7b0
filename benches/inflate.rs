//! Ways to inflate the same gzipped batch of 50 events: what everybody writes first, ours, and the
//! fastest whole-body decoder there is.
//!
//! Throughput counts events, so that 1 s divided by it is the cost of one.

use std::hint::black_box;
use std::io::Read as _;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate::decode::{Limits, Scratch, decode};
use tidegate::model::Coding;

mod load;

/// Enough bodies that no branch is learnt by heart, few enough that all stay in the cache.
const BODIES: u32 = 32;

fn compare(criterion: &mut Criterion) {
    let records = load::records(BODIES);
    let bodies: Vec<_> = records.iter().map(|record| record.body.clone()).collect();
    let limits = Limits::default();
    let mut scratch = Scratch::default();
    let inflated: usize = bodies.iter().map(|body| plain(body).len()).sum();
    let received: usize = bodies.iter().map(bytes::Bytes::len).sum();
    let count = bodies.len();
    println!("{} bytes a body, {} inflated, on average", received / count, inflated / count);

    let mut bodies = bodies.iter().cycle();
    let mut next = || bodies.next().expect("a cycle over some bodies never ends");
    let mut group = criterion.benchmark_group("inflate");
    group.throughput(Throughput::Elements(load::EVENTS.into()));
    group.bench_function("flate2 GzDecoder read_to_end", |bencher| {
        bencher.iter(|| plain(black_box(next())));
    });
    group.bench_function("ours", |bencher| {
        bencher.iter(|| {
            decode(black_box(next()), Coding::Gzip, &limits, &mut scratch)
                .map(<[u8]>::len)
                .expect("the generator's gzip is valid")
        });
    });
    let zstandard: Vec<_> = records.iter().map(|record| zstandard(&plain(&record.body))).collect();
    let mut frames = zstandard.iter().cycle();
    group.bench_function("ours, zstd", |bencher| {
        bencher.iter(|| {
            let body = frames.next().expect("a cycle over some bodies never ends");
            decode(black_box(body), Coding::Zstd, &limits, &mut scratch)
                .map(<[u8]>::len)
                .expect("the encoder's zstd is valid")
        });
    });
    group.bench_function("libdeflate", |bencher| {
        let mut engine = libdeflater::Decompressor::new();
        // It wants to know the size before: here it is given enough, once.
        let mut out = vec![0; 1 << 20];
        bencher.iter(|| engine.gzip_decompress(black_box(next()), &mut out).expect("valid gzip"));
    });
    group.finish();
}

#[expect(clippy::disallowed_types, reason = "what the gateway must not use is measured here")]
fn plain(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut out).expect("valid gzip");
    out
}

fn zstandard(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).expect("in memory")
}

criterion_group!(benches, compare);
criterion_main!(benches);
