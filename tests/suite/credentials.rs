//! Who gets in with what: keys, certificates, forged headers, a kill switch that is over. Each row
//! is tried on a real gateway, and what it stored tells for whom and from where it was taken.
//!
//! The table is also a page for people, `tests/golden/credentials.md`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::support::certificates::Authority;
use super::support::{Binary, Client, Request, eventually, files, pages};

/// Who tries to get in, and how it has to end.
struct Row {
    name: &'static str,
    door: Door,
    request: Request,
    wanted: &'static str,
}

/// The way in.
#[derive(Clone, Copy)]
enum Door {
    Clear,
    /// TLS that asks for a certificate: which one is shown.
    Tls(Shown),
    /// The same with `client_auth = "optional"`.
    Optional(Shown),
}

/// A client's certificate.
#[derive(Clone, Copy)]
enum Shown {
    None,
    Known,
    Unknown,
    Expired,
    Revoked,
    OfAnotherAuthority,
}

const KEYS: &str = r#"
[[keys]]
key = "wk_page"
app = "page"
kind = "public"

[[keys]]
key = "wk_other_page"
app = "other"
kind = "public"

[[keys]]
key = "wk_of_one_origin"
app = "page"
kind = "public"
origins = ["https://shop.example"]

[[keys]]
key = "sk_server"
app = "server"
kind = "secret"

[[keys]]
key = "wk_old"
app = "page"
kind = "public"
revoked = true

[[keys]]
subject = "known"
app = "mutual"
"#;

fn post(name: &str, query: &str) -> Request {
    // The type says which row it was.
    let kind: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Request::post(&format!("/v1/batch{query}"), format!("{{\"type\":\"{kind}\"}}"))
}

fn rows() -> Vec<Row> {
    let mut rows = keys();
    rows.extend(certificates());
    rows
}

fn keys() -> Vec<Row> {
    let row =
        |name, query, wanted| Row { name, door: Door::Clear, request: post(name, query), wanted };
    let bearer = |name, key: &str, wanted| {
        let request = post(name, "").header("Authorization", &format!("Bearer {key}"));
        Row { name, door: Door::Clear, request, wanted }
    };
    let header = |name, header, value, wanted| {
        let request = post(name, "?key=wk_page").header(header, value);
        Row { name, door: Door::Clear, request, wanted }
    };
    let origin = |name, origin, wanted| {
        let request = post(name, "?key=wk_of_one_origin").header("Origin", origin);
        Row { name, door: Door::Clear, request, wanted }
    };
    vec![
        row("no key", "", "401 no_key"),
        row("wrong key", "?key=wk_pagf", "401 unknown_key"),
        row("a key and a letter more", "?key=wk_page1", "401 unknown_key"),
        row("an empty key", "?key=", "401 unknown_key"),
        row("revoked key", "?key=wk_old", "401 revoked_key"),
        row("public key", "?key=wk_page", "200 as page from 127.0.0.1"),
        row("key of another app", "?key=wk_other_page", "200 as other from 127.0.0.1"),
        row("secret key in the query", "?key=sk_server", "403 secret_in_query"),
        bearer("secret key as bearer", "sk_server", "200 as server from 127.0.0.1"),
        bearer("wrong key as bearer", "sk_serveR", "401 unknown_key"),
        bearer("revoked key as bearer", "wk_old", "401 revoked_key"),
        bearer("subject of a certificate as bearer", "known", "401 unknown_key"),
        origin(
            "key of one origin from that origin",
            "https://shop.example",
            "200 as page from 127.0.0.1",
        ),
        origin("key of one origin from another", "https://evil.example", "403 origin"),
        header(
            "forged X-Forwarded-For",
            "X-Forwarded-For",
            "6.6.6.6",
            "200 as page from 127.0.0.1",
        ),
        header("forged Forwarded", "Forwarded", "for=6.6.6.6", "200 as page from 127.0.0.1"),
        header("forged X-Real-IP", "X-Real-IP", "6.6.6.6", "200 as page from 127.0.0.1"),
    ]
}

fn certificates() -> Vec<Row> {
    let shows = |name, door, wanted| Row { name, door, request: post(name, ""), wanted };
    let with_key =
        |name, door, wanted| Row { name, door, request: post(name, "?key=wk_page"), wanted };
    vec![
        shows(
            "certificate of a known subject",
            Door::Tls(Shown::Known),
            "200 as mutual from 127.0.0.1",
        ),
        shows(
            "certificate of an unknown subject",
            Door::Tls(Shown::Unknown),
            "401 unknown_subject",
        ),
        with_key(
            "certificate of an unknown subject, and a key",
            Door::Tls(Shown::Unknown),
            "200 as page from 127.0.0.1",
        ),
        with_key("mutual TLS without a certificate", Door::Tls(Shown::None), "handshake refused"),
        shows("expired certificate", Door::Tls(Shown::Expired), "handshake refused"),
        shows("revoked certificate", Door::Tls(Shown::Revoked), "handshake refused"),
        shows(
            "certificate by another authority",
            Door::Tls(Shown::OfAnotherAuthority),
            "handshake refused",
        ),
        shows("optional, and none shown", Door::Optional(Shown::None), "401 no_key"),
        with_key(
            "optional, none shown, and a key",
            Door::Optional(Shown::None),
            "200 as page from 127.0.0.1",
        ),
        shows(
            "optional, and an expired one shown",
            Door::Optional(Shown::Expired),
            "handshake refused",
        ),
        with_key("clear text to a TLS listener", Door::Tls(Shown::None), "handshake refused"),
    ]
}

