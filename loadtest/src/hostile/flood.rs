//! Attacks on HTTP/2, over TLS as clients come in: streams that are opened and reset, headers that
//! never end, pings, settings, empty data, windows that stay shut.
//!
//! In: a gateway with TLS. Out: how far each attack got before the connection was closed, and what
//! was said at its end. Frames and time are bounded.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD_BYTES, HEADERS, PING, PREFACE,
    RST_STREAM, SETTINGS, frame, head, header, request, setting,
};
use super::report::Report;
use super::scene::apart;
use super::tls::{self, Certificates};
use super::{Line, crowd, scene_with_tls};

/// Connections that attack at the same time.
const ATTACKERS: usize = 4;
/// How long a write or read may hang.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an attacker sends as his `number`th piece.
type Piece = fn(u32) -> Vec<u8>;

/// Name, what opens it, what is repeated.
type Named = (&'static str, fn() -> Vec<u8>, Piece);

const FLOODS: [Named; 8] = [
    ("rapid reset", Vec::new, |number| {
        let stream = 2 * number + 1;
        let open =
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", "/v1/pixel.gif"));
        [open, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    }),
    ("reset by our own error", Vec::new, |number| {
        let stream = 2 * number + 1;
        let open = frame(HEADERS, END_HEADERS, stream, &request("POST", "/v1/batch"));
        // A window update of 0 makes the server reset the stream.
        [open, frame(8, 0, stream, &[0; 4])].concat()
    }),
    (
        "CONTINUATION",
        || frame(HEADERS, END_STREAM, 1, &request("GET", "/v1/config")),
        |number| frame(CONTINUATION, 0, 1, &header(&format!("x-{number}"), &"y".repeat(100))),
    ),
    (
        "empty CONTINUATION",
        || frame(HEADERS, END_STREAM, 1, &request("GET", "/v1/config")),
        |_| frame(CONTINUATION, 0, 1, &[]),
    ),
    ("PING", Vec::new, |number| frame(PING, 0, 0, &[&number.to_be_bytes()[..], &[0; 4]].concat())),
    ("SETTINGS", Vec::new, |number| frame(SETTINGS, 0, 0, &setting(4, 65_535 + (number & 1)))),
    (
        "empty DATA",
        || frame(HEADERS, END_HEADERS, 1, &request("POST", "/v1/batch")),
        |_| frame(DATA, 0, 1, &[]),
    ),
    (
        "windows that stay shut",
        || frame(SETTINGS, 0, 0, &setting(4, 0)),
        |number| {
            frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &request("GET", "/v1/config"))
        },
    ),
];

/// All floods, one after the other, against one gateway.
pub fn floods(line: &Line, report: &mut Report) -> anyhow::Result<()> {
    let certificates = Certificates::make()?;
    let mut scene = scene_with_tls(line, &certificates)?;
    let config = certificates.client(b"h2")?;
    for (name, opening, piece) in FLOODS {
        let measured = scene.play(|gateway| {
            let flood = Flood { opening, piece, frames: line.frames, seconds: line.seconds };
            apart(|| attack(gateway.listen(), &config, flood))
        })?;
        report.attack(&format!("HTTP/2 {name}"), &measured, crowd::BUDGET_MIB, 0.0);
    }
    Ok(())
}

/// What each attacker does.
#[derive(Clone, Copy)]
struct Flood {
    opening: fn() -> Vec<u8>,
    piece: Piece,
    frames: usize,
    seconds: u64,
}

/// Attackers who come again as soon as they are thrown out, for the whole time.
fn attack(address: SocketAddr, config: &Arc<ClientConfig>, flood: Flood) -> anyhow::Result<String> {
    let until = Instant::now() + Duration::from_secs(flood.seconds);
    let threads: Vec<_> = (0..ATTACKERS)
        .map(|_| {
            let config = Arc::clone(config);
            std::thread::spawn(move || {
                let mut ends = Vec::new();
                while Instant::now() < until {
                    let end = one(address, Arc::clone(&config), flood, until);
                    ends.push(end.unwrap_or_else(|error| format!("{error:#}")));
                }
                ends
            })
        })
        .collect();
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for thread in threads {
        let said = thread.join().map_err(|_| anyhow::anyhow!("an attacker panicked"))?;
        for end in said {
            *ends.entry(end).or_default() += 1;
        }
    }
    let mut ends: Vec<_> = ends.into_iter().map(|(end, count)| (count, end)).collect();
    ends.sort_unstable_by(|one, other| other.cmp(one));
    let all: u64 = ends.iter().map(|(count, _)| count).sum();
    ends.truncate(ENDS_SHOWN);
    let ends: Vec<_> = ends.iter().map(|(count, end)| format!("{count} times {end}")).collect();
    Ok(format!("{ATTACKERS} attackers, {all} connections: {}", ends.join("; ")))
}

/// The most frequent ends of connections that are told.
const ENDS_SHOWN: usize = 3;

/// Sends until the server has had enough, or all is sent; says which.
fn one(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    flood: Flood,
    until: Instant,
) -> anyhow::Result<String> {
    let mut stream = open(address, config)?;
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &(flood.opening)()].concat())?;
    let mut heard = Heard::default();
    let mut sent = 0;
    while sent < flood.frames && Instant::now() < until && !heard.ended {
        let mut pieces = Vec::new();
        for number in sent..(sent + AT_ONCE).min(flood.frames) {
            pieces.extend_from_slice(&(flood.piece)(u32::try_from(number).unwrap_or(0)));
        }
        if stream.write_all(&pieces).is_err() {
            break;
        }
        sent = (sent + AT_ONCE).min(flood.frames);
        heard.listen(&mut stream);
    }
    // What was said last is still on its way.
    let end = Instant::now() + PATIENCE;
    while !heard.ended && Instant::now() < end {
        heard.listen(&mut stream);
    }
    let end = heard.goaway.map_or_else(
        || if heard.ended { "closed".to_owned() } else { "still open".to_owned() },
        |code| format!("GOAWAY {code}"),
    );
    Ok(format!("{sent} of {} sent, {end}", flood.frames))
}

