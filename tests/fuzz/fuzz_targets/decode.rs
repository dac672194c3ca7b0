//! Any body under any coding: never a panic, never more than the limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::decode::{Limits, Scratch, decode, sniff};
use tidegate::model::Coding;

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let said = [None, Some(Coding::Gzip), Some(Coding::Deflate), Some(Coding::Zstd)];
    let limits = Limits::default();
    let mut scratch = Scratch::default();
    if let Ok(coding) = sniff(body, said[usize::from(*first) % 4])
        && let Ok(plain) = decode(body, coding, &limits, &mut scratch)
    {
        assert!(plain.len() as u64 <= limits.inflated_bytes_max);
    }
});
