//! Bad and odd requests in a table: what is sent, what is said to it, and what of the same batch
//! was still accepted and found in the embedded store.
//!
//! The table is also a page for people, `tests/golden/bad-requests.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tidegate::admit::Key;
use tidegate::admit::settings::Kind;

use super::support::{Request, Response, Served, pages};

mod codings;
mod events;
mod frames;
mod headers;
mod heads;

/// One request and its end.
struct Row {
    /// What is odd about it.
    name: &'static str,
    /// What is sent.
    request: Request,
    status: u16,
    answer: Answer,
    /// Events that were accepted, and found in tier 2.
    accepted: usize,
}

/// What the reply says.
#[derive(Debug, Clone)]
enum Answer {
    /// All of the request is refused for this reason.
    Refused(&'static str),
    /// The batch is taken; these of its events are not.
    Rejected(Vec<(u32, &'static str)>),
    /// An answer that is no JSON: the pixel's, or one of HTTP itself.
    Other(&'static str),
}

const PUBLIC: &str = "wk_suite";
const SECRET: &str = "sk_suite";
const TARGET: &str = "/v1/batch?key=wk_suite";

#[test]
fn bad_requests_end_as_the_table_says_and_spoil_nothing_else() {
    let mut served = Served::start(|settings| {
        let key =
            |key: &str, kind| Key { key: key.into(), app: "suite".into(), kind, ..Key::default() };
        settings.keys = vec![key(PUBLIC, Kind::Public), key(SECRET, Kind::Secret)];
    });
    let rows = table();
    assert!(rows.len() >= 45, "{} rows", rows.len());
    let mut wrong = Vec::new();
    let mut batches = BTreeMap::new();
    for row in &rows {
        let response = served.send(&row.request);
        if let Err(difference) = row.judge(&response) {
            wrong.push(format!("{}: {difference}", row.name));
        }
        if let Some(batch) = response.json()["batch"].as_str() {
            batches.insert(batch.to_owned(), row);
        }
    }
    served.stop();
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    let stored = served.stored();
    for event in &stored {
        *found.entry(event.text("batch")).or_default() += 1;
    }
    for (batch, row) in &batches {
        let found = found.remove(batch.as_str()).unwrap_or_default();
        if found != row.accepted {
            wrong.push(format!("{}: {found} events in the store, not {}", row.name, row.accepted));
        }
    }
    assert!(found.is_empty(), "events of refused batches are in the store: {found:?}");
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    pages::compare("bad-requests.md", &page(&rows));
}

fn table() -> Vec<Row> {
    let parts = [heads::rows(), codings::rows(), headers::rows(), frames::rows(), events::rows()];
    parts.into_iter().flatten().collect()
}

impl Row {
    fn refused(name: &'static str, request: Request, status: u16, reason: &'static str) -> Self {
        Self { name, request, status, answer: Answer::Refused(reason), accepted: 0 }
    }

    /// A body that is taken but for some events.
    fn taken(
        name: &'static str,
        body: impl Into<Vec<u8>>,
        rejected: &[(u32, &'static str)],
        accepted: usize,
    ) -> Self {
        let answer = Answer::Rejected(rejected.to_vec());
        Self { name, request: Request::post(TARGET, body), status: 200, answer, accepted }
    }

    fn judge(&self, response: &Response) -> Result<(), String> {
        let said = response.json();
        let same = |what: &str, is: Value, wanted: Value| {
            if is == wanted { Ok(()) } else { Err(format!("{what} is {is}, not {wanted}: {said}")) }
        };
        same("status", json!(response.status), json!(self.status))?;
        match &self.answer {
            Answer::Refused(reason) => {
                same("reason", said["reason"].clone(), json!(reason))?;
                let error = said["error"].as_str().unwrap_or_default();
                same("length of its error text", json!(error.len() > 10), json!(true))?;
                let kind = response.header("content-type").unwrap_or_default();
                same("content type", json!(kind), json!("application/json"))
            }
            Answer::Rejected(rejected) => {
                let pairs: Vec<_> = rejected.iter().map(|(at, why)| json!([at, why])).collect();
                same("rejected", said["rejected"].clone(), json!(pairs))?;
                same("accepted", said["accepted"].clone(), json!(self.accepted))
            }
            Answer::Other(_) => same("JSON", said.clone(), Value::Null),
        }
    }
}

/// The table as people read it.
fn page(rows: &[Row]) -> String {
    let mut text = String::from(
        "# Bad and odd requests\n\n\
         What is sent, what it is answered, and how many events of the same batch were accepted\n\
         and found in tier 2. The suite sends every row; `UPDATE_DOCS=1` writes this page.\n\n\
         A head that is too large (431), whose target is longer than HTTP allows (414), or that is\n\
         not HTTP (400) is refused by the HTTP library before there is a request that could be\n\
         answered: status, `Content-Length: 0`, no JSON, and the connection is closed. The library\n\
         has no place for a body there. SDKs treat it by its status alone, as any other 4xx.\n\n\
         | request | status | reason, or events that were rejected | accepted |\n\
         |---|---|---|---|\n",
    );
    for row in rows {
        let answer = match &row.answer {
            Answer::Refused(reason) => format!("`{reason}`"),
            Answer::Rejected(rejected) if rejected.is_empty() => "-".to_owned(),
            Answer::Rejected(rejected) => {
                let shown = rejected.iter().map(|(at, why)| format!("{at}: `{why}`"));
                shown.collect::<Vec<_>>().join(", ")
            }
            Answer::Other(what) => (*what).to_owned(),
        };
        let (name, status, accepted) = (row.name, row.status, row.accepted);
        writeln!(text, "| {name} | {status} | {answer} | {accepted} |").expect("in memory");
    }
    text
}

/// `{"type":"ok"}`, the neighbour that must not be spoiled.
const OK: &str = r#"{"type":"ok"}"#;
