//! Arrival facts as `tg-*` record headers: text values, a promise to consumers.

use rdkafka::message::{Header, OwnedHeaders};

use crate::model::Facts;
use crate::model::facts::RECORD_VERSION;

/// The facts as pairs of header name and text, in their fixed order.
pub fn pairs(facts: &Facts) -> Vec<(&'static str, String)> {
    let mut pairs = vec![
        ("tg-v", RECORD_VERSION.to_string()),
        ("tg-app", facts.app.to_string()),
        ("tg-kind", facts.key_kind.name().to_owned()),
        ("tg-ip", facts.address.to_string()),
        ("tg-ua", facts.user_agent.to_string()),
        ("tg-coding", facts.coding.name().to_owned()),
        ("tg-format", facts.format.name().to_owned()),
        ("tg-recv", facts.arrival_ms.to_string()),
    ];
    pairs.extend(facts.sent_ms.map(|ms| ("tg-sent", ms.to_string())));
    pairs.extend(facts.wait_ms.map(|ms| ("tg-wait", ms.to_string())));
    pairs.extend([
        ("tg-attempt", facts.attempt.to_string()),
        ("tg-class", facts.class.to_string()),
        ("tg-batch", facts.batch.to_string()),
        ("tg-made", u8::from(facts.batch_made).to_string()),
        ("tg-rules", format!("{:016x}", facts.rules)),
        ("tg-node", facts.node.to_string()),
    ]);
    pairs
}

/// Headers of a raw record, with room for `more`.
pub(super) fn facts(facts: &Facts, more: usize) -> OwnedHeaders {
    let pairs = pairs(facts);
    let headers = OwnedHeaders::new_with_capacity(pairs.len() + more);
    pairs.iter().fold(headers, |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value.as_str()) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Parcel;

    #[test]
    fn names_and_texts_are_pinned() {
        let facts = Facts { sent_ms: Some(1), wait_ms: Some(2), ..Parcel::empty().record.facts };
        let text: Vec<_> =
            pairs(&facts).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let golden = "tg-v=1 tg-app=demo tg-kind=open tg-ip=127.0.0.1 tg-ua= tg-coding=identity \
                      tg-format=bare_lines tg-recv=1767225600000 tg-sent=1 tg-wait=2 tg-attempt=0 \
                      tg-class=1 tg-batch=00000000-0000-0000-0000-000000000000 tg-made=1 \
                      tg-rules=0000000000000000 tg-node=00000000-0000-0000-0000-000000000000";
        assert_eq!(text.join(" "), golden);
    }
}
