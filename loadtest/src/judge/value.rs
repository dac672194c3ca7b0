//! Takes a tier-2 value apart: the envelope that the gateway spliced in, and the event behind it.

use flate2::{Decompress, FlushDecompress};
use serde::Deserialize;
use uuid::Uuid;

use crate::batch::Plan;

/// What the gateway says about an event.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    pub id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    app: &'a str,
    batch: &'a str,
    index: u32,
    #[serde(borrow, default)]
    instance: Option<&'a str>,
    #[serde(default)]
    class: Option<u8>,
}

/// The envelope of `{"_tg":{…},"id":…}` and the bytes behind its comma; `None` if it has another
/// form.
pub(super) fn cut(value: &[u8]) -> Option<(Envelope<'_>, &[u8])> {
    let inside = value.strip_prefix(br#"{"_tg":"#)?;
    let (envelope, rest) = inside.split_at_checked(object_end(inside)?)?;
    Some((serde_json::from_slice(envelope).ok()?, rest.strip_prefix(b",")?))
}

/// Which field of the envelope is not what was sent.
pub(super) fn wrong_envelope(
    envelope: &Envelope<'_>,
    plan: &Plan,
    number: u32,
    index: u16,
) -> Option<&'static str> {
    let origin = plan.origin(number);
    [
        (envelope.kind == plan.kind(number, index).name, "envelope type"),
        (envelope.app == origin.app.name, "envelope app"),
        (envelope.batch.parse() == Ok(origin.id), "envelope batch"),
        (envelope.index == u32::from(index), "envelope index"),
        (envelope.instance.is_none_or(|told| told == origin.instance), "envelope instance"),
        (envelope.class.is_none_or(|told| told == origin.class), "envelope class"),
    ]
    .into_iter()
    .find_map(|(right, name)| (!right).then_some(name))
}

/// The batch id that stands in line 1 of a gzipped body.
pub(super) fn batch_id(body: &[u8]) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Header<'a> {
        batch: &'a str,
    }
    let mut text = vec![0; HEADER_BYTES_MAX];
    // The generator writes the shortest gzip header there is.
    let deflated = body.get(GZIP_HEADER_BYTES..)?;
    let mut inflate = Decompress::new(false);
    inflate.decompress(deflated, &mut text, FlushDecompress::None).ok()?;
    let line = text.split(|byte| *byte == b'\n').next()?;
    serde_json::from_slice::<Header<'_>>(line).ok()?.batch.parse().ok()
}

/// One past the brace that closes the object at the beginning.
fn object_end(text: &[u8]) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' => depth += 1,
            b'}' if depth <= 1 => return (depth == 1).then_some(at + 1),
            b'}' => depth -= 1,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

const GZIP_HEADER_BYTES: usize = 10;
const HEADER_BYTES_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_an_object() {
        for (text, end) in [
            (r"{},", Some(2)),
            (r#"{"a":{"b":"}\"}"}},"c":1}"#, Some(18)),
            (r#"{"a":"\\"},x"#, Some(10)),
            (r#"{"a":1"#, None),
            (r#""text""#, None),
            (r"7", None),
            ("}", None),
        ] {
            assert_eq!(object_end(text.as_bytes()), end, "{text}");
        }
    }

    #[test]
    fn values_of_another_form_are_not_cut() {
        for text in ["", "{}", r#"{"id":"x"}"#, r#"{"_tg":{}}"#, r#"{"_tg":{},"id":1}"#] {
            assert!(cut(text.as_bytes()).is_none(), "{text}");
        }
    }
}
