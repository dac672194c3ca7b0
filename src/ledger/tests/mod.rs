//! Books made of real records: a header line with a report, then events, through decode and split.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{Books, Entry, Ledger, Rules, Scope};
use crate::model::{Facts, Format, KeyKind, Parcel, Record};
use crate::rulebook::{Rulebook, Shape};

mod balances;
mod history;
mod limits;
mod verdicts;

/// A report in the making; `tracked` and `admitted` follow from the rest.
#[derive(Debug, Clone, Default)]
struct Said {
    n: u64,
    acked: u64,
    held: u64,
    pre: Vec<(&'static str, u8, u64)>,
    post: Vec<(&'static str, u8, u64)>,
    /// Numbers reserved, in the last one.
    fin: Option<u64>,
}

impl Said {
    fn new(n: u64, acked: u64, held: u64) -> Self {
        Self { n, acked, held, ..Self::default() }
    }

    fn pre(mut self, reason: &'static str, class: u8, count: u64) -> Self {
        self.pre.push((reason, class, count));
        self
    }

    fn post(mut self, reason: &'static str, class: u8, count: u64) -> Self {
        self.post.push((reason, class, count));
        self
    }

    fn fin(self, reserved: u64) -> Self {
        Self { fin: Some(reserved), ..self }
    }

    fn json(&self) -> String {
        let sum = |rows: &[(&str, u8, u64)]| rows.iter().map(|(_, _, count)| count).sum::<u64>();
        let rows = |rows: &[(&str, u8, u64)]| {
            let rows: Vec<_> = rows
                .iter()
                .map(|(name, class, count)| format!("[\"{name}\",{class},{count}]"))
                .collect();
            rows.join(",")
        };
        let Self { n, acked, held, pre, post, fin } = self;
        let admitted = acked + held + sum(post);
        let tracked = admitted + sum(pre);
        let fin = fin.map_or(String::new(), |top| format!(",\"reserved\":{top},\"fin\":1"));
        let (pre, post) = (rows(pre), rows(post));
        format!(
            "{{\"n\":{n},\"tracked\":{tracked},\"admitted\":{admitted},\"acked\":{acked},\
             \"held\":{held},\"pre\":[{pre}],\"post\":[{post}]{fin}}}"
        )
    }
}

/// A batch of epoch `e1` of instance `i1`, from a public key of app `demo`.
fn batch(id: u128, seqs: impl IntoIterator<Item = u64>, said: &Said) -> Record {
    batch_of("e1", id, seqs, &said.json())
}

fn batch_of(epoch: &str, id: u128, seqs: impl IntoIterator<Item = u64>, report: &str) -> Record {
    let seqs: Vec<u64> = seqs.into_iter().collect();
    let (id, count) = (Uuid::from_u128(id), seqs.len());
    let mut body = format!(
        "{{\"tidegate\":1,\"batch\":\"{id}\",\"sdk\":\"t/1\",\"instance\":\"i1\",\
         \"epoch\":\"{epoch}\",\"class\":1,\"count\":{count},\"report\":{report}}}\n"
    );
    for seq in seqs {
        writeln!(body, "{{\"id\":\"x{seq}\",\"seq\":{seq},\"type\":\"t\"}}").unwrap();
    }
    record(id, body)
}

fn record(batch: Uuid, body: String) -> Record {
    let facts = Facts {
        key_kind: KeyKind::Public,
        format: Format::Lines,
        batch,
        batch_made: false,
        rules: book().hash,
        ..Parcel::empty().record.facts
    };
    Record { facts, body: Bytes::from(body) }
}

/// The same record, come at another time.
fn at(ms: i64, mut record: Record) -> Record {
    record.facts.arrival_ms = ms;
    record
}

/// The same record from another app.
fn of_app(app: &str, mut record: Record) -> Record {
    record.facts.app = Arc::from(app);
    record
}

fn book() -> Rulebook {
    let shape = Shape { topic_prefix: "tidegate".into(), ..Shape::default() };
    Rulebook::compile(shape).expect("no rules")
}

fn books<'a>(records: impl IntoIterator<Item = &'a Record>) -> Books {
    books_within(Scope::default(), records)
}

fn books_within<'a>(scope: Scope, records: impl IntoIterator<Item = &'a Record>) -> Books {
    let mut ledger = Ledger::new(scope, Rules::new(book()));
    for (record, at) in records.into_iter().zip(0..) {
        ledger.take(record, || format!("record {at}")).expect("room");
    }
    ledger.close()
}

/// The only epoch of some records.
fn entry<'a>(records: impl IntoIterator<Item = &'a Record>) -> Entry {
    let mut books = books(records);
    assert_eq!(books.epochs.len(), 1);
    books.epochs.remove(0)
}
