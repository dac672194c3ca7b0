//! The scanner against serde_json: both must take and refuse the same texts.
//!
//! Known differences, by intent: nesting deeper than 64 is refused here, and serde_json looks at
//! surrogates only when it decodes a string, which skipping a value does not do.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Number, Value};

use super::*;

#[test]
fn depth_ends_at_64() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nest = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(validate(nest(64).as_bytes()), Ok(()));
        assert_eq!(validate(nest(65).as_bytes()), Err(Fault::Depth(64 * open.len())));
        assert!(matches!(validate(nest(100_000).as_bytes()), Err(Fault::Depth(_))));
    }
}

#[test]
fn well_known_texts_are_judged_by_the_standard() {
    for (text, valid) in [
        ("null", true),
        (" [ ] ", true),
        ("{\"a\":[{},[],\"\",0,true,false,null]}", true),
        ("\u{feff}{}", false),
        ("", false),
        (" ", false),
        ("[1,]", false),
        ("[,1]", false),
        ("[1 2]", false),
        ("[1}", false),
        ("{\"a\":1]", false),
        ("{\"a\" 1}", false),
        ("{1:2}", false),
        ("nul", false),
        ("nulll", false),
        ("true false", false),
        ("'a'", false),
        ("NaN", false),
        ("[\"\t\"]", false),
        ("\u{a0}1", false),
        ("[1]\0", false),
    ] {
        assert_eq!(validate(text.as_bytes()).is_ok(), valid, "{text:?}");
        assert_eq!(serde_accepts(text), valid, "{text:?}");
    }
}

fn serde_accepts(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Says whether both judge alike, but for the documented differences.
fn agree(text: &str) -> Result<(), TestCaseError> {
    match validate(text.as_bytes()) {
        Ok(()) => prop_assert!(serde_accepts(text), "only we accept {text:?}"),
        Err(Fault::Depth(_)) => {}
        Err(Fault::LoneSurrogate(_)) => {
            // Decoding the strings makes serde_json see the surrogate or an earlier fault.
            prop_assert!(serde_json::from_str::<Value>(text).is_err(), "{text:?}");
        }
        Err(fault) => prop_assert!(!serde_accepts(text), "only serde accepts {text:?}: {fault}"),
    }
    Ok(())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| Number::from_f64(n).map_or(Value::Null, Value::Number)),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\/\u{0}-\u{1f}é😀]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|rows| Value::Object(rows.into_iter().collect())),
        ]
    })
}

fn any_text() -> impl Strategy<Value = String> {
    (any_json(), any::<bool>())
        .prop_map(|(value, pretty)| if pretty { format!("{value:#}") } else { value.to_string() })
}

/// What mutations put in: the bytes that mean something, and escapes whole.
const SPICE: &[&str] = &[
    "{", "}", "[", "]", "\"", ":", ",", "\\", "0", "-", ".", "e", "1", " ", "\n", "\r", "\t", "\0",
    "\\u", "\\ud83d", "\\ude00", "\\u0041", "\\n", "\\x", "true", "null", "fals", "é", "\u{feff}",
    "/", "+", "\u{7f}", "\u{85}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn generated_json_is_accepted(text in any_text()) {
        prop_assert_eq!(validate(text.as_bytes()), Ok(()));
    }

    #[test]
    fn mutated_json_is_judged_as_serde_judges_it(
        text in any_text(),
        edits in proptest::collection::vec(
            (any::<prop::sample::Index>(), any::<bool>(), 0..3_usize, prop::sample::select(SPICE)),
            1..4,
        ),
    ) {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, structural, cut, spice) in edits {
            let places: Vec<_> = (0..chars.len())
                .filter(|place| !structural || "{}[]:,\"\\".contains(chars[*place]))
                .collect();
            let at = if places.is_empty() { 0 } else { places[at.index(places.len())] };
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, spice.chars());
        }
        agree(&chars.into_iter().collect::<String>())?;
    }

    #[test]
    fn soups_of_tokens_are_judged_as_serde_judges_them(
        parts in proptest::collection::vec(prop::sample::select(SPICE), 0..12),
    ) {
        agree(&parts.concat())?;
    }

    #[test]
    fn strings_mean_what_serde_says(text in any::<String>(), ascii in any::<bool>()) {
        let mut quoted = serde_json::to_string(&text).unwrap();
        if ascii {
            quoted = quoted.encode_utf16().map(|unit| match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
                _ => format!("\\u{unit:04x}"),
            }).collect();
        }
        prop_assert_eq!(validate(quoted.as_bytes()), Ok(()));
        let raw = &quoted.as_bytes()[1..quoted.len() - 1];
        prop_assert_eq!(unescape(raw), text.as_str());
        prop_assert!(text_is(raw, &text));
    }

    #[test]
    fn no_bytes_make_the_scanner_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if validate(&bytes).is_ok() && let Ok(text) = std::str::from_utf8(&bytes) {
            prop_assert!(serde_accepts(text));
        }
    }
}
