//! Bytes from a disk never panic the frame reader, and no frame with a wrong checksum comes out.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tidegate::journal::Entry;
use tidegate::journal::frame::{self, Header, PAYLOAD_BYTES_MAX, Seed};
use uuid::Uuid;

fuzz_target!(|data: &[u8]| {
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
    let payload = &payload[..payload.len().min(PAYLOAD_BYTES_MAX)];
    let Ok(payload_bytes) = u32::try_from(payload.len()) else { return };
    let payload_crc = crc32c::crc32c(payload);
    let header = Header { kind, flags: 0, place: 0, seq: 1, payload_bytes, payload_crc };
    let mut bytes = header.encode(seed).to_vec();
    bytes.extend_from_slice(payload);
    bytes.resize(header.span(), 0);
    let (frame, _) = frame::parse(&bytes, seed).expect("a frame made by the rules");
    assert_eq!(frame.payload, payload);
    let payload = Bytes::copy_from_slice(payload);
    if let Ok(Some(Entry::Record { record, .. })) = Entry::decode(kind, &payload) {
        assert!(payload.ends_with(&record.body));
    }
});
