//! TLS as clients meet it, and HTTP/2, which is spoken nowhere else.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use tidegate::accept::tls::settings::{Certificate, ClientAuth};
use tidegate::settings::Settings;

use super::support::certificates::{Authority, Pair, certificate};
use super::support::{Binary, Client, Mirror, Request, Served, batches, eventually};

type Secure = StreamOwned<ClientConnection, TcpStream>;

/// A handshake from its first to its last byte.
pub(super) fn shake(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<Secure> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connection = ClientConnection::new(Arc::clone(config), name).expect("a configuration");
    let mut stream = StreamOwned::new(connection, Client::socket(address)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Asks the mirror whom it sees; an error if it does not even talk.
fn subject(address: SocketAddr, config: ClientConfig) -> std::io::Result<Option<String>> {
    let stream = shake(address, "localhost", &Arc::new(config))?;
    let reply = Client::over(stream).try_send(&Request::get("/"))?;
    Ok(reply.json()["subject"].as_str().map(str::to_owned))
}

pub(super) fn use_pair(settings: &mut Settings, pair: &Pair) {
    (settings.tls.cert, settings.tls.key) = (pair.cert.clone(), pair.key.clone());
}

/// The certificate that a server shows for a name.
fn shown(address: SocketAddr, name: &str, authority: &Authority) -> Vec<u8> {
    let stream = shake(address, name, &Arc::new(authority.trusting(None))).expect("a handshake");
    stream.conn.peer_certificates().expect("a certificate")[0].to_vec()
}

pub(super) fn of(pair: &Pair) -> Vec<u8> {
    certificate(&pair.cert).to_vec()
}

#[test]
fn batches_come_in_over_both_versions_of_tls() {
    let authority = Authority::new();
    let pair = authority.server("one", &["localhost"]);
    let mut served = Served::start(|settings| use_pair(settings, &pair));
    let mut kinds = Vec::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut config = authority.trusting(None);
        let provider = Arc::clone(config.crypto_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate(&authority.root())).expect("a root");
        config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        for _ in 0..2 {
            let stream = shake(served.address(), "localhost", &config).expect("a handshake");
            kinds.push(stream.conn.handshake_kind());
            let mut client = Client::over(stream);
            assert_eq!(client.send(&Request::batch(batches::sealed("tls", 5).body)).status, 200);
        }
    }
    let (full, resumed) = (Some(HandshakeKind::Full), Some(HandshakeKind::Resumed));
    assert_eq!(kinds, [full, resumed, full, resumed]);
    served.stop();
    assert_eq!(served.stored().len(), 20);
}

#[test]
fn the_name_that_a_client_asks_for_decides_what_it_is_shown() {
    let authority = Authority::new();
    let first = authority.server("first", &["localhost", "a.example"]);
    let second = authority.server("second", &["b.example", "*.c.example"]);
    let third = authority.server("third", &["a.example", "d.example"]);
    let mirror = Mirror::start(|settings| {
        use_pair(settings, &first);
        let further = |pair: &Pair, names: &[&str]| Certificate {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            cert: pair.cert.clone(),
            key: pair.key.clone(),
        };
        settings.tls.certificates = vec![further(&second, &[]), further(&third, &["d.example"])];
    });
    let address = mirror.address();
    for (name, pair) in [
        ("localhost", &first),
        ("a.example", &first),
        ("B.Example", &second),
        ("x.c.example", &second),
        ("d.example", &third),
    ] {
        assert_eq!(shown(address, name, &authority), of(pair), "{name}");
    }
    let unknown = shake(address, "e.example", &Arc::new(authority.trusting(None)));
    assert!(unknown.is_err(), "it gets the first one, which is not for it");
}

#[test]
fn a_client_with_a_certificate_is_known_by_its_name() {
    let authority = Authority::new();
    let other = Authority::new();
    let pair = authority.server("server", &["localhost"]);
    let crl = authority.revoke(66);
    let start = |auth: ClientAuth| {
        Mirror::start(|settings| {
            use_pair(settings, &pair);
            settings.tls.client_ca = authority.root();
            settings.tls.client_auth = auth;
            settings.tls.client_crl.clone_from(&crl);
        })
    };
    let strict = start(ClientAuth::Required);
    let lenient = start(ClientAuth::Optional);
    let shop = authority.client("shop", 7);
    let revoked = authority.client("revoked", 66);
    let expired = authority.expired_client("expired");
    let stranger = other.client("shop", 8);
    for mirror in [&strict, &lenient] {
        let ask = |shows: Option<&Pair>| subject(mirror.address(), authority.trusting(shows));
        assert_eq!(ask(Some(&shop)).expect("a reply").as_deref(), Some("shop"));
        assert!(ask(Some(&revoked)).is_err(), "revoked");
        assert!(ask(Some(&expired)).is_err(), "expired");
        assert!(ask(Some(&stranger)).is_err(), "another authority's");
    }
    assert!(subject(strict.address(), authority.trusting(None)).is_err(), "without");
    assert_eq!(subject(lenient.address(), authority.trusting(None)).expect("a reply"), None);
    // A session that is resumed is still that client's, until certificates are read anew.
    let config = Arc::new(authority.trusting(Some(&shop)));
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let stream = shake(strict.address(), "localhost", &config).expect("a handshake");
        kinds.push(stream.conn.handshake_kind());
        let reply = Client::over(stream).send(&Request::get("/"));
        assert_eq!(reply.json()["subject"], "shop");
    }
    assert_eq!(kinds[1], Some(HandshakeKind::Resumed));
}

