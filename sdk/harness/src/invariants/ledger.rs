//! The ledger: two sums, one identity for each event, and the balance against what arrived.
//!
//! In: reports, `stats()`, what the gateway took. Out: what is against R15, R62, R70, R100-R104,
//! R116.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Evidence, Ledger, option};
use crate::gateway::{Record, Sent};
use crate::world::{POST, PRE};

/// Reports: sums, names, growth.
pub(super) fn reports(record: &Record) -> Vec<String> {
    let mut faults = Vec::new();
    let mut last: BTreeMap<&str, (i64, &Value)> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for sent in &record.sends {
        let Some(report) = sent.report() else {
            faults.push(format!("batch {} has no report", sent.batch()));
            continue;
        };
        if !seen.insert(sent.batch()) {
            continue;
        }
        let place = format!("report of batch {}", sent.batch());
        faults.extend(sums(report).map(|what| format!("{place}: {what}")));
        let highest = sent.events().iter().filter_map(|event| number(event, "seq")).max();
        if highest > Some(field(report, "admitted")) {
            faults.push(format!("{place}: admitted is below the seq {highest:?}"));
        }
        let (reserved, admitted) = (field(report, "reserved"), field(report, "admitted"));
        if report.get("fin").is_some() && reserved < admitted {
            faults.push(format!("{place}: reserved {reserved} is below admitted {admitted}"));
        }
        let held = i64::try_from(sent.count()).unwrap_or(i64::MAX);
        if field(report, "held") < held {
            faults.push(format!("{place}: its own events are not held"));
        }
        // Batches of several classes may overtake each other; `n` says which report is newer.
        let n = field(report, "n");
        let (before, older) = *last.entry(sent.epoch()).or_insert((n, report));
        if n == before && older != report {
            faults.push(format!("{place}: n {n} stands twice"));
        }
        let (new, old) = if n >= before { (report, older) } else { (older, report) };
        faults.extend(falls(new, old).map(|what| format!("{place}: {what} falls")));
        if n > before {
            last.insert(sent.epoch(), (n, report));
        }
    }
    faults
}

/// What of a newer report is lower than in an older one. Only `held` may fall.
fn falls(new: &Value, old: &Value) -> Option<String> {
    if let Some(name) =
        ["tracked", "admitted", "acked"].iter().find(|name| field(new, name) < field(old, name))
    {
        return Some((*name).to_owned());
    }
    ["pre", "post"].iter().find_map(|side| {
        let new = counts(new.get(side).into_iter());
        let mut rows = counts(old.get(side).into_iter()).into_iter();
        let (row, _) =
            rows.find(|(row, count)| new.get(row).copied().unwrap_or_default() < *count)?;
        Some(format!("{} of class {}", row.0, row.1))
    })
}

/// The two sums of a report or of `stats()` (R101), and names that exist.
fn sums(ledger: &Value) -> Option<String> {
    let rows = |side: &str, names: &[&str]| -> Result<i64, String> {
        let mut sum = 0;
        for row in ledger.get(side).and_then(Value::as_array).into_iter().flatten() {
            let name = row.get(0).and_then(Value::as_str).unwrap_or_default();
            let class = row.get(1).and_then(Value::as_i64).unwrap_or(-1);
            if !names.contains(&name) || !(0..=2).contains(&class) {
                return Err(format!("{side} has a row {row}"));
            }
            sum += row.get(2).and_then(Value::as_i64).unwrap_or(0);
        }
        Ok(sum)
    };
    let (pre, post) = match (rows("pre", &PRE), rows("post", &POST)) {
        (Ok(pre), Ok(post)) => (pre, post),
        (Err(what), _) | (_, Err(what)) => return Some(what),
    };
    let [tracked, admitted] = ["tracked", "admitted"].map(|name| field(ledger, name));
    let [acked, held] = ["acked", "held"].map(|name| field(ledger, name));
    if tracked != admitted + pre {
        return Some(format!("tracked {tracked} is not admitted {admitted} + pre {pre}"));
    }
    if admitted != acked + held + post {
        return Some(format!("admitted {admitted} is not acked {acked} + {held} + post {post}"));
    }
    None
}

/// `stats()` of one client: sums and caps.
pub(super) fn stats(ledger: &Ledger, options: &Map<String, Value>) -> Vec<String> {
    let stats = &ledger.stats;
    let mut faults = Vec::new();
    for one in epochs(stats) {
        faults.extend(sums(one).map(|what| format!("stats: {what}")));
    }
    let most = option(options, "queue_bytes_max").unwrap_or(i64::MAX);
    let used = field(stats, "queue_bytes");
    if used > most {
        faults.push(format!("stats: queue of {used} bytes, at most {most}"));
    }
    let store = field(stats, "store_bytes");
    if store > most.saturating_mul(2).saturating_add(1 << 20) {
        faults.push(format!("stats: store of {store} bytes, at most twice {most} and 1 MiB"));
    }
    if field(stats, "in_flight") > 3 {
        faults.push("stats: more than 3 requests in flight".to_owned());
    }
    faults
}

