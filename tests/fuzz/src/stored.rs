//! Bytes from a disk: facts, frames and cursors. Never a panic; nothing with a wrong checksum comes
//! out, and what comes out is written back the same.

use bytes::Bytes;
use tidegate::journal::Entry;
use tidegate::journal::cursor::{self, SLOT_BYTES, Saved, USED_BYTES};
use tidegate::journal::frame::{self, Header, PAYLOAD_BYTES_MAX, Seed};
use tidegate::model::Facts;
use uuid::Uuid;

/// Stored facts.
pub fn facts(data: &[u8]) {
    if let Ok(facts) = Facts::decode(data) {
        let mut bytes = Vec::new();
        facts.encode(&mut bytes);
        assert_eq!(Facts::decode(&bytes), Ok(facts));
    }
}

/// A stretch of a segment.
pub fn frame(data: &[u8]) {
    let seed = Seed::of(Uuid::nil());
    if let Ok((frame, span)) = frame::parse(data, seed) {
        assert!(span <= data.len() && span % frame::ALIGN == 0);
        assert_eq!(crc32c::crc32c(frame.payload), frame.header.payload_crc);
        assert_eq!(frame.header.encode(seed), data[..frame::HEADER_BYTES]);
    }
    if let Some(at) = frame::find(data) {
        assert!(at % frame::ALIGN == 0 && data[at..].starts_with(&frame::MAGIC));
    }
    // Behind the checksums, which a fuzzer cannot guess: the payload itself.
    let Some((&kind, payload)) = data.split_first() else { return };
    let Some(bytes) = whole(kind, 1, payload, Uuid::nil()) else { return };
    let (frame, _) = frame::parse(&bytes, seed).expect("a frame made by the rules");
    assert!(frame.payload == payload);
    let payload = Bytes::copy_from_slice(payload);
    if let Ok(Some(Entry::Record { record, .. })) = Entry::decode(kind, &payload) {
        assert!(payload.ends_with(&record.body));
    }
}

/// A cursor's file.
pub fn cursor(data: &[u8]) {
    // As it is: a fuzzer does not guess checksums, so whatever is believed has to be a slot.
    if let Ok(Some(saved)) = cursor::newest(data) {
        assert!(data.windows(USED_BYTES).any(|slot| slot == saved.encode()));
    }
    // A good slot, and a fuzzed one in the other place: the good one counts, or a newer one.
    let Some((generation, fuzzed)) = data.split_first_chunk::<8>() else { return };
    let generation = u64::from_le_bytes(*generation);
    let good = Saved { generation, next_seq: 7, journal: Uuid::nil() };
    let mut file = vec![0; SLOT_BYTES + USED_BYTES];
    let (at, other) = if generation % 2 == 0 { (0, SLOT_BYTES) } else { (SLOT_BYTES, 0) };
    file[at..at + USED_BYTES].copy_from_slice(&good.encode());
    let fuzzed = &fuzzed[..fuzzed.len().min(USED_BYTES)];
    file[other..other + fuzzed.len()].copy_from_slice(fuzzed);
    match cursor::newest(&file) {
        Ok(Some(saved)) => assert!(saved == good || saved.generation > generation),
        Ok(None) => panic!("the good slot is lost"),
        Err(version) => assert!(version > 1),
    }
}

/// A frame around a payload, with the checksums that belong to it.
pub(super) fn whole(kind: u8, seq: u64, payload: &[u8], journal: Uuid) -> Option<Vec<u8>> {
    let payload_bytes = u32::try_from(payload.len()).ok()?;
    if payload.len() > PAYLOAD_BYTES_MAX {
        return None;
    }
    let payload_crc = crc32c::crc32c(payload);
    let header = Header { kind, flags: 0, place: 0, seq, payload_bytes, payload_crc };
    let mut bytes = header.encode(Seed::of(journal)).to_vec();
    bytes.extend_from_slice(payload);
    bytes.resize(header.span(), 0);
    Some(bytes)
}
