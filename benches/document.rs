//! What the config centre's handler costs, without sockets: from an app to a whole response.
//!
//! The goal is 10 us at most: 100,000 answers a second and core. A kill is the dearest case, because
//! its text is made anew once a second; here every answer but the first finds it made.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use hyper::HeaderMap;
use hyper::header::IF_NONE_MATCH;
use tidegate::admit::documents::{Announced, Source};
use tidegate::admit::{Counters, Documents, Policy, Terms};

/// A policy over a folder with `apps` files.
fn policy(apps: usize) -> Policy {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("room");
    write("default.toml", "version = 1\n");
    for app in 0..apps {
        write(&format!("app-{app}.toml"), "version = 2\n[sample]\nscroll = 0.1\n");
    }
    let off = "version = 2\noff_until = \"2030-01-01T00:00:00Z\"\n";
    write("off.toml", off);
    let announced = Announced {
        body_bytes: 921_600,
        inflated_bytes: 8 << 20,
        events: 5_000,
        event_bytes: 262_144,
        context_bytes: 4_096,
        dedupe_s: 600,
    };
    let source = Source { document: Path::new(""), documents: dir.path() };
    // An hour before the end of the kill, for the check; the answers below are for now.
    let now_ms = 1_893_456_000_000 - 3_600_000;
    let documents = Documents::open(source, &announced, now_ms).expect("documents");
    let terms = Terms::default();
    let counters = Counters::new(1_000);
    Policy::compile(&terms, documents, &counters).expect("a policy")
}

fn document(bench: &mut Criterion) {
    let policy = policy(1_000);
    let plain = HeaderMap::new();
    let full = policy.document("app-7", &plain, 0).expect("a document");
    let mut known = HeaderMap::new();
    known.insert(IF_NONE_MATCH, full.headers()["etag"].clone());
    let mut group = bench.benchmark_group("document");
    for (name, app, headers, status) in [
        ("whole, own file", "app-7", &plain, 200),
        ("whole, default", "elsewhere", &plain, 200),
        ("known, 304", "app-7", &known, 304),
        ("killed", "off", &plain, 200),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let answer = policy.document(black_box(app), headers, 0).expect("a document");
                assert_eq!(answer.status(), status);
                answer
            });
        });
    }
    group.finish();
}

criterion_group!(benches, document);
criterion_main!(benches);
