//! Connections: what each of them may take its time for, how many there may be, who they say they
//! are, and where they come in. Every verdict is a close or an answer, never a pause.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::support::front::LARGE;
use super::support::{Binary, Client, Mirror, Request, Served, binary, eventually};

const EVENT: &str = r#"{"type":"test"}"#;

/// What a metric with this label has counted.
fn counted(binary: &Binary, name: &str, label: &str) -> u64 {
    let key = format!("{name}{{{label}}} ");
    let text = binary.metrics();
    let count = text.lines().find_map(|line| line.strip_prefix(&key)).expect("a counter");
    count.parse().expect("a whole number")
}

fn ended(binary: &Binary, reason: &str) -> u64 {
    counted(binary, "tidegate_http_connections_ended_total", &format!("reason=\"{reason}\""))
}

fn refused(binary: &Binary, reason: &str) -> u64 {
    counted(binary, "tidegate_http_connections_refused_total", &format!("reason=\"{reason}\""))
}

/// Whom the mirror sees.
fn seen(client: &mut Client, request: &Request) -> String {
    let reply = client.send(request);
    assert_eq!(reply.status, 200);
    reply.json()["address"].as_str().expect("an address").to_owned()
}

#[test]
fn silence_drips_and_idleness_end_each_for_its_own_reason() {
    let binary = Binary::start("[http]\nfirst_byte_ms = 300\nhead_ms = 300\nidle_ms = 300\n");
    let mut silent = Client::connect(binary.address());
    assert!(silent.is_closed());
    let mut slow = Client::connect(binary.address());
    slow.write(b"POST /v1/batch HTTP/1.1\r\nHost:").expect("open");
    assert!(slow.is_closed());
    let mut idle = Client::connect(binary.address());
    assert_eq!(idle.send(&Request::batch(EVENT)).status, 200);
    assert!(idle.is_closed());
    let mut second = Client::connect(binary.address());
    assert_eq!(second.send(&Request::batch(EVENT)).status, 200);
    second.write(b"POST ").expect("open");
    assert!(second.is_closed());
    eventually("all four are counted", || {
        let all = ["first_byte", "head", "idle"].map(|reason| ended(&binary, reason));
        (all == [1, 2, 1]).then_some(())
    });
}

#[test]
fn a_head_that_is_dripped_ends_however_often_a_byte_comes() {
    let binary = Binary::start("[http]\nfirst_byte_ms = 60000\nhead_ms = 400\nidle_ms = 60000\n");
    let mut client = Client::connect(binary.address());
    let drips = "GET /v1/config HTTP/1.1\r\nx: ".bytes().chain(std::iter::repeat(b'x'));
    // Each write comes long before any limit on silence; the loop ends with the connection.
    let mut written = 0;
    for byte in drips {
        if client.write(&[byte]).is_err() {
            break;
        }
        written += 1;
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(written < 8_000, "dripped for 40 s");
    }
    eventually("it is counted", || (ended(&binary, "head") == 1).then_some(()));
}

