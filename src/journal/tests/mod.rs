//! Tests of the whole journal. `memory` is a disk that fails and loses power on demand.

mod damage;
mod exports;
mod failures;
mod golden;
mod histories;
mod live;
mod memory;
mod world;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::handle::prepare;
use super::writer::Writer;
use super::{Appended, Draft, Error, Journal, Reader, Recovered, Settings};
use crate::model::{Coding, Facts, Format, KeyKind, Owed, Record};
use memory::Memory;

/// A batch that is told from others by its number.
pub(super) fn record(number: u128, body: &[u8]) -> Record {
    let facts = Facts {
        app: Arc::from("demo"),
        key_kind: KeyKind::Public,
        address: IpAddr::from([192, 0, 2, 7]),
        user_agent: "curl/8".into(),
        coding: Coding::Gzip,
        format: Format::Lines,
        arrival_ms: 1_767_225_600_000,
        sent_ms: None,
        wait_ms: None,
        attempt: 1,
        class: 1,
        batch: Uuid::from_u128(number),
        batch_made: false,
        rules: 0xdead_beef,
        node: Uuid::from_u128(9),
    };
    Record { facts, body: Bytes::copy_from_slice(body) }
}

/// Limits that small tests reach.
fn settings() -> Settings {
    Settings {
        segment_bytes: 2_048,
        group_bytes_max: 1_500,
        queue_bytes_max: 6_000,
        bytes_max: 20_000,
        follow_max: 3,
        read_ahead_bytes: 256,
        broken_bytes_max: 10_000,
        min_free_bytes: 0,
        reserve_bytes: 0,
        ..Settings::default()
    }
}

/// Opens a journal whose writer works only when told to.
fn begin(disk: &Memory) -> (Journal, Writer, Recovered) {
    begin_with(disk, &settings())
}

fn begin_with(disk: &Memory, settings: &Settings) -> (Journal, Writer, Recovered) {
    prepare("main", Arc::new(disk.clone()), settings).unwrap()
}

/// Appends a batch whose body has this many bytes.
fn append(journal: &Journal, number: u128, bytes: usize) -> Appended {
    let record = record(number, &vec![7; bytes]);
    journal.append(Draft::Record { pending: false, owed: &[], record: &record }, None)
}

impl Appended {
    /// Lets the writer work if the entry was taken, and waits.
    fn wait_after(self, writer: &mut Writer) -> Result<u64, Error> {
        writer.turn();
        self.wait()
    }
}

/// News that a record owes nothing any more.
fn settle(record: u64) -> Draft<'static> {
    static NOTHING: std::sync::OnceLock<Owed> = std::sync::OnceLock::new();
    Draft::Settle { record, cluster: 0, owed: NOTHING.get_or_init(Owed::default) }
}

/// Reads to the end.
fn seqs(reader: &mut Reader) -> Vec<u64> {
    std::iter::from_fn(|| reader.next_frame().unwrap()).map(|frame| frame.seq).collect()
}

/// Appends a batch in a group of its own, and waits.
fn commit(journal: &Journal, writer: &mut Writer, number: u128, bytes: usize) -> u64 {
    let appended = append(journal, number, bytes);
    writer.turn();
    appended.wait().unwrap()
}
