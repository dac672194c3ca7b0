//! What is wrong before a byte of the body counts: paths, methods, keys, query, sizes.

use super::{Answer, OK, Row, SECRET, TARGET};
use crate::support::Request;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = places();
    rows.extend(keys());
    rows.extend(queries());
    rows.extend(sizes());
    rows.extend(pixels());
    rows
}

fn places() -> Vec<Row> {
    let method = |name, request| Row::refused(name, request, 405, "method_not_allowed");
    vec![
        Row::refused("unknown path", Request::post("/v1/batches", OK), 404, "not_found"),
        Row::refused("path with a slash behind", Request::post("/v1/batch/", OK), 404, "not_found"),
        method("GET of the batch path", Request::get(TARGET)),
        method("PUT of a batch", Request::new("PUT", TARGET)),
        method("DELETE of the pixel", Request::new("DELETE", "/v1/pixel.gif")),
        method("POST of the SDK document", Request::post("/v1/config?key=wk_suite", OK)),
        Row::refused(
            "no SDK document is configured",
            Request::get("/v1/config?key=wk_suite"),
            404,
            "no_document",
        ),
    ]
}

fn keys() -> Vec<Row> {
    let post = |target: &str| Request::post(target, OK);
    let bearer = |key: &str| format!("Bearer {key}");
    vec![
        Row::refused("no write key", post("/v1/batch"), 401, "no_key"),
        Row::refused("unknown write key", post("/v1/batch?key=wk_other"), 401, "unknown_key"),
        Row::refused(
            "secret key in the query",
            post(&format!("/v1/batch?key={SECRET}")),
            403,
            "secret_in_query",
        ),
        Row::refused(
            "unknown key as bearer, a known one in the query",
            post(TARGET).header("Authorization", &bearer("sk_other")),
            401,
            "unknown_key",
        ),
        Row {
            name: "secret key as bearer",
            request: post("/v1/batch").header("Authorization", &bearer(SECRET)),
            status: 200,
            answer: Answer::Rejected(Vec::new()),
            accepted: 1,
        },
        Row {
            name: "key with percent escapes, and a parameter that nobody knows",
            request: post("/v1/batch?x=1&key=wk%5Fsuite"),
            status: 200,
            answer: Answer::Rejected(Vec::new()),
            accepted: 1,
        },
    ]
}

fn queries() -> Vec<Row> {
    [
        ("class=3 in the query", "class=3"),
        ("empty class in the query", "class="),
        ("sent=-1 in the query", "sent=-1"),
        ("wait=1e3 in the query", "wait=1e3"),
        ("attempt beyond 32 bits in the query", "attempt=4294967296"),
        ("sent=2^53 in the query", "sent=9007199254740992"),
    ]
    .into_iter()
    .map(|(name, query)| {
        Row::refused(name, Request::post(&format!("{TARGET}&{query}"), OK), 400, "bad_query")
    })
    .collect()
}

/// One byte more than a body may have would do; this is what the SDKs' own mistake would look like.
const TOO_LARGE: usize = 901 << 10;

fn sizes() -> Vec<Row> {
    let large = || Request::post(TARGET, vec![b' '; TOO_LARGE]);
    let long = "x".repeat(17 << 10);
    let mut rows = vec![
        Row::refused("body of 901 KiB", large(), 413, "body_too_large"),
        Row::refused("body of 901 KiB in chunks", large().chunked(), 413, "body_too_large"),
        Row::refused(
            "Content-Length of 10 GiB",
            Request::post(TARGET, OK).header("Content-Length", "10737418240"),
            413,
            "body_too_large",
        ),
        Row::refused("no body", Request::post(TARGET, ""), 400, "empty"),
        Row::refused(
            "blanks and line feeds only",
            Request::post(TARGET, " \r\n\n\t"),
            400,
            "empty",
        ),
    ];
    for (name, request) in [
        ("HTTP header of 17 KiB", Request::post(TARGET, OK).header("X-Long", &long)),
        ("query of 17 KiB", Request::post(&format!("{TARGET}&x={long}"), OK)),
    ] {
        let answer = Answer::Other("(HTTP itself, no body)");
        rows.push(Row { name, request, status: 431, answer, accepted: 0 });
    }
    rows
}

/// Pixels always get their GIF; what they carried is found in tier 2 or counted as refused.
fn pixels() -> Vec<Row> {
    [
        ("pixel whose d is no base64", "key=wk_suite&d=%21%21"),
        ("pixel whose d is no JSON", "key=wk_suite&d=aGFsbG8"),
        ("pixel whose type has a blank", "key=wk_suite&type=a%20b"),
        ("pixel without type and d", "key=wk_suite"),
        ("pixel with an unknown key", "key=wk_other&type=open"),
        ("pixel with half a character in d", "key=wk_suite&type=open&d=_w"),
    ]
    .into_iter()
    .map(|(name, query)| Row {
        name,
        request: Request::get(&format!("/v1/pixel.gif?{query}")),
        status: 200,
        answer: Answer::Other("(the GIF)"),
        accepted: 0,
    })
    .collect()
}
