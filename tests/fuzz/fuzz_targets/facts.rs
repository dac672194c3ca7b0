//! Any stored facts: never a panic, and what can be read is written back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::model::Facts;

fuzz_target!(|data: &[u8]| {
    if let Ok(facts) = Facts::decode(data) {
        let mut bytes = Vec::new();
        facts.encode(&mut bytes);
        assert_eq!(Facts::decode(&bytes), Ok(facts));
    }
});
