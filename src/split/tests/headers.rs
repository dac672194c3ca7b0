//! The header line: what it says, and why it is refused.

use super::super::{Limits, Rules, split};
use super::{ID, facts, refusal, run};
use crate::model::{Facts, Format, Refusal};

#[test]
fn a_batch_of_an_sdk_is_read_whole() {
    let header = format!(
        concat!(
            r#"{{"tidegate":1,"batch":"{}","sdk":"js/1.2.0","instance":"i-1","epoch":"e-1","#,
            r#""class":2,"count":2,"config":7,"context":{{"os":"x"}},"report":{{"n":1}},"new":[]}}"#
        ),
        ID
    );
    let first = r#"{"id":"e1","seq":41,"ts":1767225599800,"type":"page.view","props":{"p":"/x"}}"#;
    let second = concat!(
        r#"{"id":"e2","seq":42,"ts":1767225599955,"age":2000,"type":"error","weight":4,"#,
        r#""props":{}}"#
    );
    let body = format!("{header}\n{first}\n{second}\n");
    let told = Facts { wait_ms: Some(500), ..facts() };
    let limits = Limits::default();
    let batch = split(body.as_bytes(), &told, Some(2), &limits, &Rules::default()).unwrap();
    assert_eq!(
        (batch.format, batch.id.to_string(), batch.id_made),
        (Format::Lines, ID.into(), false)
    );
    let text = |span: crate::model::Span| std::str::from_utf8(span.of(body.as_bytes())).unwrap();
    let of = &batch.header;
    assert_eq!((text(of.sdk), text(of.instance), text(of.epoch)), ("js/1.2.0", "i-1", "e-1"));
    assert_eq!((text(of.context), text(of.report)), (r#"{"os":"x"}"#, r#"{"n":1}"#));
    assert_eq!((of.class, of.config), (Some(2), Some(7)));
    assert_eq!(batch.rejected, []);
    let [one, two] = &batch.events[..] else { panic!("{:?}", batch.events) };
    assert_eq!((text(one.span), text(two.span)), (first, second));
    assert_eq!((text(one.id), text(one.kind), one.seq), ("e1", "page.view", Some(41)));
    assert_eq!((one.ts_ms, two.ts_ms), (told.arrival_ms - 500, told.arrival_ms - 2_500));
    assert!(one.weight.total_cmp(&1.0).is_eq() && two.weight.total_cmp(&4.0).is_eq());
    assert!(!one.broken && !two.broken && one.filtered_by.is_none());
    assert_eq!((one.index, two.index), (0, 1));
}

#[test]
fn headers_are_judged_as_the_protocol_says() {
    assert!(run("{\"tidegate\":1,\"count\":0,\"report\":{}}").unwrap().events.is_empty());
    assert!(run("{\"tidegate\":1}\n\n").unwrap().rejected.is_empty());
    assert_eq!(run("{\"ti\\u0064egate\":1}\n{\"type\":\"a\"}").unwrap().format, Format::Lines);
    for nulls in ["batch", "sdk", "instance", "epoch", "class", "count", "config", "context"] {
        assert!(run(format!("{{\"tidegate\":1,\"{nulls}\":null}}")).is_ok(), "{nulls}");
    }
    for (body, expected) in [
        ("{\"tidegate\":2,\"batch\":7}", Refusal::Version(1)),
        ("{\"tidegate\":9007199254740991,", Refusal::Version(1)),
        ("{\"tidegate\":1,\"count\":2}\n{}", Refusal::Count { said: 2, is: 1 }),
        ("{\"tidegate\":1,\"count\":0}\nnope", Refusal::Count { said: 0, is: 1 }),
        ("", Refusal::Empty),
        (" \r\n\t\n", Refusal::Empty),
        ("[ ]", Refusal::Empty),
        ("{\"batch\":[]}", Refusal::Empty),
    ] {
        assert_eq!(refusal(body), expected, "{body}");
    }
    for body in [
        "{\"tidegate\":1",
        "{\"tidegate\":",
        "{\"tidegate\":1}{\"type\":\"a\"}",
        "{\"tidegate\":1,\n\"count\":0}",
        "{\n\"tidegate\":1}",
        "{\"tidegate\":\"1\"}",
        "{\"tidegate\":0}",
        "{\"tidegate\":null}",
        "{\"tidegate\":1.5}",
        "{\"tidegate\":1,\"tidegate\":1}",
        "{\"tidegate\":1,\"count\":0,\"count\":0}",
        "{\"tidegate\":1,\"batch\":\"7\"}",
        "{\"tidegate\":1,\"batch\":\"0198a7c15b7e7cc29d5e0a1b2c3d4e5f\"}",
        "{\"tidegate\":1,\"batch\":\"{198a7c1-5b7e-7cc2-9d5e-0a1b2c3d4e5}\"}",
        "{\"tidegate\":1,\"batch\":7}",
        "{\"tidegate\":1,\"class\":3}",
        "{\"tidegate\":1,\"class\":\"1\"}",
        "{\"tidegate\":1,\"count\":-1}",
        "{\"tidegate\":1,\"config\":\"7\"}",
        "{\"tidegate\":1,\"sdk\":7}",
        "{\"tidegate\":1,\"context\":[]}",
        "{\"tidegate\":1,\"report\":1}",
        "{\"tidegate\":1,\"sdk\":\"\\ud800\"}",
    ] {
        assert!(matches!(refusal(body), Refusal::Header(_)), "{body}: {:?}", refusal(body));
    }
    let invalid = run(b"{\"tidegate\":1,\"sdk\":\"\xff\"}\n{\"type\":\"a\"}").unwrap_err();
    assert_eq!(invalid, Refusal::Header("it is not UTF-8"));
}

#[test]
fn headers_have_sizes() {
    let filled = |key: &str, bytes: usize| {
        // `{"x":""}` takes eight bytes of it.
        format!("{{\"tidegate\":1,\"{key}\":{{\"x\":\"{}\"}}}}", "x".repeat(bytes - 8))
    };
    for (what, key) in [("context", "context"), ("report", "report")] {
        assert!(run(filled(key, 4_096)).is_ok());
        let expected = Refusal::HeaderTooLarge { what, limit: 4_096 };
        assert_eq!(refusal(&filled(key, 4_097)), expected);
    }
    let line = |bytes: usize| filled("other", bytes - filled("other", 8).len() + 8);
    assert_eq!(line(16_384).len(), 16_384);
    assert!(run(line(16_384)).is_ok());
    let expected = Refusal::HeaderTooLarge { what: "header line", limit: 16_384 };
    assert_eq!(refusal(&line(16_385)), expected);
    assert_eq!(refusal(&line(20_000).replace(":1,", ":2,")), Refusal::Version(1));
}

#[test]
fn query_and_header_have_to_agree_on_the_class() {
    let body = b"{\"tidegate\":1,\"class\":2}\n";
    let with = |query| split(body, &facts(), query, &Limits::default(), &Rules::default());
    assert!(with(None).is_ok() && with(Some(2)).is_ok());
    assert_eq!(with(Some(0)).unwrap_err(), Refusal::ClassConflict { query: 0, header: 2 });
    let bare = split(b"{\"type\":\"a\"}", &facts(), Some(0), &Limits::default(), &Rules::default());
    assert!(bare.is_ok());
}