/// `on_drop` was told what the ledger says (R62), with the epochs that the client has closed.
/// Nested calls are counted and not told (R59).
pub(super) fn drops(ledger: &Ledger, closed: Option<&BTreeMap<String, &Value>>) -> Vec<String> {
    let Some(told) = &ledger.drops else { return Vec::new() };
    let told = counts([told].into_iter());
    let mut said = BTreeMap::new();
    let open: BTreeSet<&str> =
        epochs(&ledger.stats).filter_map(|one| one.get("epoch").and_then(Value::as_str)).collect();
    let closed = closed.into_iter().flatten();
    let gone = closed.filter(|(epoch, _)| !open.contains(epoch.as_str())).map(|(_, last)| *last);
    for one in epochs(&ledger.stats).chain(gone) {
        for side in ["pre", "post"] {
            for (row, count) in counts(one.get(side).into_iter()) {
                *said.entry(row).or_insert(0) += count;
            }
        }
    }
    let mut faults = Vec::new();
    for row in said.keys().chain(told.keys()).collect::<BTreeSet<_>>() {
        let of = |map: &BTreeMap<(String, i64), i64>| map.get(row).copied().unwrap_or(0);
        if of(&said) != of(&told) && row.0 != "callback_error" {
            let (name, class) = row;
            let (said, told) = (of(&said), of(&told));
            faults
                .push(format!("{name} of class {class}: counted {said}, on_drop was told {told}"));
        }
    }
    faults
}

fn counts<'a>(lists: impl Iterator<Item = &'a Value>) -> BTreeMap<(String, i64), i64> {
    let mut counts = BTreeMap::new();
    for row in lists.filter_map(Value::as_array).flatten() {
        let name = row.get(0).and_then(Value::as_str).unwrap_or_default().to_owned();
        let class = row.get(1).and_then(Value::as_i64).unwrap_or(-1);
        *counts.entry((name, class)).or_insert(0) +=
            row.get(2).and_then(Value::as_i64).unwrap_or(0);
    }
    counts
}

/// What came was tracked, and each event is one thing: one id, one epoch, one seq.
pub(super) fn identities(evidence: &Evidence<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut by_marker: BTreeMap<i64, (String, String, i64)> = BTreeMap::new();
    let mut by_place: BTreeMap<(String, i64), String> = BTreeMap::new();
    let mut by_id: BTreeMap<String, (String, i64)> = BTreeMap::new();
    for sent in &evidence.record.sends {
        for event in sent.events() {
            let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
            let (id, seq) = (text("id").to_owned(), number(event, "seq").unwrap_or_default());
            let place = (sent.epoch().to_owned(), seq);
            if by_place.entry(place.clone()).or_insert(id.clone()) != &id {
                faults.push(format!("seq {seq} was given to two events"));
            }
            if by_id.entry(id.clone()).or_insert(place.clone()) != &place {
                faults.push(format!("event {id} has two places"));
            }
            let Some(marker) = event.pointer("/props/n").and_then(Value::as_i64) else { continue };
            match evidence.tracked.get(&marker) {
                None => faults.push(format!("event {id} was never tracked ({marker})")),
                Some(kind) if kind != text("type") => {
                    faults.push(format!("event {id} was tracked as {kind}"));
                }
                Some(_) => {}
            }
            let whole = (id.clone(), place.0, seq);
            if by_marker.entry(marker).or_insert(whole.clone()) != &whole {
                faults.push(format!("what was tracked as {marker} travels as two events"));
            }
        }
    }
    faults
}

/// `0 <= arrived - acked <= unconfirmed + held` for every epoch whose ledger is known at the end.
pub(super) fn balance(evidence: &Evidence<'_>) -> Vec<String> {
    let mut arrived: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for taken in &evidence.record.taken {
        arrived.entry(&taken.epoch).or_default().insert(taken.seq);
    }
    let mut known = closed(evidence.record);
    for one in evidence.ledgers.iter().flat_map(|ledger| epochs(&ledger.stats)) {
        if let Some(epoch) = one.get("epoch").and_then(Value::as_str) {
            known.insert(epoch.to_owned(), one);
        }
    }
    let mut faults = Vec::new();
    for (epoch, ledger) in known {
        let arrived = arrived.get(epoch.as_str()).map_or(0, BTreeSet::len);
        let over = i64::try_from(arrived).unwrap_or(i64::MAX) - field(ledger, "acked");
        let open = unconfirmed(ledger) + field(ledger, "held");
        if !(0..=open).contains(&over) {
            faults.push(format!(
                "epoch {epoch}: {arrived} arrived, {} acked, {open} unconfirmed or held",
                field(ledger, "acked")
            ));
        }
    }
    faults
}

/// Last reports by epoch.
pub(super) fn closed(record: &Record) -> BTreeMap<String, &Value> {
    let last = |sent: &'_ Sent| sent.report().is_some_and(|report| report.get("fin").is_some());
    let sends = record.sends.iter().filter(|sent| last(sent));
    sends.filter_map(|sent| Some((sent.epoch().to_owned(), sent.report()?))).collect()
}

fn unconfirmed(ledger: &Value) -> i64 {
    let rows = ledger.get("post").and_then(Value::as_array).into_iter().flatten();
    rows.filter(|row| row.get(0) == Some(&Value::from("unconfirmed")))
        .filter_map(|row| row.get(2).and_then(Value::as_i64))
        .sum()
}

/// The current epoch's ledger, then those of recovered ones.
fn epochs(stats: &Value) -> impl Iterator<Item = &Value> {
    let older = stats.get("older").and_then(Value::as_array).into_iter().flatten();
    std::iter::once(stats).chain(older)
}

fn number(value: &Value, name: &str) -> Option<i64> {
    value.get(name).and_then(Value::as_i64)
}

fn field(value: &Value, name: &str) -> i64 {
    number(value, name).unwrap_or(0)
}
