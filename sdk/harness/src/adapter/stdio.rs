//! Lines over pipes of a child process, and over a socket to a forked grandchild.
//!
//! In: lines. Out: lines. A thread reads them, so that waiting has an end. The child has a process
//! group of its own, which is killed as a whole.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio as Pipe};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Fault, Line, Manifest};

/// Answers that may wait for us; there is never more than one.
const WAITING_MAX: usize = 4;
/// Longest line.
const LINE_BYTES_MAX: u64 = 8 << 20;
/// Lines of standard error that are kept for messages.
const LOG_LINES_MAX: usize = 20;

/// A child process.
pub(super) struct Stdio {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    log: Arc<Mutex<VecDeque<String>>>,
}

/// Makes the command of a manifest.
pub(super) fn command(manifest: &Manifest, contract: &Path, home: &Path) -> Result<Command, Fault> {
    let start = |error: &dyn std::fmt::Display| Fault::Start(error.to_string());
    let (program, arguments) =
        manifest.command.split_first().ok_or_else(|| start(&"no command"))?;
    let contract = contract.canonicalize().map_err(|error| start(&error))?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&manifest.dir).process_group(0);
    command.env("TIDEGATE_CONTRACT", contract).env("TIDEGATE_HOME", home);
    Ok(command)
}

/// Kills a child's whole group and reaps it.
pub(super) fn end(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None))
        && let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
    {
        // It may just have ended by itself.
        kill_process_group(group, Signal::KILL).ok();
    }
    drop(child.wait());
}

/// Reads lines in a thread of its own.
fn lines(source: impl Read + Send + 'static) -> Result<Receiver<String>, Fault> {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let reader = move || {
        let mut source = BufReader::new(source);
        loop {
            let mut line = String::new();
            match (&mut source).take(LINE_BYTES_MAX).read_line(&mut line) {
                Ok(1..) if sender.send(line).is_ok() => {}
                _ => return,
            }
        }
    };
    let started = thread::Builder::new().name("adapter".to_owned()).spawn(reader);
    started.map_err(|error| Fault::Start(error.to_string()))?;
    Ok(receiver)
}

/// Keeps the last lines of standard error.
pub(super) fn keep_log(source: impl Read + Send + 'static) -> Arc<Mutex<VecDeque<String>>> {
    let log = Arc::new(Mutex::new(VecDeque::new()));
    let kept = Arc::clone(&log);
    let reader = move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == LOG_LINES_MAX {
                kept.pop_front();
            }
            kept.push_back(line);
        }
    };
    drop(thread::Builder::new().name("adapter-log".to_owned()).spawn(reader));
    log
}

fn wait(lines: &Receiver<String>, patience: Duration, log: &str) -> Result<String, Fault> {
    lines.recv_timeout(patience).map_err(|error| match error {
        RecvTimeoutError::Timeout => Fault::Silent(patience.as_secs()),
        RecvTimeoutError::Disconnected => Fault::Gone(log.to_owned()),
    })
}

impl Stdio {
    pub(super) fn start(manifest: &Manifest, contract: &Path, home: &Path) -> Result<Self, Fault> {
        let mut command = command(manifest, contract, home)?;
        command.stdin(Pipe::piped()).stdout(Pipe::piped()).stderr(Pipe::piped());
        let mut child = command
            .spawn()
            .map_err(|error| Fault::Start(format!("{}: {error}", manifest.command.join(" "))))?;
        let piped = || Fault::Start("no pipes".to_owned());
        let input = child.stdin.take().ok_or_else(piped)?;
        let lines = lines(child.stdout.take().ok_or_else(piped)?)?;
        let log = keep_log(child.stderr.take().ok_or_else(piped)?);
        Ok(Self { child, input: Some(input), lines, log })
    }

    fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.is_empty() {
            return String::new();
        }
        let lines: Vec<&str> = log.iter().map(String::as_str).collect();
        format!("; its last words:\n{}", lines.join("\n"))
    }
}

impl Line for Stdio {
    fn send(&mut self, line: &str) -> Result<(), Fault> {
        let written = match &mut self.input {
            Some(input) => input.write_all(format!("{line}\n").as_bytes()).is_ok(),
            None => false,
        };
        if written { Ok(()) } else { Err(Fault::Gone(self.log())) }
    }

    fn receive(&mut self, patience: Duration) -> Result<String, Fault> {
        let log = self.log();
        wait(&self.lines, patience, &log)
    }

    fn kill(&mut self) {
        self.input = None;
        end(&mut self.child);
    }
}

impl Drop for Stdio {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A socket to a forked child; it ends when the socket does.
pub(super) struct Socket {
    stream: TcpStream,
    lines: Receiver<String>,
}

impl Socket {
    pub(super) fn connect(port: u16) -> Result<Self, Fault> {
        let start = |error: std::io::Error| Fault::Start(format!("forked child: {error}"));
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(start)?;
        let lines = lines(stream.try_clone().map_err(start)?)?;
        Ok(Self { stream, lines })
    }
}

impl Line for Socket {
    fn send(&mut self, line: &str) -> Result<(), Fault> {
        let written = self.stream.write_all(format!("{line}\n").as_bytes());
        written.map_err(|_| Fault::Gone(String::new()))
    }

    fn receive(&mut self, patience: Duration) -> Result<String, Fault> {
        wait(&self.lines, patience, "")
    }

    fn kill(&mut self) {
        drop(self.stream.shutdown(std::net::Shutdown::Both));
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.kill();
    }
}
