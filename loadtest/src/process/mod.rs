//! A child process that never outlives us: started, signalled, measured, reaped.
//!
//! In: a command line. Out: its pid, its log file, the CPU time of everything it did. Children are
//! started by one thread that lives as long as this process, because the kernel's death signal goes
//! out when the starting *thread* ends. Must never signal a pid that it has already reaped.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::clock::poll_until;

pub mod usage;

pub use usage::Usage;

/// A running child, or one that has ended and whose figures are kept.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ended: Option<Ended>,
    log: PathBuf,
}

/// How it ended and what it had used by then.
#[derive(Debug, Clone, Copy)]
struct Ended {
    status: ExitStatus,
    usage: Usage,
}

impl Process {
    /// Starts `program`; its output goes to the end of the file `log`.
    pub fn start(
        program: &Path,
        adjust: impl FnOnce(&mut Command),
        log: &Path,
    ) -> io::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        adjust(&mut command);
        Ok(Self { child: spawn(command)?, ended: None, log: log.to_owned() })
    }

    /// Its process id; after the end it may belong to somebody else.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.reap(WaitIdOptions::NOHANG)?;
        Ok(self.ended.map(|ended| ended.status))
    }

    /// Sends a signal, unless it has ended already.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.ended()?.is_none() {
            rustix::process::kill_process(self.pid()?, signal)?;
        }
        Ok(())
    }

    /// Ends it at once with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) -> io::Result<()> {
        if self.ended.is_none() {
            let before = Usage::of(self.id());
            self.signal(Signal::KILL)?;
            self.reap(WaitIdOptions::empty())?;
            // The memory of a dead process can no longer be asked for.
            if let (Some(ended), Some(before)) = (&mut self.ended, before) {
                ended.usage.resident_bytes_max = before.resident_bytes_max;
            }
        }
        Ok(())
    }

    /// Ends it with SIGTERM; after `limit` with SIGKILL, which is an error of its own kind.
    pub fn stop(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        let mut peak = 0;
        self.signal(Signal::TERM)?;
        let ended = poll_until(limit, || {
            peak = Usage::of(self.id()).map_or(peak, |usage| usage.resident_bytes_max.max(peak));
            self.ended().transpose()
        });
        if let Some(ended) = &mut self.ended {
            ended.usage.resident_bytes_max = ended.usage.resident_bytes_max.max(peak);
        }
        ended.unwrap_or_else(|| {
            self.kill()?;
            Err(io::Error::new(io::ErrorKind::TimedOut, "did not stop in time and was killed"))
        })
    }

    /// What it has used so far, or had used at its end.
    pub fn usage(&self) -> Usage {
        match self.ended {
            Some(ended) => ended.usage,
            None => Usage::of(self.id()).unwrap_or_default(),
        }
    }

    /// The last part of its output, for error messages.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }

    fn pid(&self) -> io::Result<Pid> {
        let id = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        Pid::from_raw(id).ok_or_else(|| io::Error::other("process id 0"))
    }

    /// Reads the CPU time of the zombie before it is taken away: afterwards nobody knows it.
    fn reap(&mut self, options: WaitIdOptions) -> io::Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        if rustix::process::waitid(WaitId::Pid(self.pid()?), options)?.is_some() {
            let usage = Usage::of(self.id()).unwrap_or_default();
            self.ended = Some(Ended { status: self.child.wait()?, usage });
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("process {} could not be ended: {error}", self.child.id());
        }
    }
}

/// The last 4 KiB of a log file, from the beginning of a line.
pub(crate) fn log_tail(path: &Path) -> String {
    const TAIL_BYTES: usize = 4096;
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(
        bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or(&bytes),
    )
    .into_owned();
    match text.split_once('\n') {
        Some((_, rest)) if bytes.len() > TAIL_BYTES => rest.to_owned(),
        _ => text,
    }
}

/// Hands the command to the thread that never ends.
fn spawn(command: Command) -> io::Result<Child> {
    let (answer, answered) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    STARTER.send((command, answer)).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "setpriv (util-linux) is needed"),
        _ => error,
    })
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

static STARTER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (send, orders) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, answer) in orders {
            let started = command.spawn();
            if let Err(mpsc::SendError(Ok(mut orphan))) = answer.send(started) {
                orphan.kill().unwrap_or_else(|error| eprintln!("child left running: {error}"));
            }
        }
    });
    send
});

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: &Path) -> Process {
        Process::start(
            Path::new("sh"),
            |command| {
                command.args(["-c", script]);
            },
            log,
        )
        .unwrap()
    }

    #[test]
    fn keeps_output_status_and_cpu_time() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut process =
            shell("echo said; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exit 7", &log);
        let status = poll_until(Duration::from_mins(1), || process.ended().unwrap()).unwrap();
        assert_eq!(status.code(), Some(7));
        assert_eq!(process.log_tail(), "said\n");
        assert!(process.usage().cpu_s > 0.0);
    }

    #[test]
    fn kills_what_ignores_a_polite_request() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = shell(
            "trap '' TERM; echo ready; while :; do sleep 0.01; done",
            &dir.path().join("log"),
        );
        poll_until(Duration::from_mins(1), || (process.log_tail() == "ready\n").then_some(()))
            .unwrap();
        let error = process.stop(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(process.ended().unwrap().is_some());
    }

    #[test]
    fn outlives_the_thread_that_asked_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut process =
            std::thread::spawn(move || shell("read x; sleep 60", &log)).join().unwrap();
        assert!(process.id() > 0);
        process.kill().unwrap();
        assert!(process.ended().unwrap().is_some());
    }
}
