//! See `front::forwarded`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::front::forwarded(data));
