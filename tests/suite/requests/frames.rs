//! Framing: lines, arrays, single objects and wrappers, each with something wrong in it.

use super::{OK, Row};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = lines();
    rows.extend(arrays());
    rows.extend(objects());
    rows
}

fn lines() -> Vec<Row> {
    vec![
        Row::taken("CRLF, blank lines, no last line feed", format!("{OK}\r\n\r\n\n  {OK}"), &[], 2),
        Row::taken(
            "two events on one line",
            format!("{OK}{OK}\n{OK}\n"),
            &[(0, "invalid_json")],
            1,
        ),
        Row::taken("CR only between events", format!("{OK}\r{OK}\r"), &[(0, "invalid_json")], 0),
        Row::taken("byte order mark", format!("\u{feff}{OK}\n{OK}\n"), &[(0, "invalid_json")], 1),
        Row::taken(
            "form fields, as some tools send by default",
            "type=ok&x=1",
            &[(0, "invalid_json")],
            0,
        ),
        Row::taken(
            "a second header among the events",
            format!("{{\"tidegate\":1}}\n{OK}\n{{\"tidegate\":1}}\n{OK}\n"),
            &[(1, "no_type")],
            2,
        ),
        Row::taken(
            "a string over two lines",
            format!("{OK}\n{{\"type\":\"a\nb\"}}\n{OK}\n"),
            &[(1, "invalid_json"), (2, "invalid_json")],
            2,
        ),
    ]
}

fn arrays() -> Vec<Row> {
    let array = |inner: &str| format!("[{OK},{inner}");
    vec![
        Row::refused(
            "empty array",
            crate::support::Request::post(super::TARGET, "[]"),
            400,
            "empty",
        ),
        Row::taken("array with a trailing comma", array("]"), &[(1, "invalid_json")], 1),
        Row::taken("array that does not end", format!("[{OK},{OK}"), &[(2, "invalid_json")], 2),
        Row::taken(
            "array that ends inside an event",
            array("{\"type\":\"o"),
            &[(1, "invalid_json")],
            1,
        ),
        Row::taken(
            "array with a bad element in the middle",
            array(&format!("{{\"type\":}},{OK}]")),
            &[(1, "invalid_json")],
            2,
        ),
        Row::taken(
            "array with brackets and commas in a bad element's strings",
            array(&format!("{{\"type\":\"a\",,\"x\":\"],}}\"}},{OK}]")),
            &[(1, "invalid_json")],
            2,
        ),
        Row::taken("array with junk behind", array(&format!("{OK}] x")), &[(2, "invalid_json")], 2),
        Row::taken(
            "array of a number, a string, null and a list",
            array("1,\"a\",null,[]]"),
            &[(1, "not_object"), (2, "not_object"), (3, "not_object"), (4, "not_object")],
            1,
        ),
        Row::taken(
            "array over many lines",
            format!("[\n {OK}\n,\r\n{{\n\"type\":\n\"ok\"}}\n]\n"),
            &[],
            2,
        ),
    ]
}

fn objects() -> Vec<Row> {
    vec![
        Row::taken(
            "one object over many lines",
            "{\n  \"type\": \"ok\",\n  \"props\": {}\n}\n",
            &[],
            1,
        ),
        Row::taken("empty object", "{}", &[(0, "no_type")], 0),
        Row::taken(
            "wrapper with a bad element",
            format!("{{\"batch\":[{OK},{{\"type\":1}},{OK}],\"sent\":\"now\"}}"),
            &[(1, "bad_type")],
            2,
        ),
        Row::taken(
            "wrapper that is not closed",
            format!("{{\"batch\":[{OK},{OK}]"),
            &[(2, "invalid_json")],
            2,
        ),
        Row::taken("event with a batch of its own", r#"{"batch":[1],"type":"ok"}"#, &[], 1),
    ]
}
