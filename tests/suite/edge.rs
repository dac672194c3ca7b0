//! HTTP as browsers, proxies and broken clients use it.

use std::fs;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::support::batches::{self, exactly_once};
use super::support::files::Stored;
use super::support::{Binary, Client, Request, Served, eventually, files};

const EVENT: &str = r#"{"type":"test"}"#;

#[test]
fn a_browser_posts_text_without_asking_and_may_read_the_reply() {
    let served = Served::start(|_| ());
    let request = Request::batch(EVENT)
        .header("Origin", "https://shop.example")
        .header("Content-Type", "text/plain;charset=UTF-8");
    let reply = served.send(&request);
    assert_eq!((reply.status, reply.json()["accepted"].as_u64()), (200, Some(1)));
    let header = |name: &str| reply.header(name).unwrap_or_default();
    assert_eq!(header("access-control-allow-origin"), "https://shop.example");
    assert_eq!(header("access-control-allow-credentials"), "true");
    assert_eq!(header("access-control-expose-headers"), "Retry-After, ETag");
    assert_eq!((header("vary").as_str(), header("cache-control").as_str()), ("Origin", "no-store"));
    let refused = served.send(&Request::batch("").header("Origin", "null"));
    assert_eq!(refused.status, 400);
    assert_eq!(refused.header("access-control-allow-origin").as_deref(), Some("null"));
    let plain = served.send(&Request::batch(EVENT));
    assert_eq!(plain.header("access-control-allow-origin"), None);
}

#[test]
fn preflights_and_options_are_answered_per_path() {
    let served = Served::start(|_| ());
    let mut client = Client::connect(served.address());
    for (path, allow) in [
        ("/v1/batch", "POST, OPTIONS"),
        ("/v1/pixel.gif", "GET, HEAD, OPTIONS"),
        ("/v1/config", "GET, HEAD, OPTIONS"),
    ] {
        let asked = Request::new("OPTIONS", path)
            .header("Origin", "https://a.example")
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "content-encoding, x-own")
            .header("Access-Control-Request-Private-Network", "true");
        let reply = client.send(&asked);
        let header = |name: &str| reply.header(name).unwrap_or_default();
        assert_eq!((reply.status, header("allow").as_str()), (204, allow), "{path}");
        assert_eq!(header("access-control-allow-methods"), allow, "{path}");
        assert_eq!(header("access-control-allow-origin"), "https://a.example", "{path}");
        assert_eq!(header("access-control-allow-headers"), "content-encoding, x-own", "{path}");
        assert_eq!(header("access-control-allow-private-network"), "true", "{path}");
        assert_eq!(header("access-control-max-age"), "7200", "{path}");
        let bare = client.send(&Request::new("OPTIONS", path));
        assert_eq!((bare.status, bare.header("allow").as_deref()), (204, Some(allow)), "{path}");
        assert_eq!(bare.header("access-control-allow-methods"), None, "{path}");
        let wrong = client.send(&Request::new("PATCH", path));
        assert_eq!((wrong.status, wrong.header("allow").as_deref()), (405, Some(allow)), "{path}");
        assert_eq!(wrong.json()["reason"], "method_not_allowed", "{path}");
    }
}

#[test]
fn the_sdk_document_has_a_tag_and_is_sent_once() {
    const TEXT: &str = r#"{"version":7,"sample":{"*":1}}"#;
    let served = Served::start(|settings| {
        fs::create_dir_all(&settings.data_dir).expect("a folder");
        settings.sdk.document = settings.data_dir.join("sdk.json");
        fs::write(&settings.sdk.document, TEXT).expect("a document");
    });
    let mut client = Client::connect(served.address());
    let full = client.send(&Request::get("/v1/config"));
    let tag = full.header("etag").expect("a tag");
    assert_eq!((full.status, full.text().as_str()), (200, TEXT));
    assert_eq!(full.header("cache-control").as_deref(), Some("no-cache"));
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = client.send(&Request::get("/v1/config").header("If-None-Match", &known));
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
        assert_eq!(again.header("etag"), Some(tag.clone()), "{known}");
    }
    let other = client.send(&Request::get("/v1/config").header("If-None-Match", "\"x\""));
    assert_eq!(other.status, 200);
    let head = client.send(&Request::new("HEAD", "/v1/config"));
    assert_eq!((head.status, head.header("etag"), head.body.len()), (200, Some(tag), 0));
    assert_eq!(head.header("content-length"), Some(TEXT.len().to_string()));
    let reply = client.send(&Request::batch(EVENT));
    assert_eq!(reply.json()["config"], 7, "replies announce the document's version");
}

