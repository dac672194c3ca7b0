//! Bodies in chunks, bodies that somebody waits for, and requests behind one that failed.

use super::{EVENT, FIRST, Row, SECOND, chunked, head, hidden};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = sizes();
    rows.extend(extensions());
    rows.extend(ends());
    rows.extend(others());
    rows.extend(pipelines());
    rows
}

const CHUNKED: &str = "Transfer-Encoding: chunked";

/// Chunk sizes that two readers might read differently.
fn sizes() -> Vec<Row> {
    let refused = |name, size: &str| {
        Row::behind(name, &head(CHUNKED), format!("{size}\r\n{EVENT}\r\n0\r\n\r\n"), &[400])
    };
    let within = format!("{EVENT}\n{}", hidden());
    let size = within.len();
    let sent = |size: String| format!("{}\r\n\r\n{size}\r\n{within}\r\n0\r\n\r\n", head(CHUNKED));
    let mut one_by_one = String::new();
    for part in within.split_inclusive(FIRST).flat_map(|part| part.split_inclusive(SECOND)) {
        // The types stay whole, so that they can be found and replaced.
        let mark = [FIRST, SECOND].into_iter().find(|mark| part.ends_with(mark)).unwrap_or("");
        for letter in part.strip_suffix(mark).unwrap_or(part).chars() {
            one_by_one.extend(["1\r\n", letter.encode_utf8(&mut [0; 4]), "\r\n"]);
        }
        if !mark.is_empty() {
            one_by_one.extend([format!("{:x}", mark.len()).as_str(), "\r\n", mark, "\r\n"]);
        }
    }
    vec![
        refused("chunk of ffffffffffffffff bytes", "ffffffffffffffff"),
        refused("chunk of 10000000000000000 bytes", "10000000000000000"),
        refused("chunk of -1 bytes", "-1"),
        refused("chunk of +15 bytes", "+15"),
        refused("chunk of 0x15 bytes", "0x15"),
        refused("chunk of 15,15 bytes", "15,15"),
        refused("chunk without a size", ""),
        refused("chunk size with a NUL", "15\0"),
        refused("chunk size with a blank in front", " 15"),
        refused("chunk smaller than its bytes", "5"),
        refused("chunk larger than its bytes", "25"),
        Row::within("chunk size with zeros in front", sent(format!("0000{size:x}")), &[200])
            .stored(),
        Row::within("chunk size in capitals", sent(format!("{size:X}")), &[200]).stored(),
        Row::within(
            "chunks of one byte",
            format!("{}\r\n\r\n{one_by_one}0\r\n\r\n", head(CHUNKED)),
            &[200],
        )
        .stored(),
    ]
}

fn extensions() -> Vec<Row> {
    let within = format!("{EVENT}\n{}", hidden());
    let size = within.len();
    let with = |extension: &str| {
        format!("{}\r\n\r\n{size:x};{extension}\r\n{within}\r\n0\r\n\r\n", head(CHUNKED))
    };
    let long = "x".repeat(17 << 10);
    // One reader ends the extension at the bare line feed, the other does not.
    let split = format!("{}\r\n\r\n2;\nxx\r\n{:x}\r\n", head(CHUNKED), hidden().len());
    vec![
        Row::within("chunk extension", with("a=b"), &[200]).stored(),
        Row::within(
            "chunk extension with a quoted line end's letters",
            with("a=\"\\r\\n\""),
            &[200],
        )
        .stored(),
        Row::within("chunk extension of 17 KiB", with(&long), &[400]),
        Row::within(
            "chunk extension with a bare line feed",
            format!("{split}{}\r\n0\r\n\r\n", hidden()),
            &[400],
        ),
        Row::within("chunk extension with a bare CR", with("a\rb"), &[400]),
    ]
}

/// How a chunked body ends.
fn ends() -> Vec<Row> {
    let size = EVENT.len();
    let body =
        |end: &str| format!("{}\r\n\r\n{size:x}\r\n{EVENT}\r\n{end}{}", head(CHUNKED), hidden());
    let trailer = |trailer: &str| body(&format!("0\r\n{trailer}\r\n"));
    let long = format!("X: {}\r\n", "y".repeat(17 << 10));
    vec![
        Row::within("chunked body that never ends", body(""), &[400]),
        Row::within("last chunk without its empty line", body("0\r\n"), &[400]),
        Row::within(
            "chunk that ends with a bare line feed",
            format!("{}\r\n\r\n{size:x}\r\n{EVENT}\n0\r\n\r\n{}", head(CHUNKED), hidden()),
            &[400],
        ),
        Row::within(
            "chunk size that ends with a bare line feed",
            format!("{}\r\n\r\n{size:x}\n{EVENT}\r\n0\r\n\r\n{}", head(CHUNKED), hidden()),
            &[400],
        ),
        Row::within("trailer", trailer("X: y\r\n"), &[200, 200]).both(),
        Row::within(
            "trailer that says Content-Length: 5",
            trailer("Content-Length: 5\r\n"),
            &[200, 200],
        )
        .both(),
        Row::within("trailer of 17 KiB", trailer(&long), &[400]),
        Row::within("1,000 trailers", trailer(&"X: y\r\n".repeat(1_000)), &[400]),
    ]
}

/// `Expect`.
fn others() -> Vec<Row> {
    let within = format!("{EVENT}\n{}", hidden());
    let expects = |value: &str| {
        let lines = format!("Expect: {value}\r\nContent-Length: {}", within.len());
        format!("{}\r\n\r\n{within}", head(&lines))
    };
    vec![
        Row::within("Expect: 100-continue", expects("100-continue"), &[100, 200]).stored(),
        Row::within("Expect: something else", expects("something"), &[200]).stored(),
        Row::behind(
            "Expect: 100-continue for a body that is too large",
            &head("Expect: 100-continue\r\nContent-Length: 10737418240"),
            "",
            &[413],
        ),
    ]
}

/// What stands behind a whole request.
fn pipelines() -> Vec<Row> {
    let length = format!("Content-Length: {}", EVENT.len());
    let good = head(&length);
    vec![
        Row::behind("a good request", &good, EVENT, &[200, 200]).both(),
        Row::behind("a good request in chunks", &head(CHUNKED), chunked(EVENT), &[200, 200]).both(),
        Row::behind(
            "Connection: close",
            &head(&format!("Connection: close\r\n{length}")),
            EVENT,
            &[200],
        )
        .stored(),
        Row::behind("HTTP/1.0", &good.replace("HTTP/1.1", "HTTP/1.0"), EVENT, &[200]).stored(),
        Row::behind(
            "a request whose body broke off",
            &head("Content-Length: 921600"),
            EVENT,
            &[400],
        ),
        Row::behind("a body that is too large", &head("Content-Length: 921601"), EVENT, &[413]),
        Row::behind("junk", "junk", "", &[400]),
        Row::behind("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01", "", &[400]),
    ]
}
