//! Lines over a WebSocket that a page opens to us.
//!
//! In: a program that opens a browser with the page. Out: its text frames as lines. Killing ends
//! the program's whole process group, the browser with it. A page that is done with makes room for
//! the next one in the same browser.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio as Pipe};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use super::pages::{Pages, Remains};
use super::stdio::{command, end};
use super::{Fault, Line, Manifest};

/// How long a browser may take until its page has connected.
const CONNECT: Duration = Duration::from_secs(30);
/// How often we look whether it has.
const LOOK: Duration = Duration::from_millis(1);

/// A program that has a browser.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// A browser, and where the page that it opens will connect to.
pub(super) struct Browser {
    program: Program,
    profile: TempDir,
    /// Pages of different numbers are of different origins.
    origin: u32,
    listener: TcpListener,
}

/// A page, and the browser that it is in unless that was killed.
pub(super) struct Page {
    browser: Option<Browser>,
    socket: WebSocket<TcpStream>,
    home: PathBuf,
    pages: Pages,
}

impl Page {
    /// A new page for the scenario of this folder, or the one that it killed.
    pub(super) fn start(
        manifest: &Manifest,
        contract: &Path,
        home: &Path,
        pages: &Pages,
    ) -> Result<Self, Fault> {
        let remains = pages.remains(home);
        // One that has died while it waited is no fault of the next scenario.
        while remains.is_none()
            && let Some(browser) = pages.free()
        {
            if let Ok(page) = Self::open(browser, home, pages) {
                return Ok(page);
            }
        }
        let fresh = || {
            let made = tempfile::Builder::new().prefix("tidegate-browser-").tempdir();
            let profile = made.map_err(|error| Fault::Start(error.to_string()))?;
            Ok(Remains { profile, origin: 1 })
        };
        let remains = remains.map_or_else(fresh, Ok)?;
        Self::open(Browser::start(manifest, contract, remains)?, home, pages)
    }

    fn open(mut browser: Browser, home: &Path, pages: &Pages) -> Result<Self, Fault> {
        let socket = accept(&browser.listener, &mut browser.program.0)?;
        let (home, pages) = (home.to_owned(), pages.clone());
        Ok(Self { browser: Some(browser), socket, home, pages })
    }

    /// Sends the browser to its next page. Whether it goes is seen when that is wanted.
    fn leave(&mut self, mut browser: Browser) -> Result<(), Fault> {
        let (listener, address) = listen()?;
        browser.listener = listener;
        browser.origin += 1;
        let url = url(&address, browser.origin);
        self.send(&json!({"id": 0, "op": "go", "harness": url}).to_string())?;
        self.pages.put(browser);
        Ok(())
    }
}

impl Browser {
    fn start(manifest: &Manifest, contract: &Path, remains: Remains) -> Result<Self, Fault> {
        let Remains { profile, origin } = remains;
        let (listener, address) = listen()?;
        let mut command = command(manifest, contract, profile.path())?;
        command.env("TIDEGATE_HARNESS", url(&address, origin));
        // It lives as long as its standard input is open.
        command.stdin(Pipe::piped()).stdout(Pipe::null()).stderr(Pipe::inherit());
        let child = command.spawn().map_err(|error| Fault::Start(error.to_string()))?;
        Ok(Self { program: Program(child), profile, origin, listener })
    }
}

fn listen() -> Result<(TcpListener, String), Fault> {
    let start = |error: std::io::Error| Fault::Start(error.to_string());
    let listener = TcpListener::bind("127.0.0.1:0").map_err(start)?;
    let address = listener.local_addr().map_err(start)?;
    Ok((listener, address.to_string()))
}

fn url(address: &str, origin: u32) -> String {
    format!("ws://{address}/page{origin}")
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
        let Some(Browser { program, profile, origin, .. }) = self.browser.take() else { return };
        drop(program);
        self.pages.bury(self.home.clone(), Remains { profile, origin });
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if let Some(browser) = self.browser.take() {
            // A browser that cannot be sent on ends here.
            drop(self.leave(browser));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{Adapter, Answer, Transport};

    /// The address that the program was given, which stands for a browser: it tells it, and stays.
    fn address(path: &Path) -> String {
        let until = Instant::now() + CONNECT;
        loop {
            if let Ok(text) = std::fs::read_to_string(path) {
                return text.trim().to_owned();
            }
            assert!(Instant::now() < until, "no address");
            std::thread::sleep(LOOK);
        }
    }

    fn connect(url: &str) -> WebSocket<TcpStream> {
        let address = url.trim_start_matches("ws://").split('/').next().expect("an address");
        let stream = TcpStream::connect(address).expect("a listener");
        tungstenite::client(url, stream).expect("a handshake").0
    }

    fn answer(socket: &mut WebSocket<TcpStream>) -> String {
        let asked = socket.read().expect("a message").to_string();
        if asked.contains(r#""op":"hello""#) {
            socket.send(Message::text(r#"{"id":1,"ok":true,"v":{"http":0}}"#)).expect("open");
        }
        asked
    }

    fn hello(adapter: &mut Adapter) {
        let answer = adapter.call("hello", &serde_json::Map::new()).expect("an answer");
        assert_eq!(answer, Answer::Done(json!({"http": 0})));
    }

    #[test]
    fn one_browser_serves_page_after_page_until_it_is_killed() {
        let dir = tempfile::tempdir().expect("a folder");
        let shell = "echo $TIDEGATE_HARNESS $TIDEGATE_HOME > part && mv part address && cat";
        let manifest = Manifest {
            name: "page".to_owned(),
            command: ["sh", "-c", shell].map(str::to_owned).to_vec(),
            transport: Transport::Websocket,
            dir: dir.path().to_owned(),
        };
        let path = dir.path().join("address");
        let home = tempfile::tempdir().expect("a folder");
        let pages = Pages::default();
        let start = || Adapter::start(&manifest, dir.path(), home.path(), &pages).expect("a page");

        let told = path.clone();
        let browser = std::thread::spawn(move || {
            let told = address(&told);
            let (url, profile) = told.split_once(' ').expect("two words");
            assert!(url.ends_with("/page1"), "{url}");
            let mut first = connect(url);
            answer(&mut first);
            // It is sent on when the first page is done with.
            let go: serde_json::Value = serde_json::from_str(&answer(&mut first)).expect("JSON");
            assert_eq!(go["op"], "go");
            let next = go["harness"].as_str().expect("a text").to_owned();
            assert!(next.ends_with("/page2"), "{next}");
            answer(&mut connect(&next));
            profile.to_owned()
        });
        let mut adapter = start();
        hello(&mut adapter);
        drop(adapter);
        std::fs::remove_file(&path).expect("one program so far");
        let mut adapter = start();
        hello(&mut adapter);
        let profile = browser.join().expect("no panic");
        assert!(!path.exists(), "a second program was started");

        adapter.kill();
        assert!(adapter.call("hello", &serde_json::Map::new()).is_err());
        drop(adapter);
        let told = path.clone();
        let again = std::thread::spawn(move || {
            let told = address(&told);
            let (url, profile) = told.split_once(' ').expect("two words");
            answer(&mut connect(url));
            (url.ends_with("/page2"), profile.to_owned())
        });
        hello(&mut start());
        assert_eq!(again.join().expect("no panic"), (true, profile), "its origin and profile");
    }
}
