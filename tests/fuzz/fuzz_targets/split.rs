//! Any inflated body: never a panic; every event has one place; kept events become valid JSON lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::model::Parcel;
use tidegate::{json, route, split};

fuzz_target!(|data: &[u8]| {
    let facts = Parcel::empty().record.facts;
    let rules = split::Rules::compile(&[]).expect("no rules");
    let Ok(batch) = split::split(data, &facts, None, &split::Limits::default(), &rules) else {
        return;
    };
    let mut places: Vec<u32> = batch.events.iter().map(|event| event.index).collect();
    places.extend(batch.rejected.iter().map(|(index, _)| *index));
    places.sort_unstable();
    assert!(places.iter().copied().eq(0..places.len() as u32));
    let table = route::Table::compile(&[], "t").expect("no routes");
    if let Ok(routed) = route::route(&batch, data, &facts, &table, 64 << 20) {
        for row in &routed.rows {
            let value = row.value.of(&routed.values);
            assert!(std::str::from_utf8(value).is_ok() && !value.contains(&b'\n'));
            assert_eq!(json::validate(value), Ok(()));
        }
    }
});
