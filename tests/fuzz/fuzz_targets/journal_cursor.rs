//! Bytes from a disk never panic the cursor reader, and it believes only slots that are whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::journal::cursor::{self, SLOT_BYTES, Saved, USED_BYTES};
use uuid::Uuid;

fuzz_target!(|data: &[u8]| {
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
});