#[test]
fn certificates_are_swapped_under_open_connections_and_only_for_good_ones() {
    let authority = Authority::new();
    let [old, new] = ["old", "new"].map(|file| authority.server(file, &["localhost"]));
    let mirror = Mirror::start(|settings| use_pair(settings, &old));
    let certificates = mirror.certificates.clone().expect("tls");
    let config = Arc::new(authority.trusting(None));
    let connect = || shake(mirror.address(), "localhost", &config).expect("a handshake");
    let mut open = Client::over(connect());
    assert_eq!(open.send(&Request::get("/")).status, 200);
    let mut settings = tidegate::accept::tls::Settings::default();
    (settings.cert, settings.key) = (old.cert.clone(), new.key.clone());
    let error = certificates.reload(&settings).expect_err("another one's key").to_string();
    assert!(error.contains("old.crt") && error.contains("new.key"), "{error}");
    settings.key = Path::new("/no/such.key").into();
    assert!(certificates.reload(&settings).expect_err("no file").to_string().contains("such.key"));
    // As openssl writes it when it asks for a password.
    let locked = old.key.with_file_name("locked.key");
    let text = std::fs::read_to_string(&old.key).expect("a key");
    std::fs::write(&locked, text.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")).expect("room");
    settings.key = locked;
    let error = certificates.reload(&settings).expect_err("it needs a password").to_string();
    assert!(error.contains("locked.key holds a key that is encrypted"), "{error}");
    settings.cert = std::path::PathBuf::new();
    assert!(certificates.reload(&settings).is_err(), "TLS stays on");
    assert_eq!(shown(mirror.address(), "localhost", &authority), of(&old));
    (settings.cert, settings.key) = (new.cert.clone(), new.key.clone());
    certificates.reload(&settings).expect("a good pair");
    assert_eq!(shown(mirror.address(), "localhost", &authority), of(&new));
    assert_eq!(open.send(&Request::get("/")).status, 200, "open connections stay");
    let first = connect();
    assert_eq!(first.conn.handshake_kind(), Some(HandshakeKind::Full), "old tickets are void");
}

#[test]
fn a_key_that_does_not_match_ends_the_start_and_names_both_files() {
    let authority = Authority::new();
    let [one, two] = ["one", "two"].map(|file| authority.server(file, &["localhost"]));
    let (cert, key) = (one.cert.display(), two.key.display());
    for text in [
        format!("[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n"),
        format!("[tls]\ncert = \"{cert}\"\nkey = \"{cert}\"\n"),
        format!("[tls]\nkey = \"{key}\"\n"),
        format!("[tls]\ncert = \"{key}\"\nkey = \"{key}\"\n"),
    ] {
        for command in ["check", "run"] {
            let output = Binary::prepare(&text).command(&[command]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success(), "{text}");
            let named = said.contains("one.crt") && said.contains("two.key");
            assert!(
                named || text.matches("two.key").count() != 1 || said.contains("tls."),
                "{said}"
            );
        }
    }
}

#[test]
fn a_handshake_that_does_not_end_is_ended() {
    let authority = Authority::new();
    let pair = authority.server("server", &["localhost"]);
    let mirror = Mirror::start(|settings| {
        use_pair(settings, &pair);
        settings.tls.handshake_ms = 200;
        settings.tls.handshakes_max = 2;
    });
    let mut silent = Client::connect(mirror.address());
    let mut begun = Client::connect(mirror.address());
    begun.write(b"\x16\x03\x01\x01\x00").expect("open");
    assert!(silent.is_closed() && begun.is_closed());
    let mut plain = Client::connect(mirror.address());
    plain.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").expect("open");
    assert!(plain.read(false).is_err(), "cleartext where TLS is spoken");
}

/// HTTP/2 by hand: a connection over TLS, and what an honest client of it does.
mod two {
    use super::*;

    use bytes::Bytes;
    use h2::client::SendRequest;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    /// A GET of `/`, from the static table but for its authority.
    const HEAD: &[u8] = b"\x82\x87\x84\x41\x01t";

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    async fn secure(
        address: SocketAddr,
        authority: &Authority,
    ) -> TlsStream<tokio::net::TcpStream> {
        let mut config = authority.trusting(None);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = tokio::net::TcpStream::connect(address).await.expect("open");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let stream = stream.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        stream
    }

    async fn open(address: SocketAddr, authority: &Authority) -> SendRequest<Bytes> {
        let (sender, connection) =
            h2::client::handshake(secure(address, authority).await).await.expect("HTTP/2");
        tokio::spawn(async move { drop(connection.await) });
        sender
    }

    /// Sends a request with a body; gives status, headers and the reply's text.
    async fn send(
        sender: &SendRequest<Bytes>,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<(hyper::http::response::Parts, String), h2::Error> {
        let request = hyper::Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"))
            .body(())
            .expect("a request");
        let mut ready = sender.clone().ready().await?;
        let (response, mut stream) = ready.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            // A server that refuses may have reset the stream already.
            drop(stream.send_data(Bytes::copy_from_slice(body), true));
        }
        let (head, mut body) = response.await?.into_parts();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            text.extend_from_slice(&data?);
        }
        Ok((head, String::from_utf8_lossy(&text).into_owned()))
    }

    /// The type and last words of every frame until the end.
    async fn frames(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            if stream.read_exact(&mut payload).await.is_err() {
                break;
            }
            frames.push((head[3], payload));
        }
        frames
    }

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags];
        [&head[..], &stream.to_be_bytes(), payload].concat()
    }

    fn mirror(authority: &Authority, adjust: impl FnOnce(&mut Settings)) -> Mirror {
        let pair = authority.server("server", &["localhost"]);
        Mirror::start(|settings| {
            use_pair(settings, &pair);
            adjust(settings);
        })
    }

    #[test]
    fn batches_come_in_as_streams_and_a_refusal_ends_only_its_own() {
        let authority = Authority::new();
        let pair = authority.server("server", &["localhost"]);
        let mut served = Served::start(|settings| use_pair(settings, &pair));
        runtime().block_on(async {
            let sender = open(served.address(), &authority).await;
            let sealed: Vec<_> = (0..5).map(|_| batches::sealed("h2", 4).body).collect();
            let replies = sealed.iter().map(|body| send(&sender, "POST", "/v1/batch", body));
            for reply in replies {
                let (head, text) = reply.await.expect("a reply");
                assert_eq!(head.status, 200, "{text}");
                assert!(!head.headers.contains_key("connection"));
            }
            // Refused with its body unread, on the same connection as what follows.
            let large = vec![b' '; 3 << 20];
            let refused = send(&sender, "POST", "/nowhere", &large).await;
            if let Ok((head, _)) = refused {
                assert_eq!(head.status, 404);
                assert!(!head.headers.contains_key("connection"));
            }
            let after = send(&sender, "POST", "/v1/batch", &batches::sealed("h2", 4).body).await;
            assert_eq!(after.expect("a reply").0.status, 200);
        });
        served.stop();
        assert_eq!(served.stored().len(), 24);
    }

    #[test]
    fn its_requests_are_limited_and_then_it_is_told_to_go() {
        let authority = Authority::new();
        let mirror = mirror(&authority, |settings| {
            settings.http.requests_per_connection_max = 3;
        });
        runtime().block_on(async {
            let sender = open(mirror.address(), &authority).await;
            let mut answered = 0;
            while let Ok((head, text)) = send(&sender, "GET", "/", b"").await {
                assert!(head.status == 200 && text.contains("HTTP/2"), "{text}");
                answered += 1;
                assert!(answered < 100, "it never goes away");
            }
            assert!(answered >= 3, "{answered}");
        });
    }

    #[test]
    fn floods_end_the_connection_and_give_all_memory_back() {
        let authority = Authority::new();
        let mirror = mirror(&authority, |_| ());
        let rapid = |at: u32| {
            let stream = 2 * at + 1;
            [frame(1, 5, stream, HEAD), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
        };
        let continued: Vec<u8> = std::iter::once(frame(1, 1, 1, HEAD))
            .chain((0..4_000).map(|_| frame(9, 0, 1, b"\x40\x01a\x01b")))
            .flatten()
            .collect();
        let floods: Vec<(&str, Vec<u8>)> = vec![
            ("ping", frame(6, 0, 0, &[7; 8]).repeat(20_000)),
            ("settings", frame(4, 0, 0, &[]).repeat(20_000)),
            ("rapid reset", (0..20_000).flat_map(rapid).collect()),
            ("continuation", continued),
            ("empty data", [frame(1, 4, 1, HEAD), frame(0, 0, 1, b"").repeat(20_000)].concat()),
            ("priority", frame(2, 0, 1, &[0, 0, 0, 0, 1]).repeat(20_000)),
        ];
        for (name, flood) in floods {
            runtime().block_on(async {
                let (mut reader, mut writer) =
                    tokio::io::split(secure(mirror.address(), &authority).await);
                let write = async {
                    let sent = [PREFACE, &frame(4, 0, 0, &[]), &flood].concat();
                    // It is closed in the middle.
                    drop(writer.write_all(&sent).await);
                    std::future::pending::<()>().await;
                };
                let read = async {
                    let frames = frames(&mut reader).await;
                    let pongs = frames.iter().filter(|(kind, _)| *kind == 6).count();
                    assert!(pongs < 5_000, "{name}: {pongs} were answered");
                };
                tokio::select! {
                    () = read => {}
                    () = write => {}
                }
            });
            eventually("its memory is given back", || {
                let parts = mirror.budget.parts();
                let held: u64 =
                    parts.filter(|(part, _)| *part == "connections").map(|(_, bytes)| bytes).sum();
                (held == 0).then_some(())
            });
        }
    }

    #[test]
    fn a_stream_that_memory_has_no_room_for_is_refused_and_may_be_repeated() {
        let authority = Authority::new();
        let mirror = mirror(&authority, |_| ());
        runtime().block_on(async {
            let sender = open(mirror.address(), &authority).await;
            assert_eq!(send(&sender, "GET", "/", b"").await.expect("room").0.status, 200);
            let take = |bytes| mirror.budget.take(tidegate::model::Part::Connections, bytes);
            // All that is left, in ever smaller pieces.
            let mut all = Vec::new();
            for shift in (10..30).rev() {
                while let Some(charge) = take(1 << shift) {
                    all.push(charge);
                }
            }
            let error = send(&sender, "GET", "/", b"").await.expect_err("no room");
            assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM));
            drop(all);
            assert_eq!(send(&sender, "GET", "/", b"").await.expect("room").0.status, 200);
        });
    }

    #[test]
    fn a_stop_says_goodbye_and_waits_for_open_streams() {
        let authority = Authority::new();
        let mirror = mirror(&authority, |_| ());
        runtime().block_on(async {
            let sender = open(mirror.address(), &authority).await;
            let request = hyper::Request::post("https://localhost/hold").body(()).expect("one");
            let mut ready = sender.clone().ready().await.expect("open");
            let (response, mut stream) = ready.send_request(request, false).expect("open");
            stream.send_data(Bytes::from_static(b"ab"), false).expect("open");
            assert_eq!(send(&sender, "GET", "/", b"").await.expect("a reply").0.status, 200);
            mirror.ask_to_stop();
            stream.send_data(Bytes::from_static(b"cd"), true).expect("open");
            let reply = response.await.expect("a reply");
            assert_eq!(reply.status(), 200);
            let mut sender = sender;
            let gone = std::future::poll_fn(|cx| sender.poll_ready(cx));
            // Goodbye may take a moment; then no stream can be opened any more.
            drop(gone.await);
            let mut tries = 0;
            while send(&sender, "GET", "/", b"").await.is_ok() {
                tries += 1;
                assert!(tries < 1_000, "it never goes away");
            }
        });
    }
}