/// Pieces of one write.
const AT_ONCE: usize = 100;

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn open(address: SocketAddr, config: Arc<ClientConfig>) -> anyhow::Result<Stream> {
    let tcp = TcpStream::connect(address)?;
    tcp.set_nodelay(true)?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(ClientConnection::new(config, tls::name()?)?, tcp);
    stream.flush()?;
    let protocol = stream.conn.alpn_protocol();
    ensure!(protocol == Some(b"h2"), "the gateway does not offer h2");
    // From now on only what is there is read.
    stream.sock.set_read_timeout(Some(Duration::from_millis(1)))?;
    Ok(stream)
}

/// What the server has said so far.
#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    goaway: Option<u32>,
    ended: bool,
}

impl Heard {
    /// Reads what is there, and acknowledges settings and pings.
    fn listen(&mut self, stream: &mut Stream) {
        let mut room = [0; 16 << 10];
        loop {
            match stream.read(&mut room) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    self.bytes.extend_from_slice(room.get(..read).unwrap_or_default());
                    continue;
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => self.ended = true,
            }
            break;
        }
        while let Some(bytes) = self.bytes.first_chunk::<HEAD_BYTES>() {
            let (kind, flags, length) = head(bytes);
            if self.bytes.len() < HEAD_BYTES + length {
                break;
            }
            let rest = self.bytes.split_off(HEAD_BYTES + length);
            let whole = std::mem::replace(&mut self.bytes, rest);
            let payload = whole.get(HEAD_BYTES..).unwrap_or_default();
            match kind {
                GOAWAY => {
                    let code = payload.get(4..8).and_then(|code| code.first_chunk::<4>());
                    self.goaway = code.map(|code| u32::from_be_bytes(*code));
                }
                SETTINGS if flags & ACK == 0 => {
                    // A server that is gone is noticed by the next write of a piece.
                    drop(stream.write_all(&frame(SETTINGS, ACK, 0, &[])));
                }
                _ => {}
            }
        }
    }
}
