//! One bad event between two good ones: the good ones are always accepted.

use super::{OK, Row};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = texts();
    rows.extend(depths());
    rows.extend(envelopes());
    rows.extend(odd());
    rows
}

/// The event in the middle of three lines, and what becomes of it.
fn amid(name: &'static str, event: impl AsRef<[u8]>, reason: &'static str) -> Row {
    let body = [OK.as_bytes(), b"\n", event.as_ref(), b"\n", OK.as_bytes(), b"\n"].concat();
    Row::taken(name, body, &[(1, reason)], 2)
}

/// A text that is odd and right.
fn kept(name: &'static str, event: impl AsRef<[u8]>) -> Row {
    let body = [OK.as_bytes(), b"\n", event.as_ref(), b"\n", OK.as_bytes(), b"\n"].concat();
    Row::taken(name, body, &[], 3)
}

fn texts() -> Vec<Row> {
    vec![
        amid("NUL in a string", b"{\"type\":\"ok\",\"x\":\"a\0b\"}", "invalid_json"),
        amid("NUL between tokens", b"{\"type\":\"ok\"\0}", "invalid_json"),
        amid("tab in a string", b"{\"type\":\"ok\",\"x\":\"a\tb\"}", "invalid_json"),
        amid("broken UTF-8", b"{\"type\":\"ok\",\"x\":\"\xff\xfe\"}", "invalid_utf8"),
        amid("UTF-8 cut at the line's end", b"{\"type\":\"ok\",\"x\":\"\xe2\x82", "invalid_utf8"),
        amid("overlong UTF-8", b"{\"type\":\"ok\",\"x\":\"\xc0\xaf\"}", "invalid_utf8"),
        amid("surrogate as UTF-8", b"{\"type\":\"ok\",\"x\":\"\xed\xa0\x80\"}", "invalid_utf8"),
        amid("lone surrogate", br#"{"type":"ok","x":"\ud800"}"#, "lone_surrogate"),
        amid(
            "surrogates the wrong way round",
            br#"{"type":"ok","x":"\udc00\ud800"}"#,
            "lone_surrogate",
        ),
        amid("unknown escape", br#"{"type":"ok","x":"\x41"}"#, "invalid_json"),
        amid("single quotes", b"{'type':'ok'}", "invalid_json"),
        amid("NaN", br#"{"type":"ok","x":NaN}"#, "invalid_json"),
        amid("number with a leading zero", br#"{"type":"ok","x":01}"#, "invalid_json"),
        amid("comment", br#"{"type":"ok"/*,"x":1*/}"#, "invalid_json"),
        amid("comma behind the last member", br#"{"type":"ok",}"#, "invalid_json"),
        amid("event that does not end", br#"{"type":"ok","x":"#, "invalid_json"),
        amid("a list as an event", br#"[{"type":"ok"}]"#, "not_object"),
        amid("a string as an event", br#""ok""#, "not_object"),
    ]
}

fn depths() -> Vec<Row> {
    let nested = |depth: usize| {
        // The event's own object is the first level.
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!(r#"{{"type":"ok","x":{open}{close}}}"#)
    };
    let large = |bytes: usize| {
        let frame = r#"{"type":"ok","x":""}"#.len();
        format!(r#"{{"type":"ok","x":"{}"}}"#, "x".repeat(bytes - frame))
    };
    vec![
        kept("64 levels deep", nested(64)),
        amid("65 levels deep", nested(65), "too_deep"),
        amid("100,000 levels deep", nested(100_000), "too_deep"),
        kept("event of 256 KiB", large(262_144)),
        amid("event of 256 KiB and a byte", large(262_145), "too_large"),
    ]
}

fn envelopes() -> Vec<Row> {
    let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(129));
    let long_id = format!(r#"{{"type":"ok","id":"{}"}}"#, "x".repeat(129));
    vec![
        amid("no type", br#"{"props":{"type":"ok"}}"#, "no_type"),
        amid("type null", br#"{"type":null}"#, "no_type"),
        amid("type that is a number", br#"{"type":7}"#, "bad_type"),
        amid("empty type", br#"{"type":""}"#, "bad_type"),
        amid("type with a blank", br#"{"type":"a b"}"#, "bad_type"),
        amid("type that leads out of a folder", br#"{"type":"../../etc"}"#, "bad_type"),
        amid("type with an escape", br#"{"type":"\u0061"}"#, "bad_type"),
        amid("type of 129 characters", long, "bad_type"),
        amid("id that is a number", br#"{"type":"ok","id":7}"#, "bad_id"),
        amid("empty id", br#"{"type":"ok","id":""}"#, "bad_id"),
        amid("id with an escape", br#"{"type":"ok","id":"a\"b"}"#, "bad_id"),
        amid("id of 129 characters", long_id, "bad_id"),
        amid("seq -1", br#"{"type":"ok","seq":-1}"#, "bad_seq"),
        amid("seq 1.0", br#"{"type":"ok","seq":1.0}"#, "bad_seq"),
        amid("ts 2^53", br#"{"type":"ok","ts":9007199254740992}"#, "bad_ts"),
        amid("ts as text", br#"{"type":"ok","ts":"2026-01-01"}"#, "bad_ts"),
        amid("age -1", br#"{"type":"ok","age":-1}"#, "bad_age"),
        amid("weight 0", br#"{"type":"ok","weight":0}"#, "bad_weight"),
        amid("weight beyond a double", br#"{"type":"ok","weight":1e400}"#, "bad_weight"),
        amid("forged _tg", br#"{"type":"ok","_tg":{"app":"x"}}"#, "reserved_key"),
        amid("forged _tg, escaped", br#"{"type":"ok","\u005ftg":{"app":"x"}}"#, "reserved_key"),
        amid("type twice", br#"{"type":"ok","type":"other"}"#, "duplicate_key"),
        amid("type twice, once escaped", br#"{"type":"ok","\u0074ype":"other"}"#, "duplicate_key"),
        amid("props twice", br#"{"type":"ok","props":{},"props":{}}"#, "duplicate_key"),
    ]
}

fn odd() -> Vec<Row> {
    let digits = "9".repeat(5_000);
    vec![
        kept("numbers beyond a double, in props", br#"{"type":"ok","props":{"x":1e400}}"#),
        kept("a number of 5,000 digits", format!(r#"{{"type":"ok","props":{{"x":{digits}}}}}"#)),
        kept("a key of its own that stands twice", br#"{"type":"ok","x":1,"x":2}"#),
        kept("_tg below the top level", br#"{"type":"ok","props":{"_tg":1}}"#),
        kept("the year 285,428,751", br#"{"type":"ok","ts":9007199254740991}"#),
        kept("a time before 1970", br#"{"type":"ok","ts":-1}"#),
        kept("props that are no object", br#"{"type":"ok","props":[1]}"#),
        kept("a pair of surrogates", br#"{"type":"ok","x":"\ud83d\ude00"}"#),
        kept("blanks around every token", b" { \"type\" : \"ok\" , \"x\" : [ ] } \t"),
    ]
}
