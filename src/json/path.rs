//! One field of an event by its dotted path.
//!
//! In: text that is already known to be valid JSON, and the keys on the way. Out: the raw value, or
//! nothing when a key is missing or something on the way is no object.

use super::{Members, Scanner, text_is};

/// The raw value at `path`; of repeated keys the first counts, and keys are compared decoded.
pub fn field<'a>(json: &'a [u8], path: &[String]) -> Option<&'a [u8]> {
    let mut scanner = Scanner::anywhere();
    let mut found = json.get(scanner.blanks(json, 0)..)?;
    for key in path {
        let mut members = Members::open(found, 0, &mut scanner).ok()?;
        found = loop {
            let member = members.advance().ok()??;
            if text_is(member.key, key) {
                break member.value;
            }
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_raw_values() {
        let json = br#" {"type":"a","props":{"x":1,"caf\u00e9":{"y":"z"},"x":2},"l":[{"x":1}]}"#;
        for (path, expected) in [
            ("type", Some(r#""a""#)),
            ("props.x", Some("1")),
            ("props.café.y", Some(r#""z""#)),
            ("l", Some(r#"[{"x":1}]"#)),
            ("l.x", None),
            ("props.none", None),
            ("type.a", None),
        ] {
            let path: Vec<_> = path.split('.').map(str::to_owned).collect();
            let found = field(json, &path).map(|raw| std::str::from_utf8(raw).unwrap());
            assert_eq!(found, expected, "{path:?}");
        }
    }
}
