//! Any query string: never a panic, and a pixel's body is small.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::admit::Query;

fuzz_target!(|text: &str| {
    if let Ok(query) = Query::parse(text)
        && let Ok(body) = query.pixel_body()
    {
        assert!(body.len() <= text.len() + 64);
    }
});