#[test]
fn a_body_that_is_dripped_is_ended_by_its_rate() {
    let binary = Binary::start(
        "[http]\nbody_rate_min = 100000\nbody_grace_ms = 200\n[limits]\nbody_ms = 60000\n",
    );
    let mut client = Client::connect(binary.address());
    client.write(b"POST /v1/batch HTTP/1.1\r\nHost: t\r\nContent-Length: 90000\r\n\r\n").unwrap();
    let mut reader = Client::connect(binary.address());
    drop(reader.send(&Request::batch(EVENT)));
    let drip = || {
        // Until the reply is there, which the loop below reads.
        for _ in 0..40 {
            if client.write(b"          ").is_err() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        client.read(false)
    };
    let mut drip = drip;
    let reply = drip().expect("a reply");
    assert_eq!((reply.status, reply.json()["reason"].as_str()), (408, Some("body_timeout")));
    assert_eq!(counted(&binary, "tidegate_http_late_bodies_total", "limit=\"rate\""), 1);
    // One that brings what is asked takes as long as it needs, beyond the grace.
    let mut honest = Client::connect(binary.address());
    let event = format!("{EVENT}\n");
    let body = event.repeat(4_000);
    let head =
        format!("POST /v1/batch HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len());
    honest.write(head.as_bytes()).expect("open");
    for part in body.as_bytes().chunks(6_400) {
        honest.write(part).expect("open");
        std::thread::sleep(std::time::Duration::from_millis(40));
    }
    assert_eq!(honest.read(false).expect("a reply").status, 200);
}

#[test]
fn a_client_that_does_not_take_its_reply_is_let_go() {
    let before = super::support::front::counted(ENDED, "reason=\"write\"");
    let mirror = Mirror::start(|settings| settings.http.write_ms = 300);
    let mut stream = TcpStream::connect(mirror.address()).expect("open");
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n").expect("open");
    eventually("it is counted", || {
        (super::support::front::counted(ENDED, "reason=\"write\"") > before).then_some(())
    });
    let mut read = Vec::new();
    // What lies in the sockets still comes, and then the end, or a reset.
    let _ended = stream.read_to_end(&mut read);
    assert!(read.len() < LARGE, "{}", read.len());
}

const ENDED: &str = "tidegate_http_connections_ended_total";

#[test]
fn age_and_number_of_requests_end_a_connection_with_its_reply() {
    let mirror = Mirror::start(|settings| settings.http.requests_per_connection_max = 3);
    let mut client = Client::connect(mirror.address());
    for _ in 0..2 {
        assert_eq!(client.send(&Request::get("/")).header("connection"), None);
    }
    assert_eq!(client.send(&Request::get("/")).header("connection").as_deref(), Some("close"));
    assert!(client.is_closed());
    let mirror = Mirror::start(|settings| settings.http.connection_age_ms = 50);
    let mut client = Client::connect(mirror.address());
    eventually("a reply that is the last", || {
        let last = client.send(&Request::get("/")).header("connection").is_some();
        last.then_some(())
    });
    assert!(client.is_closed());
}

#[test]
fn caps_are_in_all_and_for_each_address() {
    let binary = Binary::start(
        "trusted_proxies = [\"127.0.0.9\"]\n\
         [limits]\nconnections_max = 6\nconnections_per_address_max = 2\n",
    );
    let from = |source: &str| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        let source: std::net::SocketAddr = format!("{source}:0").parse().expect("an address");
        socket.bind(&source.into())?;
        socket.connect(&binary.address().into())?;
        Ok::<_, std::io::Error>(Client::over(TcpStream::from(socket)))
    };
    let asks = |client: &mut Client| client.try_send(&Request::get("/v1/config")).is_ok();
    let mut one = [from("127.0.0.2"), from("127.0.0.2")].map(|client| client.expect("open"));
    assert!(one.iter_mut().all(asks));
    let mut third = from("127.0.0.2").expect("open");
    assert!(!asks(&mut third), "one address has had its share");
    let mut proxy: Vec<_> = (0..3).map(|_| from("127.0.0.9").expect("open")).collect();
    assert!(proxy.iter_mut().all(asks), "a proxy speaks for many");
    assert_eq!(refused(&binary, "address"), 1);
    let mut other = from("127.0.0.3").expect("open");
    assert!(asks(&mut other));
    let mut last = from("127.0.0.4").expect("open");
    assert!(!asks(&mut last), "all places are taken");
    assert_eq!(refused(&binary, "total"), 1);
    drop(one);
    eventually("places are given back", || asks(&mut from("127.0.0.2").ok()?).then_some(()));
}

#[test]
fn a_proxys_header_says_the_client_and_nobody_else_may_send_one() {
    let proxied = |trusted: &'static str| {
        Mirror::start(move |settings| {
            settings.trusted_proxies = vec![trusted.parse().expect("a network")];
            settings.http.proxy_protocol = tidegate::accept::ProxyProtocol::Required;
            settings.http.proxy_ms = 300;
        })
    };
    let mirror = proxied("127.0.0.0/8");
    let sent = |first: &[u8]| {
        let mut client = Client::connect(mirror.address());
        client.write(first).expect("open");
        client
    };
    let request = Request::get("/").header("X-Forwarded-For", "6.6.6.6");
    let mut text = sent(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n");
    assert_eq!(seen(&mut text, &request), "192.0.2.1", "the client itself is not trusted");
    let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x12\x34\0\x50";
    assert_eq!(seen(&mut sent(binary), &request), "192.0.2.7");
    // The header in pieces, and its last byte together with the request.
    let mut pieces = sent(&binary[..20]);
    pieces.write(&binary[20..]).expect("open");
    assert_eq!(seen(&mut pieces, &Request::get("/")), "192.0.2.7");
    let mut health = sent(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    assert_eq!(seen(&mut health, &Request::get("/")), "127.0.0.1");
    assert!(sent(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").is_closed(), "without a header");
    assert!(sent(&[b"PROXY ", &[b'x'; 300][..]].concat()).is_closed(), "damaged");
    assert!(sent(b"PROXY TCP4 192.").is_closed(), "late");
    assert!(sent(b"").is_closed(), "later still");
    let strict = proxied("10.0.0.0/8");
    let mut forged = Client::connect(strict.address());
    drop(forged.write(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n"));
    assert!(forged.try_send(&Request::get("/")).is_err(), "from nobody who may");
}

#[test]
fn a_forwarded_address_is_believed_of_trusted_proxies_only() {
    let request = Request::get("/")
        .header("X-Forwarded-For", "6.6.6.6, 192.0.2.1, 127.0.0.7")
        .header("Forwarded", "for=6.6.6.7");
    let mirror = Mirror::start(|settings| {
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    });
    assert_eq!(seen(&mut Client::connect(mirror.address()), &request), "192.0.2.1");
    let mirror = Mirror::start(|_| ());
    assert_eq!(seen(&mut Client::connect(mirror.address()), &request), "127.0.0.1", "forged");
}

#[test]
fn cleartext_http_2_is_closed() {
    let mirror = Mirror::start(|_| ());
    let mut client = Client::connect(mirror.address());
    client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").expect("open");
    let answer = client.read(false).map(|reply| reply.status);
    assert!(matches!(answer, Ok(400 | 505) | Err(_)), "{answer:?}");
    assert!(client.is_closed());
}

#[test]
fn a_unix_socket_takes_batches_and_outlives_a_dead_process() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("ingest.sock");
    let listen = format!("unix:{}", path.display()).parse().expect("an address");
    // Left behind by somebody who was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    let mut served = Served::start(|settings| settings.listen.0.push(listen));
    let mut client = Client::over(UnixStream::connect(&path).expect("a listener"));
    assert_eq!(client.send(&Request::batch(EVENT)).status, 200);
    assert_eq!(served.send(&Request::batch(EVENT)).status, 200, "beside TCP");
    served.stop();
    assert_eq!(served.stored().len(), 2);
}

#[test]
fn sockets_that_systemd_has_opened_are_taken_over() {
    let binary = Binary::prepare(
        "listen = \"systemd\"\n[[keys]]\nkey = \"wk_test\"\napp = \"a\"\nkind = \"public\"\n",
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    // A shell in systemd's place: the socket is descriptor 3, and the process id its own.
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    command.args(["-c", script, "systemd"]).arg(binary::program()).arg("run");
    binary.configure(&mut command);
    command.env("TIDEGATE__LISTEN", "systemd").stderr(Stdio::null());
    command.stdin(Stdio::from(OwnedFd::from(listener)));
    let mut child = command.spawn().expect("a shell");
    let mut client = Client::connect(address);
    let status = client.try_send(&Request::post("/v1/batch?key=wk_test", EVENT));
    child.kill().expect("a process of ours");
    child.wait().expect("its end");
    assert_eq!(status.expect("a reply").status, 200);
}

#[test]
fn a_stop_ends_idle_connections_and_lets_open_requests_finish() {
    let mirror = Mirror::start(|_| ());
    let mut idle = Client::connect(mirror.address());
    assert_eq!(idle.send(&Request::get("/")).status, 200);
    let mut open = Client::connect(mirror.address());
    open.write(b"POST /hold HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nab").expect("open");
    // Answered behind it on the same thread, so its head has been read when this reply is there.
    assert_eq!(Client::connect(mirror.address()).send(&Request::get("/")).status, 200);
    mirror.ask_to_stop();
    assert!(idle.is_closed());
    open.write(b"cd").expect("open");
    let reply = open.read(false).expect("a reply");
    assert_eq!((reply.status, reply.header("connection").as_deref()), (200, Some("close")));
    assert!(open.is_closed());
}
