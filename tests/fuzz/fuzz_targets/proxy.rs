//! See `front::proxy_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::front::proxy_header(data));
