//! Heads that two readers might understand differently: lengths, codings, lines, targets, methods.

use super::{EVENT, Row, chunked, head, hidden};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = both();
    rows.extend(codings());
    rows.extend(lengths());
    rows.extend(lines());
    rows.extend(targets());
    rows.extend(methods());
    rows
}

/// `Content-Length` beside `Transfer-Encoding`.
fn both() -> Vec<Row> {
    let body = chunked(EVENT);
    let all = body.len() + hidden().len();
    let taken = |name, lines: &str| Row::behind(name, &head(lines), &body, &[200]).stored();
    vec![
        taken(
            "Content-Length over all of it, then Transfer-Encoding: chunked",
            &format!("Content-Length: {all}\r\nTransfer-Encoding: chunked"),
        ),
        taken(
            "Transfer-Encoding: chunked, then Content-Length over all of it",
            &format!("Transfer-Encoding: chunked\r\nContent-Length: {all}"),
        ),
        taken(
            "Transfer-Encoding: chunked, then Content-Length: 4",
            "Transfer-Encoding: chunked\r\nContent-Length: 4",
        ),
        taken(
            "Content-Length: 0, then Transfer-Encoding: chunked",
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
        ),
        Row::behind(
            "Content-Length, then a chunked body that is empty",
            &head(&format!("Content-Length: {all}\r\nTransfer-Encoding: chunked")),
            "0\r\n\r\n",
            &[400],
        ),
        Row::behind(
            "Transfer-Encoding: chunked behind a bare line feed, with Content-Length",
            &head(&format!("X: y\nTransfer-Encoding: chunked\r\nContent-Length: {all}")),
            &body,
            &[200],
        )
        .stored(),
    ]
}

