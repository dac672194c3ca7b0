//! Bodies that nobody would send: every event keeps one place, and nothing panics.

use proptest::prelude::*;

use super::run;
use crate::model::Batch;

/// Pieces of which bodies of any sort of brokenness can be made.
const PARTS: &[&str] = &[
    "{\"tidegate\":1}",
    "{\"tidegate\":1,\"count\":1}",
    "{\"type\":\"a\"}",
    "{\"type\":\"b\",\"props\":{\"x\":[1,2]}}",
    "{\"id\":\"i\",\"seq\":1,\"ts\":2,\"type\":\"c\",\"props\":{}}",
    "{\"batch\":[",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\n",
    "\r\n",
    " ",
    "\\",
    "\\ud800",
    "1",
    "null",
    "\"type\":",
    "{\"type\":\"é\"}",
];

/// Every event of a batch has exactly one place, and all its spans lie in the body.
fn check(body: &[u8], batch: &Batch) -> Result<(), TestCaseError> {
    let mut places: Vec<u32> = batch.events.iter().map(|event| event.index).collect();
    places.extend(batch.rejected.iter().map(|row| row.0));
    prop_assert!(batch.events.is_sorted_by_key(|event| event.index));
    prop_assert!(batch.rejected.is_sorted_by_key(|row| row.0));
    places.sort_unstable();
    prop_assert!(places.iter().copied().eq(0..u32::try_from(places.len()).unwrap()));
    for event in &batch.events {
        let json = event.span.of(body);
        let value: serde_json::Value = serde_json::from_slice(json).unwrap();
        prop_assert_eq!(value["type"].as_str().unwrap().as_bytes(), event.kind.of(body));
        let id = value["id"].as_str().unwrap_or_default();
        prop_assert_eq!(id.as_bytes(), event.id.of(body));
        prop_assert_eq!(value["seq"].as_u64(), event.seq);
        let breaks = json.iter().any(|byte| *byte == b'\n' || *byte == b'\r');
        prop_assert_eq!(event.broken, breaks);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn every_event_of_any_body_has_one_place(
        parts in proptest::collection::vec(prop::sample::select(PARTS), 0..14),
        noise in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut body = parts.concat().into_bytes();
        if let Some((at, byte)) = noise {
            body.insert(at.index(body.len() + 1), byte);
        }
        if let Ok(batch) = run(&body) {
            check(&body, &batch)?;
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(batch) = run(&body) {
            check(&body, &batch)?;
        }
    }

    #[test]
    fn forms_agree_on_any_events(
        events in proptest::collection::vec(
            ("[a-z.]{1,8}", any::<u16>(), any::<String>(), any::<bool>()), 1..6),
    ) {
        let texts: Vec<_> = events.iter().map(|(kind, seq, text, first)| {
            let text = serde_json::to_string(text).unwrap();
            if *first {
                format!("{{\"type\":\"{kind}\",\"seq\":{seq},\"props\":{text}}}")
            } else {
                format!("{{\"props\":{text},\"seq\":{seq},\"type\":\"{kind}\"}}")
            }
        }).collect();
        let bodies = [
            texts.join("\n"),
            format!("{{\"tidegate\":1,\"count\":{}}}\n{}\n", texts.len(), texts.join("\r\n")),
            format!("[{}]", texts.join(",")),
            format!("{{\"batch\" : [\n{}\n]}}", texts.join(" ,\n")),
        ];
        for body in &bodies {
            let batch = run(body).unwrap();
            prop_assert_eq!(&batch.rejected, &[]);
            let spans = batch.events.iter().map(|event| event.span.of(body.as_bytes()));
            prop_assert!(spans.eq(texts.iter().map(String::as_bytes)), "{}", body);
            check(body.as_bytes(), &batch)?;
        }
    }
}
