//! The bytes on disk, pinned: what version 1 wrote must stay readable, and what is written must be
//! version 1. The bytes were made by an independent program from the layout in the documentation.

use super::memory::Memory;
use super::{begin, record};
use crate::journal::{Draft, Entry, segment};
use crate::model::Owed;

/// A segment with a record (7) and a settlement (8) in one group.
const SEGMENT: &str = "\
    54474a4e01000000070000000000000003000000000000000600000000000000\
    00112233445566778899aabbccddeeff00a8da769b01000000000000f1778e55\
    5447465201000000070000000000000094000000db171512ea7771a901020200\
    030000000000000040000000000000000000720000000101000102040064656d\
    6f03010001040400c00002070506006375726c2f380601000107010001080800\
    00a8da769b0100000b0400010000000c0100010d100000000000000000000000\
    0000000001020e0100000f0800efbeadde000000001010000000000000000000\
    000000000000000974686520626f647954474652020001000800000000000000\
    13000000459a1b8a7f5d1b800700000000000000010100080000000000000000";

fn segment() -> Vec<u8> {
    let digits: Vec<u8> = SEGMENT.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn owed() -> [Owed; 2] {
    [[0, 1, 70].into_iter().collect(), Owed::default()]
}

#[test]
fn a_segment_of_version_1_is_read() {
    let disk = Memory::default();
    disk.put(&segment::name(7), &segment());
    let (journal, _writer, recovered) = begin(&disk);
    assert_eq!((recovered.first_seq, recovered.next_seq), (7, 9));
    assert_eq!((recovered.torn_bytes, recovered.corrupt_frames), (0, 0));
    assert!(recovered.settled[&7][&1].contains(3));
    let mut reader = journal.reader(0);
    let first = reader.next_frame().unwrap().unwrap();
    let Entry::Record { pending: true, owed: owes, record: found } = first.entry else {
        panic!("no record")
    };
    let sent = record(258, b"the body");
    assert_eq!((first.seq, found.facts, found.body), (7, sent.facts, sent.body));
    assert!(owes[0].iter().eq([0, 1, 70]) && owes[1].is_empty());
    let second = reader.next_frame().unwrap().unwrap();
    assert!(matches!(second.entry, Entry::Settle { record: 7, cluster: 1, .. }));
    assert!(reader.next_frame().unwrap().is_none());
}

#[test]
fn a_segment_of_version_1_is_written() {
    let disk = Memory::default();
    // The segment before gives the id of the journal and the next seq.
    let mut before = segment()[..64].to_vec();
    let start = segment::Start { first: 6, ..segment::Start::parse(&before, 7).unwrap() };
    before.copy_from_slice(&start.encode());
    disk.put(&segment::name(6), &before);
    let (journal, mut writer, _) = begin(&disk);
    let sent = record(258, b"the body");
    let settled: Owed = [3].into_iter().collect();
    let owed = owed();
    let _record = journal.append(Draft::Record { pending: true, owed: &owed, record: &sent }, None);
    journal.append_quiet(Draft::Settle { record: 7, cluster: 1, owed: &settled }).unwrap();
    writer.turn();
    let written = disk.content(&segment::name(7));
    assert_eq!(written[64..], segment()[64..]);
    let start = segment::Start::parse(&written, 7).unwrap();
    assert_eq!((start.previous, start.acknowledged), (6, 5));
}
