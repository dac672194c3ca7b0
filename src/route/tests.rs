//! The shape of tier 2 is a promise: values, keys and lanes, to the byte.

use std::sync::Arc;

use uuid::Uuid;

use super::{Error, Route, Table, route};
use crate::model::{Batch, Event, Facts, Format, Header, LaneId, Parcel, Refusal, Routed, Span};

fn table(routes: &[(&str, &str, &str)]) -> Result<Table, Error> {
    let routes: Vec<Route> = routes
        .iter()
        .map(|(types, lane, key)| Route {
            types: types
                .split(' ')
                .map(|text| text.to_owned().try_into().expect("valid"))
                .collect(),
            lane: (*lane).to_owned(),
            key: (*key).to_owned(),
        })
        .collect();
    Table::compile(&routes, "tidegate")
}

/// The span of `part` in `body`.
fn span(body: &str, part: &str) -> Span {
    let start = body.find(part).unwrap_or_else(|| panic!("{part:?} in {body:?}"));
    let narrow = |at: usize| u32::try_from(at).expect("small");
    Span { start: narrow(start), end: narrow(start + part.len()) }
}

const HEADER: &str = r#"{"tidegate":1,"instance":"i-\u0031","epoch":"e-1","context":{"os":"x"}}"#;
const FIRST: &str = r#"{"id":"0198","type":"page.view","props":{"user":"u\u0031","n":1e3}}"#;
const SECOND: &str = "{ \"type\":\"click\",\r\n\"props\":{}}";

fn routed(table: &Table, output_bytes_max: u64) -> Result<Routed, Refusal> {
    let body = [HEADER, FIRST, SECOND].join("\n");
    let header = Header {
        instance: span(&body, r"i-\u0031"),
        epoch: span(&body, "e-1"),
        context: span(&body, r#"{"os":"x"}"#),
        ..Header::default()
    };
    let event = |index, text, id, kind, weight| Event {
        index,
        span: span(&body, text),
        broken: text == SECOND,
        id,
        kind: span(&body, kind),
        seq: None,
        ts_ms: 1_767_225_599_800 + i64::from(index),
        weight,
        filtered_by: None,
    };
    let first = event(0, FIRST, span(&body, "0198"), "page.view", 1.0);
    let second = event(2, SECOND, Span::default(), "click", 2.5);
    let filtered = Event { filtered_by: Some(0), index: 1, ..first.clone() };
    let batch = Batch {
        format: Format::Lines,
        id: Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001),
        id_made: false,
        header,
        events: vec![first, filtered, second],
        rejected: Vec::new(),
    };
    let facts = Facts { rules: 0xabc, ..Parcel::empty().record.facts };
    route(&batch, body.as_bytes(), &facts, table, output_bytes_max)
}

#[test]
fn values_are_pinned_to_the_byte() {
    let routed = routed(&table(&[("page.*", "Page", "props.user")]).expect("valid"), 4_096);
    let routed = routed.expect("small");
    let shared = concat!(
        r#","instance":"i-\u0031","epoch":"e-1","rules":"0000000000000abc","#,
        r#""node":"00000000-0000-0000-0000-000000000000","ctx":{"os":"x"}},"#
    );
    let middle = concat!(
        r#","class":1,"recv":1767225600000,"app":"demo","ip":"127.0.0.1","#,
        r#""batch":"01980000-0000-7000-8000-000000000001","index":"#
    );
    let first = format!(
        r#"{{"_tg":{{"v":1,"id":"0198","type":"page.view","ts":1767225599800,"weight":1{middle}0{shared}{}"#,
        &FIRST[1..]
    );
    let second = format!(
        r#"{{"_tg":{{"v":1,"id":"5c1ad1ad-e973-588f-b4e4-cfe7a95449d9","type":"click","ts":1767225599802,"weight":2.5{middle}2{shared} "type":"click","props":{{}}}}"#,
    );
    let text = String::from_utf8(routed.values.clone()).expect("UTF-8");
    assert_eq!(text, format!("{first}\n{second}\n"));
    let cut = |span: Span| String::from_utf8_lossy(span.of(&routed.values)).into_owned();
    let key = |span: Span| String::from_utf8_lossy(span.of(&routed.keys)).into_owned();
    let rows: Vec<_> = routed
        .rows
        .iter()
        .map(|row| (row.index, row.lane, cut(row.kind), key(row.key), row.ts_ms))
        .collect();
    let page = (0, LaneId(1), "page.view".into(), "u1".into(), 1_767_225_599_800);
    let other = (2, LaneId::OTHER, "click".into(), "i-1".into(), 1_767_225_599_802);
    assert_eq!(rows, [page, other]);
    assert_eq!(routed.rows.first().map(|row| cut(row.value)), Some(first));
    assert_eq!(routed.lanes[1].topic, "tidegate.event.page");
    let own = Span { start: routed.rows[0].own_start, end: routed.rows[0].value.end };
    assert_eq!(cut(own), FIRST[1..]);
}

#[test]
fn output_is_counted_before_it_is_written() {
    let table = table(&[]).expect("valid");
    assert_eq!(routed(&table, 500).map(drop), Err(Refusal::OutputTooLarge(500)));
}

#[test]
fn the_first_route_that_matches_decides() {
    let routes = [
        ("click", "c", "none"),
        ("a.* click", "a", "instance"),
        ("a.b", "b", "x.y"),
        ("*", "rest", "instance"),
    ];
    let table = table(&routes).expect("valid");
    for (kind, route, lane) in [
        ("click", Some(0), "c"),
        ("a.x", Some(1), "a"),
        ("a.b", Some(1), "a"),
        ("z", Some(3), "rest"),
    ] {
        let target = table.target(kind);
        let name = &table.lanes()[usize::from(target.lane.0)].name;
        assert_eq!((target.route, name.as_str()), (route, lane), "{kind}");
    }
    let empty: Arc<[_]> = Arc::clone(self::table(&[]).expect("valid").lanes());
    assert_eq!(empty[0].topic, "tidegate.event.other");
}

#[test]
fn lanes_that_cannot_be_topics_are_refused() {
    for lane in ["", "a b", "a_b", ".a", "a.", "ä", &"x".repeat(81)] {
        assert!(
            matches!(table(&[("a", lane, "none")]), Err(Error::Lane { at: 1, .. })),
            "{lane:?}"
        );
    }
    assert!(matches!(table(&[("a", "a", "a..b")]), Err(Error::Key { .. })));
    let table = table(&[("a", "Page", "none"), ("b", "page", "none")]).expect("case is folded");
    assert_eq!(table.lanes().len(), 2);
}
