//! What rules and routes add to an event: the split under 0, 10 and 100 rules of mixed conditions,
//! and the routing of the same events by tables of 10 and 100 routes.
//!
//! Throughput counts events, so that 1 s divided by it is the cost of one.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use tidegate::decode::{self, Scratch};
use tidegate::model::{Batch, Coding, Facts};
use tidegate::route::{Route, Table, route};
use tidegate::split::{Limits, Rules, rules, split};

mod load;

const BODIES: u32 = 32;
const OUTPUT_BYTES_MAX: u64 = 32 << 20;

/// A batch as the rules see it.
struct Inflated {
    facts: Facts,
    body: Vec<u8>,
}

fn inflated() -> Vec<Inflated> {
    let (limits, mut scratch) = (decode::Limits::default(), Scratch::default());
    load::records(BODIES)
        .into_iter()
        .map(|record| {
            let body = decode::decode(&record.body, Coding::Gzip, &limits, &mut scratch);
            let body = body.expect("the generator's gzip is valid").to_vec();
            Inflated { facts: record.facts, body }
        })
        .collect()
}

/// Rules of every sort. None of them decides before the last, so that all are asked.
fn rules(count: usize) -> Rules {
    #[derive(Deserialize)]
    struct Written {
        rules: Vec<rules::Settings>,
    }
    let conditions = [
        r#"types = ["debug.*", "internal.*"]"#,
        r#"apps = ["shop"]
           types = ["campaign.nobody"]"#,
        r"classes = [2]
          bytes = { min = 100000 }",
        r"bytes = { min = 65536 }",
        r#"where = [{ field = "props.path", equals = "/nowhere" }]"#,
        r#"where = [{ field = "props.robot", equals = "true" }]"#,
        r#"types = ["page.*", "click"]
           where = [{ field = "props.query.tab", equals = "nothing" }]"#,
        r"age_ms = { min = 864000000 }",
        r#"types = ["search.*"]
           apps = ["video", "news"]
           bytes = { max = 10 }"#,
        r#"types = ["order.submit"]
           where = [{ field = "props.currency", equals = "none" }]"#,
    ];
    let texts: Vec<_> = (0..count)
        .zip(conditions.iter().cycle())
        .map(|(at, conditions)| {
            format!("[[rules]]\nname = \"r{at}\"\naction = \"filter\"\n{conditions}\n")
        })
        .collect();
    let text = texts.concat();
    let written: Option<Written> = (count > 0).then(|| toml::from_str(&text).expect("valid rules"));
    Rules::compile(&written.map_or_else(Vec::new, |written| written.rules)).expect("valid rules")
}

/// Routes whose patterns match one type in eight; the rest asks the whole table.
fn table(count: usize) -> Table {
    let pattern = |text: String| text.try_into().expect("a valid pattern");
    let kinds = ["page.view", "video.*", "click", "*.timing"];
    let routes: Vec<Route> = (0..count)
        .map(|at| {
            let known =
                kinds.get(at * kinds.len() / count).filter(|_| at % (count / 4).max(1) == 0);
            let types = match known {
                Some(kind) => vec![pattern((*kind).to_owned())],
                None if at % 2 == 0 => vec![pattern(format!("team{at}.*"))],
                None => vec![pattern(format!("one{at}")), pattern(format!("other{at}"))],
            };
            Route { types, lane: format!("lane{at}"), key: "instance".to_owned() }
        })
        .collect();
    Table::compile(&routes, "tidegate").expect("valid routes")
}

fn split_one(inflated: &Inflated, limits: &Limits, rules: &Rules) -> Batch {
    let Inflated { facts, body } = inflated;
    split(black_box(body), facts, None, limits, rules).expect("the generator's batches are valid")
}

fn under_rules(criterion: &mut Criterion) {
    let bodies = inflated();
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("split under rules");
    group.throughput(Throughput::Elements(load::EVENTS.into()));
    for count in [0, 10, 100] {
        let rules = rules(count);
        let mut bodies = bodies.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| bodies.next().map(|inflated| split_one(inflated, &limits, &rules)));
        });
    }
    group.finish();
}

fn through_routes(criterion: &mut Criterion) {
    let bodies = inflated();
    let (limits, none) = (Limits::default(), Rules::default());
    let batches: Vec<_> =
        bodies.iter().map(|inflated| (inflated, split_one(inflated, &limits, &none))).collect();
    let mut group = criterion.benchmark_group("route through routes");
    group.throughput(Throughput::Elements(load::EVENTS.into()));
    for count in [10, 100] {
        let table = table(count);
        let mut batches = batches.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let (inflated, batch) = batches.next()?;
                let Inflated { facts, body } = inflated;
                route(black_box(batch), body, facts, &table, OUTPUT_BYTES_MAX).ok()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, under_rules, through_routes);
criterion_main!(benches);
