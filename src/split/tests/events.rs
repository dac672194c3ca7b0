//! Single events: every reason, their order, and exact limits.

use super::super::{Limits, Rules, split};
use super::{facts, found};
use crate::model::{Format, Reason, Refusal};

/// Bad events, each between two good ones, and the reason that must be told.
const BAD: &[(Reason, &[&str])] = &[
    (Reason::InvalidJson, &["{", "nope", r#"{"type":"a",}"#, r#"{"type":"a"} 1"#, "{'type':1}"]),
    (Reason::LoneSurrogate, &[r#"{"type":"a","x":"\ud800"}"#, r#"{"\udc00":1}"#]),
    (Reason::NotObject, &["1", "null", "\"type\"", "true"]),
    (Reason::NoType, &["{}", r#"{"type":null}"#, r#"{"Type":"a"}"#, r#"{"props":{"type":"a"}}"#]),
    (
        Reason::BadType,
        &[
            r#"{"type":""}"#,
            r#"{"type":1}"#,
            r#"{"type":"a b"}"#,
            r#"{"type":"\u0061"}"#,
            r#"{"type":"é"}"#,
        ],
    ),
    (
        Reason::BadId,
        &[
            r#"{"type":"a","id":1}"#,
            r#"{"type":"a","id":""}"#,
            r#"{"type":"a","id":"é"}"#,
            r#"{"type":"a","id":"\n"}"#,
            "{\"type\":\"a\",\"id\":\"\u{7f}\"}",
        ],
    ),
    (
        Reason::BadSeq,
        &[
            r#"{"type":"a","seq":"1"}"#,
            r#"{"type":"a","seq":-1}"#,
            r#"{"type":"a","seq":1.0}"#,
            r#"{"type":"a","seq":9007199254740992}"#,
        ],
    ),
    (
        Reason::BadTs,
        &[
            r#"{"type":"a","ts":"2026-01-01"}"#,
            r#"{"type":"a","ts":1e3}"#,
            r#"{"type":"a","ts":-9007199254740992}"#,
        ],
    ),
    (Reason::BadAge, &[r#"{"type":"a","age":-1}"#, r#"{"type":"a","age":true}"#]),
    (
        Reason::BadWeight,
        &[
            r#"{"type":"a","weight":0}"#,
            r#"{"type":"a","weight":-1}"#,
            r#"{"type":"a","weight":1e999}"#,
            r#"{"type":"a","weight":1e-999}"#,
            r#"{"type":"a","weight":"1"}"#,
        ],
    ),
    (
        Reason::ReservedKey,
        &[r#"{"type":"a","_tg":1}"#, r#"{"\u005ftg":null,"type":"a"}"#, r#"{"_\u0074g":{}}"#],
    ),
    (
        Reason::DuplicateKey,
        &[
            r#"{"type":"a","type":"a"}"#,
            r#"{"type":"a","t\u0079pe":"b"}"#,
            r#"{"type":"a","seq":null,"seq":1}"#,
            r#"{"props":{},"type":"a","props":{}}"#,
            r#"{"id":"1","id":"1"}"#,
        ],
    ),
];

#[test]
fn every_reason_is_reached() {
    let long = "t".repeat(129);
    let grown = [
        (Reason::TooDeep, format!(r#"{{"type":"a","props":{}"#, "[".repeat(64))),
        (Reason::TooLarge, format!(r#"{{"type":"a","props":"{}"}}"#, "x".repeat(262_144))),
        (Reason::TooLarge, format!("{{{}", " ".repeat(262_144))),
        (Reason::BadType, format!(r#"{{"type":"{long}"}}"#)),
        (Reason::BadId, format!(r#"{{"type":"a","id":"{long}"}}"#)),
    ];
    let grown = grown.iter().map(|(reason, event)| (*reason, event.as_str()));
    let bad = BAD.iter().flat_map(|(reason, events)| events.iter().map(|event| (*reason, *event)));
    // The other forms' tests have bytes that are not UTF-8, which do not fit into a text here.
    let mut reached = vec![Reason::InvalidUtf8];
    for (reason, event) in bad.chain(grown) {
        let body = format!("{{\"type\":\"first\"}}\n{event}\n{{\"type\":\"last\"}}");
        let kinds = vec!["first".to_owned(), "last".to_owned()];
        assert_eq!(found(&body), (Format::BareLines, kinds, vec![(1, reason)]), "{event}");
        reached.push(reason);
    }
    // Delivery says this one.
    let of_split = Reason::ALL.iter().filter(|reason| **reason != Reason::LaneParked);
    assert!(of_split.into_iter().all(|reason| reached.contains(reason)));
}

#[test]
fn of_several_faults_the_same_one_is_always_told() {
    for (event, reason) in [
        (r#"{"_tg":1,"type":1,"type":2,"seq":-1,"#, Reason::InvalidJson),
        (r#"{"x":"\ud800","y":}"#, Reason::LoneSurrogate),
        (r#"{"y":,"x":"\ud800"}"#, Reason::InvalidJson),
        (r#"{"type":1,"type":2,"_tg":1,"seq":-1}"#, Reason::ReservedKey),
        (r#"{"type":1,"type":2,"seq":-1}"#, Reason::DuplicateKey),
        (r#"{"weight":0,"age":-1,"ts":"","seq":-1,"id":""}"#, Reason::NoType),
        (r#"{"weight":0,"age":-1,"ts":"","seq":-1,"id":"","type":""}"#, Reason::BadType),
        (r#"{"weight":0,"age":-1,"ts":"","seq":-1,"id":"","type":"a"}"#, Reason::BadId),
        (r#"{"weight":0,"age":-1,"ts":"","seq":-1,"type":"a"}"#, Reason::BadSeq),
        (r#"{"weight":0,"age":-1,"ts":"","type":"a"}"#, Reason::BadTs),
        (r#"{"weight":0,"age":-1,"type":"a"}"#, Reason::BadAge),
    ] {
        assert_eq!(found(event).2, [(0, reason)], "{event}");
    }
    let limits = Limits { event_bytes_max: 4, ..Limits::default() };
    let batch = split(b"{\xff,nope}", &facts(), None, &limits, &Rules::default()).unwrap();
    assert_eq!(batch.rejected, [(0, Reason::TooLarge)]);
    assert_eq!(found(b"{\xff,nope}").2, [(0, Reason::InvalidUtf8)]);
}

#[test]
fn limits_of_events_are_exact() {
    let event = br#"{"type":"a"}"#;
    let limits = Limits { event_bytes_max: 12, events_max: 2, ..Limits::default() };
    let cut = |body: &[u8]| split(body, &facts(), None, &limits, &Rules::default());
    for body in [&event[..], b"{\"type\":\"a\"}\r\n", b"[{\"type\":\"a\"} , {\"type\":\"a\"}]"] {
        assert_eq!(cut(body).unwrap().rejected, [], "{}", body.escape_ascii());
    }
    let deep =
        |depth| format!("{{\"type\":\"a\",\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(found(deep(63)).2, []);
    assert_eq!(found(deep(64)).2, [(0, Reason::TooDeep)]);
    assert_eq!(cut(b" {\"type\":\"a\"}").unwrap().rejected, [(0, Reason::TooLarge)]);
    assert_eq!(cut(b"[{\"type\":\"ab\"}]").unwrap().rejected, [(0, Reason::TooLarge)]);
    assert_eq!(cut(b"1\n2\n3").unwrap_err(), Refusal::TooManyEvents(2));
    assert_eq!(cut(b"[1,2,3]").unwrap_err(), Refusal::TooManyEvents(2));
    assert_eq!(cut(b"{\"batch\":[1,2,3]}").unwrap_err(), Refusal::TooManyEvents(2));
    assert_eq!(cut(b"{\"tidegate\":1}\n1\n2\n3").unwrap_err(), Refusal::TooManyEvents(2));
    assert_eq!(cut(b"1\n\n2\n\n").unwrap().rejected.len(), 2);
}