/// `Transfer-Encoding` in its forms. Where it is understood, the hidden request is in the chunk.
fn codings() -> Vec<Row> {
    let in_chunk = chunked(&format!("{EVENT}\n{}", hidden()));
    let understood = |name, lines: &str| {
        let sent = format!("{}\r\n\r\n{in_chunk}", head(lines));
        Row::within(name, sent, &[200]).stored()
    };
    let refused = |name, lines: &str| Row::behind(name, &head(lines), chunked(EVENT), &[400]);
    vec![
        understood("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        understood("transfer-encoding: CHUNKED", "transfer-encoding: CHUNKED"),
        understood("Transfer-Encoding with a tab before chunked", "Transfer-Encoding:\tchunked"),
        understood(
            "Transfer-Encoding: chunked twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ),
        understood("Transfer-Encoding: gzip, chunked", "Transfer-Encoding: gzip, chunked"),
        refused("Transfer-Encoding: xchunked", "Transfer-Encoding: xchunked"),
        refused("Transfer-Encoding: chunked, identity", "Transfer-Encoding: chunked, identity"),
        refused("Transfer-Encoding: identity", "Transfer-Encoding: identity"),
        refused("Transfer-Encoding: chunked;q=1", "Transfer-Encoding: chunked;q=1"),
        refused("empty Transfer-Encoding", "Transfer-Encoding:"),
        refused(
            "Transfer-Encoding: chunked, then Transfer-Encoding: identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        ),
        refused("Transfer-Encoding with a vertical tab", "Transfer-Encoding: \x0bchunked"),
        refused("Transfer-Encoding over two lines", "Transfer-Encoding:\r\n chunked"),
        Row::behind(
            "Transfer-Encoding: chunked in HTTP/1.0",
            "POST /v1/batch HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked",
            chunked(EVENT),
            &[400],
        ),
    ]
}

/// `Content-Length` in its forms.
fn lengths() -> Vec<Row> {
    let refused = |name, value: &str| {
        Row::behind(name, &head(&format!("Content-Length: {value}")), EVENT, &[400])
    };
    let within = format!("{EVENT}\n{}", hidden());
    let length = within.len();
    let same = format!("Content-Length: {length}\r\nContent-Length: {length}");
    let padded = format!("Content-Length: 000{length}");
    vec![
        Row::within(
            "Content-Length twice, the same, over all of it",
            format!("{}\r\n\r\n{within}", head(&same)),
            &[200],
        )
        .stored(),
        Row::within(
            "Content-Length with leading zeros, over all of it",
            format!("{}\r\n\r\n{within}", head(&padded)),
            &[200],
        )
        .stored(),
        Row::behind(
            "Content-Length twice, differing",
            &head(&format!("Content-Length: {}\r\nContent-Length: {length}", EVENT.len())),
            EVENT,
            &[400],
        ),
        refused("Content-Length: +21", "+21"),
        refused("Content-Length: 21,21", "21,21"),
        refused("Content-Length: 21 21", "21 21"),
        refused("Content-Length: -1", "-1"),
        refused("Content-Length: 1e20", "1e20"),
        refused("Content-Length: 0x15", "0x15"),
        refused("Content-Length: 99999999999999999999", "99999999999999999999"),
        refused("empty Content-Length", ""),
        Row::behind("Content-Length: 10 GiB", &head("Content-Length: 10737418240"), EVENT, &[413]),
        Row::behind(
            "Content-Length shorter than the body",
            &head(&format!("Content-Length: {}", EVENT.len())),
            format!("{EVENT}{{}}"),
            &[200, 400],
        )
        .stored(),
        Row::behind("no length at all", &head("X: y"), EVENT, &[400, 400]),
    ]
}

/// How lines end, and what stands around their colons.
fn lines() -> Vec<Row> {
    let length = EVENT.len();
    let refused = |name, lines: &str| Row::behind(name, &head(lines), EVENT, &[400]);
    let within = format!("{EVENT}\n{}", hidden());
    let bare =
        format!("POST /v1/batch HTTP/1.1\nHost: t\nContent-Length: {}\n\n{within}", within.len());
    vec![
        refused("blank before the colon", &format!("Content-Length : {length}")),
        refused("header line over two lines", &format!("X: y\r\n z\r\nContent-Length: {length}")),
        refused("NUL in a header's value", &format!("X: \0\r\nContent-Length: {length}")),
        refused("NUL in a header's name", &format!("X\0: y\r\nContent-Length: {length}")),
        refused("CR in a header's value", &format!("X: a\rb\r\nContent-Length: {length}")),
        refused("header line without a colon", &format!("X\r\nContent-Length: {length}")),
        refused("header with an empty name", &format!(": y\r\nContent-Length: {length}")),
        refused("blank before the first header", &format!(" X: y\r\nContent-Length: {length}")),
        Row::within("lines that end with a bare line feed", bare, &[200]).stored(),
        Row::within(
            "Content_Length: 0 beside Content-Length over all of it",
            format!(
                "{}\r\n\r\n{within}",
                head(&format!("Content_Length: 0\r\nContent-Length: {}", within.len()))
            ),
            &[200],
        )
        .stored(),
        Row::within(
            "101 headers",
            [head(&"X: y\r\n".repeat(101)), format!("\r\n{}", hidden())].concat(),
            &[431],
        ),
    ]
}

/// Request lines.
fn targets() -> Vec<Row> {
    let length = EVENT.len();
    let line = |line: &str| format!("{line}\r\nHost: t\r\nContent-Length: {length}");
    let refused = |name, first: &str| Row::behind(name, &line(first), EVENT, &[400]);
    let within = format!("{EVENT}\n{}", hidden());
    let absolute = format!(
        "POST http://other.example/v1/batch HTTP/1.1\r\nHost: t\r\nContent-Length: {}",
        within.len()
    );
    vec![
        Row::within(
            "absolute form with another host",
            format!("{absolute}\r\n\r\n{within}"),
            &[200],
        )
        .stored(),
        Row::within(
            "no Host",
            format!("POST /v1/batch HTTP/1.1\r\nContent-Length: {}\r\n\r\n{within}", within.len()),
            &[200],
        )
        .stored(),
        refused("two blanks in the request line", "POST  /v1/batch HTTP/1.1"),
        refused("tab in the request line", "POST\t/v1/batch HTTP/1.1"),
        refused("HTTP/2.0 in the request line", "POST /v1/batch HTTP/2.0"),
        refused("HTTP/1.2 in the request line", "POST /v1/batch HTTP/1.2"),
        refused("http/1.1 in the request line", "POST /v1/batch http/1.1"),
        refused("no version in the request line", "POST /v1/batch"),
        refused("NUL in the target", "POST /v1/batch\0 HTTP/1.1"),
        refused("the first line of HTTP/2", "PRI * HTTP/2.0"),
    ]
}

/// Methods that take no body, or mean a tunnel; the hidden request is their body.
fn methods() -> Vec<Row> {
    let body = hidden();
    let length = body.len();
    let with_body = |name, line: &str, status| {
        let sent = format!("{line} HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n{body}");
        Row::within(name, sent, &[status])
    };
    // A proxy that opens its tunnel before it is answered passes on what its client says.
    let sent = format!("CONNECT t:80 HTTP/1.1\r\nHost: t\r\n\r\n{body}");
    let connect = Row::within("CONNECT, and what would go through the tunnel", sent, &[404]);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    vec![
        with_body("GET of the SDK document with a body", "GET /v1/config", 404),
        with_body("GET of the pixel with a body", "GET /v1/pixel.gif?type=x", 200),
        with_body("OPTIONS with a body", "OPTIONS /v1/batch", 204),
        with_body("GET of the batch path with a body", "GET /v1/batch", 405),
        with_body("POST to an unknown path", "POST /nowhere", 404),
        with_body("authority form with a body", "POST t:80", 404),
        connect,
        Row::within(
            "Upgrade: websocket with Content-Length over all of it",
            format!(
                "{}{upgrade}Content-Length: {}\r\n\r\n{EVENT}\n{body}",
                head(""),
                EVENT.len() + 1 + length
            ),
            &[200],
        )
        .stored(),
        Row::within(
            "Upgrade: h2c with Content-Length over all of it",
            format!(
                "{}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\
                 \r\nContent-Length: {}\r\n\r\n{EVENT}\n{body}",
                head(""),
                EVENT.len() + 1 + length
            ),
            &[200],
        )
        .stored(),
    ]
}