#[test]
fn everybody_gets_what_the_table_says() {
    let (ours, others) = (Authority::new(), Authority::new());
    let server = ours.server("server", &["localhost"]);
    let crl = ours.revoke(4);
    let tls = |auth: &str| {
        let files = [
            ("cert", &server.cert),
            ("key", &server.key),
            ("client_ca", &ours.root()),
            ("client_crl", &crl),
        ];
        let mut text = format!("{KEYS}\n[tls]\nclient_auth = \"{auth}\"\n");
        for (key, path) in files {
            writeln!(text, "{key} = {:?}", path.display().to_string()).expect("in memory");
        }
        text
    };
    let clear = Binary::start(KEYS);
    let (required, optional) = (Binary::start(&tls("required")), Binary::start(&tls("optional")));
    let config = |shown| match shown {
        Shown::None => ours.trusting(None),
        Shown::Known => ours.trusting(Some(&ours.client("known", 2))),
        Shown::Unknown => ours.trusting(Some(&ours.client("nobody", 3))),
        Shown::Expired => ours.trusting(Some(&ours.expired_client("known"))),
        Shown::Revoked => ours.trusting(Some(&ours.client("known", 4))),
        Shown::OfAnotherAuthority => ours.trusting(Some(&others.client("known", 2))),
    };
    let mut page = String::from(PAGE);
    let mut wrong = Vec::new();
    for row in rows() {
        let (binary, client) = match row.door {
            _ if row.name.starts_with("clear text") => {
                (&required, Client::connect(required.address()))
            }
            Door::Clear => (&clear, Client::connect(clear.address())),
            Door::Tls(shown) => (&required, over_tls(required.address(), config(shown))),
            Door::Optional(shown) => (&optional, over_tls(optional.address(), config(shown))),
        };
        let found = ask(binary, client, &row);
        if found != row.wanted {
            wrong.push(format!("{}: {found}, not {}", row.name, row.wanted));
        }
        writeln!(page, "| {} | {} |", row.name, row.wanted).expect("in memory");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    pages::compare("credentials.md", &page);
}

/// Sends a row's request; says what came of it, the store included.
fn ask(binary: &Binary, mut client: Client, row: &Row) -> String {
    let Ok(reply) = client.try_send(&row.request) else { return "handshake refused".to_owned() };
    if reply.status != 200 {
        let reason = reply.json()["reason"].as_str().unwrap_or_default().to_owned();
        return format!("{} {reason}", reply.status);
    }
    let (_, body) = row.request.parts();
    let event: serde_json::Value = serde_json::from_slice(body).expect("ours");
    let stored = eventually("the event is stored", || {
        let mut stored = files::stored(&binary.data_dir()).into_iter();
        stored.find(|stored| stored.tg["type"] == event["type"])
    });
    format!("200 as {} from {}", stored.text("app"), stored.text("ip"))
}

/// A connection whose handshake is made with its first request.
fn over_tls(address: SocketAddr, config: ClientConfig) -> Client {
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = StreamOwned::new(connection, Client::socket(address).expect("a socket"));
    // A refusal shows with the answer, which is read next.
    drop(stream.flush());
    Client::over(stream)
}

#[test]
fn a_kill_switch_that_is_over_does_not_kill() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(
        dir.path().join("page.toml"),
        "version = 7\noff_until = \"2026-01-01T00:00:00Z\"\n",
    )
    .expect("room for a file");
    let documents = format!("{KEYS}\n[sdk]\ndocuments = {:?}\n", dir.path().display().to_string());
    let binary = Binary::start(&documents);
    let mut client = Client::connect(binary.address());
    let document = client.send(&Request::get("/v1/config?key=wk_page"));
    assert_eq!(
        (document.status, document.json()["off_ms"].as_i64()),
        (200, Some(0)),
        "{}",
        document.text()
    );
    let revoked = client.send(&Request::get("/v1/config?key=wk_old"));
    assert_eq!((revoked.status, revoked.json()["reason"].as_str()), (401, Some("revoked_key")));
}

const PAGE: &str = "# Who gets in\n\n\
    What each of these gets: a status and its reason, or the app that its events are written for\n\
    and the address that they are said to come from. The suite tries every row; `UPDATE_DOCS=1`\n\
    writes this page. An SDK that is given an expired kill switch is told `off_ms` 0.\n\n\
    | who | gets |\n\
    |---|---|\n";
