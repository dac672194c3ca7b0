//! Request smuggling in a table: what is sent over one connection in one write, what is answered,
//! and whether the request that was hidden in it ever became one.
//!
//! Every row holds an event of its own and a hidden request, a pixel with another. As text that
//! request is no event, and without keys it would be taken if anybody parsed it, so that its event
//! is in the store exactly then. The table is also a page for people, `tests/golden/smuggling.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::support::{Client, Served, pages};

mod bodies;
mod heads;

/// One connection and its end.
struct Row {
    /// What is odd about it.
    name: &'static str,
    /// What is sent, with [`FIRST`] and [`SECOND`] where the events' types belong.
    sent: Vec<u8>,
    /// The status of every answer.
    answers: Vec<u16>,
    /// Whether the first event is in the store.
    first: bool,
    /// Whether the second is, because it is a request by every reading: rows that show that the
    /// others could fail.
    second: bool,
}

/// Placeholders, as long as the types that take their place.
const FIRST: &str = "first-0000";
const SECOND: &str = "second-0000";

/// The event that a row means to send.
const EVENT: &str = r#"{"type":"first-0000"}"#;

#[test]
fn no_hidden_request_is_ever_parsed() {
    let mut served = Served::start(|_| ());
    let rows: Vec<Row> = heads::rows().into_iter().chain(bodies::rows()).collect();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for (row, number) in rows.iter().zip(0..) {
        let answers = send(&served, &row.bytes(number));
        if answers != row.answers {
            wrong.push(format!("{}: {answers:?}, not {:?}", row.name, row.answers));
        }
    }
    served.stop();
    let stored: BTreeSet<String> =
        served.stored().iter().map(|event| event.text("type").to_owned()).collect();
    for (row, number) in rows.iter().zip(0..) {
        for (what, wanted) in [("first", row.first), ("second", row.second)] {
            let found = stored.contains(&format!("{what}-{number:04}"));
            if found != wanted {
                wrong.push(format!("{}: {what} event in the store: {found}", row.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    pages::compare("smuggling.md", &page(&rows));
}

/// Sends everything in one write, says that nothing follows, and reads every answer.
fn send(served: &Served, bytes: &[u8]) -> Vec<u16> {
    let mut client = Client::connect(served.address());
    // Who refuses may have closed its side before it has read everything; its answer counts.
    drop(client.write(bytes));
    client.end_writing_if_open();
    let mut answers = Vec::new();
    while let Ok(response) = client.read(false) {
        answers.push(response.status);
    }
    answers
}

impl Row {
    /// A first request that is refused or closes its connection, and the hidden one behind it.
    fn behind(name: &'static str, head: &str, body: impl AsRef<[u8]>, answers: &[u16]) -> Self {
        let sent = [head.as_bytes(), b"\r\n\r\n", body.as_ref(), hidden().as_bytes()].concat();
        Self { name, sent, answers: answers.to_vec(), first: false, second: false }
    }

    /// A request as it is, with the hidden one somewhere in it.
    fn within(name: &'static str, sent: impl Into<Vec<u8>>, answers: &[u16]) -> Self {
        Self { name, sent: sent.into(), answers: answers.to_vec(), first: false, second: false }
    }

    /// The first event is taken.
    fn stored(self) -> Self {
        Self { first: true, ..self }
    }

    /// Both are, by every reading of the standard.
    fn both(self) -> Self {
        Self { first: true, second: true, ..self }
    }

    /// Its bytes with types of its own.
    fn bytes(&self, number: usize) -> Vec<u8> {
        let mut bytes = self.sent.clone();
        for (mark, what) in [(FIRST, "first"), (SECOND, "second")] {
            let own = format!("{what}-{number:04}");
            let places: Vec<usize> = bytes
                .windows(mark.len())
                .enumerate()
                .filter(|(_, part)| *part == mark.as_bytes())
                .map(|(at, _)| at)
                .collect();
            for at in places {
                bytes[at..at + own.len()].copy_from_slice(own.as_bytes());
            }
        }
        bytes
    }
}

/// The hidden request.
fn hidden() -> String {
    format!("GET /v1/pixel.gif?type={SECOND} HTTP/1.1\r\nHost: t\r\n\r\n")
}

/// A head of the batch path with these lines.
fn head(lines: &str) -> String {
    format!("POST /v1/batch HTTP/1.1\r\nHost: t\r\n{lines}")
}

/// A body in one chunk, and the last one.
fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// The table as people read it.
fn page(rows: &[Row]) -> String {
    let mut text = String::from(
        "# Request smuggling\n\n\
         Each row is one connection: a request that two readers might cut differently, and a\n\
         second request hidden where the other reader would find one. The suite sends every row;\n\
         `UPDATE_DOCS=1` writes this page. \"Hidden\" says whether the hidden request was ever\n\
         taken for one; the rows with \"yes\" are ordinary pipelining, and show that the table\n\
         would notice.\n\n\
         | sent | answers | first event | hidden |\n\
         |---|---|---|---|\n",
    );
    for row in rows {
        let answers: Vec<_> = row.answers.iter().map(u16::to_string).collect();
        let answers =
            if answers.is_empty() { "closed".to_owned() } else { answers.join(", then ") };
        let first = if row.first { "stored" } else { "-" };
        let second = if row.second { "yes" } else { "no" };
        writeln!(text, "| {} | {answers} | {first} | {second} |", row.name).expect("in memory");
    }
    text
}
