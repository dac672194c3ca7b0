//! Arrival facts as `tg-*` record headers: text values, a promise to consumers.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use rdkafka::message::{Header, OwnedHeaders};

use crate::model::facts::RECORD_VERSION;
use crate::model::{Coding, Facts, Format, KeyKind};

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

/// Reads what [`pairs`] wrote; says which header is missing or wrong.
pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<Facts, String> {
    let text = |name: &str| header(name).ok_or_else(|| format!("it has no header {name}"));
    let wrong = |name: &str| format!("its header {name} has a value that is not allowed");
    let version: u8 = parsed("tg-v", text("tg-v")?)?;
    if version != RECORD_VERSION {
        return Err(format!("it has version {version}, known is {RECORD_VERSION}"));
    }
    let kinds = [KeyKind::Open, KeyKind::Public, KeyKind::Secret];
    let kind = text("tg-kind")?;
    let codings = [Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Zstd];
    let coding = text("tg-coding")?;
    let formats = [Format::Unknown, Format::Lines, Format::BareLines];
    let formats = formats.into_iter().chain([Format::Array, Format::Object, Format::Wrapper]);
    let (format, made) = (text("tg-format")?, text("tg-made")?);
    let hash = text("tg-rules")?;
    Ok(Facts {
        app: Arc::from(text("tg-app")?),
        key_kind: kinds.into_iter().find(|k| k.name() == kind).ok_or_else(|| wrong("tg-kind"))?,
        address: parsed::<IpAddr>("tg-ip", text("tg-ip")?)?,
        user_agent: text("tg-ua").unwrap_or_default().into(),
        coding: codings
            .into_iter()
            .find(|known| known.name() == coding)
            .ok_or_else(|| wrong("tg-coding"))?,
        format: formats
            .into_iter()
            .find(|known| known.name() == format)
            .ok_or_else(|| wrong("tg-format"))?,
        arrival_ms: parsed("tg-recv", text("tg-recv")?)?,
        sent_ms: header("tg-sent").map(|value| parsed("tg-sent", value)).transpose()?,
        wait_ms: header("tg-wait").map(|value| parsed("tg-wait", value)).transpose()?,
        attempt: parsed("tg-attempt", text("tg-attempt")?)?,
        class: parsed("tg-class", text("tg-class")?)?,
        batch: parsed("tg-batch", text("tg-batch")?)?,
        batch_made: made == "1",
        rules: u64::from_str_radix(hash, 16).map_err(|_| wrong("tg-rules"))?,
        node: parsed("tg-node", text("tg-node")?)?,
    })
}

fn parsed<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("its header {name} has a value that is not allowed"))
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

    #[test]
    fn what_was_written_is_read_back_and_what_is_wrong_is_named() {
        let facts = Facts {
            key_kind: KeyKind::Secret,
            coding: Coding::Zstd,
            format: Format::Wrapper,
            address: IpAddr::from([1; 16]),
            rules: u64::MAX - 1,
            batch_made: false,
            ..Parcel::empty().record.facts
        };
        for facts in [Facts { sent_ms: Some(-1), wait_ms: Some(2), ..facts.clone() }, facts] {
            let written = pairs(&facts);
            let find = |name: &str| {
                let found = written.iter().find(|(known, _)| *known == name)?;
                Some(found.1.as_str())
            };
            assert_eq!(read(find), Ok(facts));
            for (name, _) in written.iter().filter(|(name, _)| *name != "tg-ua") {
                let wrong = |asked: &str| if asked == *name { Some("x") } else { find(asked) };
                let error = read(wrong);
                let any = ["tg-app", "tg-made"].contains(name);
                assert!(any || error.is_err_and(|why| why.contains(name)), "{name}");
                let optional = ["tg-sent", "tg-wait"].contains(name);
                let without = read(|asked| find(asked).filter(|_| asked != *name));
                assert!(optional || without.is_err_and(|why| why.contains(name)), "{name}");
            }
        }
    }
}