#[test]
fn the_pixel_is_43_bytes_and_its_event_is_stored() {
    let mut served = Served::start(|_| ());
    let mut client = Client::connect(served.address());
    // {"a":1} in base64url.
    let pixel = client.send(&Request::get("/v1/pixel.gif?type=mail.open&d=eyJhIjoxfQ"));
    assert_eq!((pixel.status, pixel.body.len()), (200, 43));
    assert!(pixel.body.starts_with(b"GIF89a\x01\x00\x01\x00") && pixel.body.ends_with(b";"));
    assert_eq!(pixel.header("content-type").as_deref(), Some("image/gif"));
    assert_eq!(pixel.header("cache-control").as_deref(), Some("no-store"));
    let head = client.send(&Request::new("HEAD", "/v1/pixel.gif?type=mail.open"));
    assert_eq!((head.status, head.header("content-length").as_deref()), (200, Some("43")));
    served.stop();
    let stored = served.stored();
    assert!(stored[0].line.ends_with(r#","type":"mail.open","props":{"a":1}}"#), "{stored:?}");
    assert!(stored[1].line.ends_with(r#","type":"mail.open"}"#), "{stored:?}");
    assert!(stored.iter().all(|event| event.lane() == "mail.open"));
}

#[test]
fn an_announced_length_that_is_too_large_is_refused_at_once() {
    let served = Served::start(|_| ());
    let mut client = Client::connect(served.address());
    // The body never comes: the answer must not wait for it, and nothing may be read behind it.
    client
        .write(b"POST /v1/batch HTTP/1.1\r\nHost: t\r\nContent-Length: 999999999\r\n\r\n")
        .unwrap();
    let reply = client.read(false).unwrap();
    assert_eq!((reply.status, reply.json()["limit"].as_u64()), (413, Some(921_600)));
    assert_eq!(reply.json()["reason"], "body_too_large");
    assert!(client.is_closed(), "what is left of the body must not become a request");
}

#[test]
fn lengths_that_contradict_themselves_are_refused_by_http() {
    let mut served = Served::start(|_| ());
    for head in [
        "Content-Length: 15\r\nContent-Length: 16",
        "Content-Length: -1",
        "Content-Length: 15\r\nTransfer-Encoding: chunked\r\nContent-Length: 3",
        "Transfer-Encoding: gzip",
    ] {
        let mut client = Client::connect(served.address());
        let text = format!("POST /v1/batch HTTP/1.1\r\nHost: t\r\n{head}\r\n\r\n{EVENT}");
        client.write(text.as_bytes()).unwrap();
        let status = client.read(false).map(|reply| reply.status);
        assert!(matches!(status, Ok(400) | Err(_)), "{head}: {status:?}");
    }
    served.stop();
    assert_eq!(served.stored().len(), 0);
}

#[test]
fn a_body_that_breaks_off_leaves_nothing_behind() {
    let mut served = Served::start(|_| ());
    for head in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let mut client = Client::connect(served.address());
        let body = format!("{:x}\r\n{EVENT}\n\r\n", EVENT.len() + 1);
        let text = format!("POST /v1/batch HTTP/1.1\r\nHost: t\r\n{head}\r\n\r\n{body}");
        client.write(text.as_bytes()).unwrap();
        client.end_writing();
        let status = client.read(false).map(|reply| reply.status);
        assert!(matches!(status, Ok(400) | Err(_)), "{head}: {status:?}");
    }
    served.stop();
    assert_eq!(served.stored().len(), 0);
}

#[test]
fn a_body_that_takes_too_long_is_refused_as_retryable() {
    let served = Served::start(|settings| settings.limits.body_ms = 50);
    let mut client = Client::connect(served.address());
    client.write(b"POST /v1/batch HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{").unwrap();
    let reply = client.read(false).unwrap();
    assert_eq!((reply.status, reply.json()["reason"].as_str()), (408, Some("body_timeout")));
    assert_eq!(reply.json()["retry_ms"], 5_000);
    assert_eq!(reply.header("retry-after").as_deref(), Some("5"));
}

#[test]
fn a_client_that_hangs_up_behind_its_body_has_sent_it() {
    let served = Served::start(|_| ());
    let sealed = batches::sealed("hangs-up", 20);
    let mut stream = TcpStream::connect(served.address()).unwrap();
    let head = format!(
        "POST /v1/batch HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n",
        sealed.body.len()
    );
    std::io::Write::write_all(&mut stream, &[head.as_bytes(), &sealed.body].concat()).unwrap();
    drop(stream);
    eventually("the events of a client that is gone", || {
        (served.stored().len() == 20).then_some(())
    });
    exactly_once(&sealed.ids, served.stored().iter().map(|event| event.id().to_owned()));
}

#[test]
fn a_connection_lives_on_after_refusals() {
    let served = Served::start(|_| ());
    let mut client = Client::connect(served.address());
    for _ in 0..3 {
        assert_eq!(client.send(&Request::post("/nowhere", EVENT)).status, 404);
        assert_eq!(client.send(&Request::batch(vec![b' '; 930_000])).status, 413);
        assert_eq!(client.send(&Request::batch("").header("Content-Encoding", "br")).status, 415);
        assert_eq!(client.send(&Request::batch(EVENT)).status, 200);
        assert_eq!(client.send(&Request::batch(EVENT).chunked()).status, 200);
    }
    // Two requests in one write get two answers, in order.
    let two =
        "GET /v1/config HTTP/1.1\r\nHost: t\r\n\r\nGET /v1/nothing HTTP/1.1\r\nHost: t\r\n\r\n";
    client.write(two.as_bytes()).unwrap();
    assert_eq!(client.read(false).unwrap().json()["reason"], "no_document");
    assert_eq!(client.read(false).unwrap().json()["reason"], "not_found");
}

#[test]
fn operators_have_a_listener_of_their_own() {
    let served = Served::start(|_| ());
    let mut client = Client::connect(served.admin());
    assert_eq!(client.send(&Request::get("/healthz")).text(), "ok\n");
    let ready = client.send(&Request::get("/readyz"));
    assert_eq!((ready.status, ready.json()["ready"].as_bool()), (200, Some(true)));
    assert_eq!(client.send(&Request::get("/v1/batch")).json()["reason"], "not_found");
    assert_eq!(served.send(&Request::get("/metrics")).status, 404, "not for everybody");
}

#[test]
fn a_graceful_stop_under_load_keeps_every_answered_batch() {
    let mut binary = Binary::start("");
    let address = binary.address();
    let over = AtomicBool::new(false);
    let (status, acknowledged) = std::thread::scope(|scope| {
        let send = |name: usize| {
            let over = &over;
            move || {
                let mut ids = Vec::new();
                let mut client = Client::connect(address);
                while !over.load(Ordering::Acquire) {
                    let sealed = batches::sealed(&format!("load-{name}"), 10);
                    match client.try_send(&Request::batch(sealed.body)) {
                        Ok(reply) if reply.status == 200 => ids.extend(sealed.ids),
                        // It is going down: refused, or the connection is closed.
                        Ok(reply) => assert_eq!(reply.status, 503),
                        Err(_) => break,
                    }
                }
                ids
            }
        };
        let senders: Vec<_> = (0..4).map(|name| scope.spawn(send(name))).collect();
        eventually("some of the load is stored", || {
            (files::stored(&binary.data_dir()).len() > 200).then_some(())
        });
        let status = binary.stop();
        over.store(true, Ordering::Release);
        let ids = senders.into_iter().flat_map(|sender| sender.join().expect("a sender"));
        (status, ids.collect::<Vec<_>>())
    });
    assert_eq!(status.code(), Some(0));
    let stored = files::stored(&binary.data_dir());
    let found: std::collections::BTreeSet<_> = stored.iter().map(Stored::id).collect();
    let missing = acknowledged.iter().filter(|id| !found.contains(id.as_str())).count();
    assert_eq!(missing, 0, "of {} acknowledged events", acknowledged.len());
    assert_eq!(found.len(), stored.len(), "none twice");
}

#[test]
fn a_stop_does_not_wait_for_connections_that_are_idle() {
    let mut served = Served::start(|settings| settings.drain_ms = 30_000);
    let mut client = Client::connect(served.address());
    assert_eq!(client.send(&Request::batch(EVENT)).status, 200);
    let began = std::time::Instant::now();
    served.stop();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(client.is_closed());
}
