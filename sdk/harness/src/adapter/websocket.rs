//! Lines over a WebSocket that a page opens to us.
//!
//! In: a program that opens a browser with the page. Out: its text frames as lines. Killing ends the
//! program's whole process group, the browser with it; its profile stays in the adapter's home.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio as Pipe};
use std::time::{Duration, Instant};

use tungstenite::{Message, WebSocket};

use super::stdio::{command, end};
use super::{Fault, Line, Manifest};

/// How long a browser may take until its page has connected.
const CONNECT: Duration = Duration::from_secs(30);
/// How often we look whether it has.
const LOOK: Duration = Duration::from_millis(10);

/// A page and the program that opened it.
pub(super) struct Page {
    child: Child,
    socket: WebSocket<TcpStream>,
}

impl Page {
    pub(super) fn start(manifest: &Manifest, contract: &Path, home: &Path) -> Result<Self, Fault> {
        let start = |error: &dyn std::fmt::Display| Fault::Start(error.to_string());
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| start(&error))?;
        let address = listener.local_addr().map_err(|error| start(&error))?;
        let mut command = command(manifest, contract, home)?;
        command.env("TIDEGATE_HARNESS", format!("ws://{address}/adapter"));
        // It lives as long as its standard input is open.
        command.stdin(Pipe::piped()).stdout(Pipe::null()).stderr(Pipe::inherit());
        let mut child = command.spawn().map_err(|error| start(&error))?;
        match accept(&listener, &mut child) {
            Ok(socket) => Ok(Self { child, socket }),
            Err(fault) => {
                end(&mut child);
                Err(fault)
            }
        }
    }
}

fn accept(listener: &TcpListener, child: &mut Child) -> Result<WebSocket<TcpStream>, Fault> {
    let start = |error: &dyn std::fmt::Display| Fault::Start(error.to_string());
    listener.set_nonblocking(true).map_err(|error| start(&error))?;
    let until = Instant::now() + CONNECT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).map_err(|error| start(&error))?;
                stream.set_nodelay(true).map_err(|error| start(&error))?;
                return tungstenite::accept(stream).map_err(|error| start(&error));
            }
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(start(&error)),
            Err(_) if Instant::now() > until => {
                return Err(start(&format!("no page within {} s", CONNECT.as_secs())));
            }
            Err(_) => {}
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(start(&format!("its program ended with {status}")));
        }
        std::thread::sleep(LOOK);
    }
}

impl Line for Page {
    fn send(&mut self, line: &str) -> Result<(), Fault> {
        let sent = self.socket.send(Message::text(line));
        sent.map_err(|error| Fault::Gone(format!(": {error}")))
    }

    fn receive(&mut self, patience: Duration) -> Result<String, Fault> {
        let gone = |error: &dyn std::fmt::Display| Fault::Gone(format!(": {error}"));
        let set = self.socket.get_ref().set_read_timeout(Some(patience));
        set.map_err(|error| gone(&error))?;
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(text.to_string()),
                Ok(Message::Close(_)) => return Err(gone(&"closed")),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Err(Fault::Silent(patience.as_secs()));
                }
                Err(error) => return Err(gone(&error)),
            }
        }
    }

    fn kill(&mut self) {
        end(&mut self.child);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{Adapter, Answer, Transport};

    #[test]
    fn a_page_connects_and_answers() {
        // The program stands for a browser: it tells us the address and stays.
        let dir = tempfile::tempdir().expect("a folder");
        let shell = "echo $TIDEGATE_HARNESS > address.part && mv address.part address && cat";
        let manifest = Manifest {
            name: "page".to_owned(),
            command: ["sh", "-c", shell].map(str::to_owned).to_vec(),
            transport: Transport::Websocket,
            dir: dir.path().to_owned(),
        };
        let path = dir.path().join("address");
        let page = std::thread::spawn(move || {
            let until = Instant::now() + CONNECT;
            let url = loop {
                if let Ok(text) = std::fs::read_to_string(&path) {
                    break text;
                }
                assert!(Instant::now() < until, "no address");
                std::thread::sleep(LOOK);
            };
            let address = url.trim().trim_start_matches("ws://").trim_end_matches("/adapter");
            let stream = TcpStream::connect(address).expect("a listener");
            let (mut socket, _) = tungstenite::client(url.trim(), stream).expect("a handshake");
            let asked = socket.read().expect("a message").to_string();
            assert!(asked.contains(r#""op":"hello""#), "{asked}");
            socket.send(Message::text(r#"{"id":1,"ok":true,"v":{"http":0}}"#)).expect("open");
        });
        let mut adapter = Adapter::start(&manifest, dir.path(), dir.path()).expect("a page");
        let answer = adapter.call("hello", &serde_json::Map::new()).expect("an answer");
        assert_eq!(answer, Answer::Done(serde_json::json!({"http": 0})));
        page.join().expect("no panic");
        adapter.kill();
        assert!(adapter.call("hello", &serde_json::Map::new()).is_err());
    }
}
