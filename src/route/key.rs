//! The partition key of one event.

use super::table::Key;
use crate::json;
use crate::model::Span;

/// Appends the key of `event` to `keys`; an empty span stands for no key.
pub(super) fn append(key: &Key, event: &[u8], instance: &str, keys: &mut Vec<u8>) -> Span {
    let start = keys.len();
    match key {
        Key::None => {}
        Key::Instance => return shared_instance(instance, keys),
        Key::Field(path) => match json::field(event, path) {
            Some([b'"', text @ .., b'"']) => {
                keys.extend_from_slice(json::unescape(text).as_bytes());
            }
            Some(number) if !matches!(number.first(), Some(b'{' | b'[' | b'n')) => {
                keys.extend_from_slice(number);
            }
            _ => return shared_instance(instance, keys),
        },
    }
    span(start, keys.len())
}

/// All events of a batch share one copy of the instance, at the front of `keys`.
fn shared_instance(instance: &str, keys: &[u8]) -> Span {
    debug_assert!(keys.starts_with(instance.as_bytes()));
    span(0, instance.len())
}

pub(super) fn span(start: usize, end: usize) -> Span {
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { start: narrow(start), end: narrow(end) }
}
