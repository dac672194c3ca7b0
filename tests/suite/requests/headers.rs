//! The header line: versions, sizes, contradictions, and contexts that would multiply.

use super::{OK, Row, TARGET};
use crate::support::Request;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = fields();
    rows.extend(counts());
    rows.extend(sizes());
    rows
}

/// A header with these keys behind the version, and two good events.
fn with(keys: &str) -> Request {
    Request::post(TARGET, format!("{{\"tidegate\":1{keys}}}\n{OK}\n{OK}\n"))
}

fn fields() -> Vec<Row> {
    let bad = |name, request| Row::refused(name, request, 400, "bad_header");
    let raw = |body: &[u8]| Request::post(TARGET, body);
    let conflict = Request::post(
        &format!("{TARGET}&class=2"),
        format!("{{\"tidegate\":1,\"class\":1}}\n{OK}\n"),
    );
    let cr_only = format!("{{\"tidegate\":1}}\r{OK}\r");
    let version =
        |version: &str| Request::post(TARGET, format!("{{\"tidegate\":{version}}}\n{OK}"));
    vec![
        Row::refused("version 2", version("2"), 400, "version"),
        Row::refused("version 2 in a line of 17 KiB", long_version(), 400, "version"),
        Row::refused("class 2 in the query, 1 in the header", conflict, 400, "class_conflict"),
        bad("version as a string", version("\"1\"")),
        bad("version 0", version("0")),
        bad("version 1.0", version("1.0")),
        bad("class 7", with(r#","class":7"#)),
        bad("batch id that is no UUID", with(r#","batch":"1""#)),
        bad("batch id without hyphens", with(r#","batch":"0198f0c0a1b27cc38dd4e5f60718293a""#)),
        bad("a key that stands twice", with(r#","class":1,"class":1"#)),
        bad("the same, once with an escape", with(r#","class":1,"cl\u0061ss":2"#)),
        bad("instance that is a number", with(r#","instance":7"#)),
        bad("context that is a list", with(r#","context":[1]"#)),
        bad("count -1", with(r#","count":-1"#)),
        bad("header that is not closed", raw(b"{\"tidegate\":1,\n{\"type\":\"ok\"}\n")),
        bad("header with more behind it", raw(b"{\"tidegate\":1} x\n{\"type\":\"ok\"}\n")),
        bad(
            "header with broken UTF-8",
            raw(b"{\"tidegate\":1,\"sdk\":\"\xff\"}\n{\"type\":\"ok\"}\n"),
        ),
        bad("lines that end with CR only", Request::post(TARGET, cr_only)),
    ]
}

fn counts() -> Vec<Row> {
    let many = |count: usize| format!("{{\"tidegate\":1}}\n{}", format!("{OK}\n").repeat(count));
    vec![
        Row::refused("count 3, two events", with(r#","count":3"#), 400, "count_mismatch"),
        Row::refused("count 1, two events", with(r#","count":1"#), 400, "count_mismatch"),
        Row::refused("5,001 events", Request::post(TARGET, many(5_001)), 413, "too_many_events"),
        Row::taken("5,000 events", many(5_000), &[], 5_000),
        Row::taken("count 0 and no event", "{\"tidegate\":1,\"count\":0}\n", &[], 0),
        Row::taken(
            "count of bad events too",
            format!("{{\"tidegate\":1,\"count\":3}}\n{OK}\nx\n{OK}\n"),
            &[(1, "invalid_json")],
            2,
        ),
        Row::taken(
            "keys that nobody knows, and null for absent",
            format!("{{\"tidegate\":1,\"x\":{{}},\"class\":null,\"batch\":null}}\n{OK}\n"),
            &[],
            1,
        ),
    ]
}

fn long_version() -> Request {
    let long = "x".repeat(17 << 10);
    Request::post(TARGET, format!("{{\"tidegate\":2,\"sdk\":\"{long}\"}}\n{OK}\n"))
}

fn sizes() -> Vec<Row> {
    let too_large = |name, request| Row::refused(name, request, 400, "header_too_large");
    let text = |kib: usize| "x".repeat(kib << 10);
    // Each event would carry 15 KiB of it: 75 MiB of tier 2 from a body of 80 KiB.
    let multiplied = format!(
        "{{\"tidegate\":1,\"instance\":\"{}\",\"context\":{{\"a\":\"{}\"}}}}\n{}",
        text(11),
        "x".repeat(4_000),
        format!("{OK}\n").repeat(5_000)
    );
    vec![
        too_large("header line of 17 KiB", with(&format!(r#","sdk":"{}""#, text(17)))),
        too_large("context of 5 KiB", with(&format!(r#","context":{{"a":"{}"}}"#, text(5)))),
        too_large("report of 5 KiB", with(&format!(r#","report":{{"a":"{}"}}"#, text(5)))),
        Row::refused(
            "instance and context that 5,000 events would multiply to 75 MiB",
            Request::post(TARGET, multiplied),
            413,
            "output_too_large",
        ),
    ]
}
