//! Batches as an SDK seals them: a header line, then one event a line, ids and all.

use std::collections::BTreeMap;

use uuid::Uuid;

/// A sealed batch and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) id: Uuid,
    pub(crate) body: Vec<u8>,
    pub(crate) ids: Vec<String>,
}

/// Types of made-up events, in turn.
pub(crate) const KINDS: [&str; 5] = ["page.view", "click", "error", "cart.add", "scroll"];

/// A batch of new events from one instance.
pub(crate) fn sealed(instance: &str, events: usize) -> Sealed {
    let id = Uuid::now_v7();
    let ids: Vec<String> = (0..events).map(|_| Uuid::now_v7().to_string()).collect();
    let epoch = Uuid::now_v7();
    let mut body = format!(
        r#"{{"tidegate":1,"batch":"{id}","sdk":"suite/1","instance":"{instance}","epoch":"{epoch}","#
    );
    let rest = format!(r#""class":1,"count":{events},"context":{{"os":"x"}}}}"#);
    body.extend([&rest, "\n"]);
    for (event, seq) in ids.iter().zip(1..) {
        let kind = KINDS[seq % KINDS.len()];
        let envelope = format!(r#"{{"id":"{event}","seq":{seq},"type":"{kind}","#);
        let props = format!(r#""props":{{"n":{seq},"x":"é\u00e9\\"}}}}"#);
        body.extend([&envelope, &props, "\n"]);
    }
    Sealed { id, body: body.into_bytes(), ids }
}

/// Says what is wrong if not every id was found exactly once, and nothing else.
pub(crate) fn exactly_once<'a>(
    sent: impl IntoIterator<Item = &'a String>,
    found: impl IntoIterator<Item = String>,
) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for id in found {
        *counts.entry(id).or_default() += 1;
    }
    let sent: Vec<_> = sent.into_iter().collect();
    let missing = sent.iter().filter(|id| !counts.contains_key(**id)).count();
    let twice = counts.values().filter(|count| **count > 1).count();
    let alien = counts.keys().filter(|id| !sent.contains(id)).count();
    let all = sent.len();
    assert_eq!((missing, twice, alien), (0, 0, 0), "missing, twice, alien of {all}");
}
