//! Steps that are done to the gateway's process and to its disk.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::Scene;
use crate::clock::poll_until;
use crate::gateway::{self, probe};
use crate::torture::step::Span;

impl Scene {
    /// Kills and starts it at once, again and again.
    pub(super) fn kill_gateway(&mut self, times: u32, every: Span) -> anyhow::Result<()> {
        for kill in 1..=times {
            std::thread::sleep(every.draw_ms(&mut self.random));
            self.gateway.kill()?;
            let ready_ms = self.start_gateway().with_context(|| format!("after kill {kill}"))?;
            let what = format!("kill {kill} of {times}, serving again after {ready_ms} ms");
            if kill == times || kill % TOLD_EVERY == 0 {
                self.timeline.note(what);
            } else {
                self.timeline.keep(what);
            }
        }
        Ok(())
    }

    /// Leaves the process that runs now so many files to open, or as many as it wants.
    pub(super) fn limit_files(&mut self, more: Option<u64>) -> anyhow::Result<()> {
        let process = self.gateway.id().context("the gateway does not run")?;
        let open = std::fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64;
        let limit = more.map_or(FILES_AGAIN, |more| open + more);
        let done = Command::new("prlimit")
            .args([format!("--pid={process}"), format!("--nofile={limit}:")])
            .status()
            .context("prlimit (util-linux)")?;
        ensure!(done.success(), "prlimit: {done}");
        self.timeline.note(format!("{open} files are open, {limit} may be"));
        self.few_files = more.is_some();
        // A gateway that is started meanwhile has a limit of its own again.
        self.sick_disk = self.few_files;
        if !self.few_files {
            self.disk_is_well()?;
        }
        Ok(())
    }

    /// Stops it politely and starts it again.
    pub(super) fn stop_gateway(&mut self, times: u32, every: Span) -> anyhow::Result<()> {
        for stop in 1..=times {
            std::thread::sleep(every.draw_ms(&mut self.random));
            let begun = Instant::now();
            self.gateway.stop()?;
            let stopped_ms = begun.elapsed().as_millis();
            let ready_ms = self.start_gateway().with_context(|| format!("after stop {stop}"))?;
            let timeline = &self.timeline;
            timeline.keep(format!("stopped in {stopped_ms} ms, serving after {ready_ms} ms"));
        }
        Ok(())
    }

    /// How long a start takes on the journal as it is.
    pub(super) fn time_restart(&mut self) -> anyhow::Result<()> {
        let owed_mib = self.metric("tidegate_journal_owed_bytes") / f64::from(1 << 20);
        let resident = self.gateway.usage().resident_bytes_max >> 20;
        self.gateway.kill()?;
        let before = self.crowd.recorder.answers().0;
        let begun = Instant::now();
        let alive_ms = self.start_gateway()?;
        let admin = self.gateway.admin();
        let limit = Duration::from_mins(2);
        let ready = || matches!(probe::get(admin, "/readyz"), Ok((200, _))).then_some(());
        poll_until(limit, ready).context("waiting for /readyz")?;
        let ready_ms = begun.elapsed().as_millis();
        let taken = || (self.crowd.recorder.answers().0 > before).then_some(());
        poll_until(limit, taken).context("waiting for a 200")?;
        self.timeline.note(format!(
            "started with {owed_mib:.0} MiB owed: alive after {alive_ms} ms, ready after \
             {ready_ms} ms, first 200 after {} ms; {resident} MiB resident at most before",
            begun.elapsed().as_millis()
        ));
        Ok(())
    }

    /// Starts it; returns after how many milliseconds it answers.
    pub(in crate::torture) fn start_gateway(&mut self) -> anyhow::Result<u128> {
        let begun = Instant::now();
        match self.gateway.restart() {
            Err(gateway::Error::Ended(log)) if self.sick_disk => {
                // It may refuse a disk that is full or fails; it must not when that is over.
                let said = log.lines().rfind(|line| line.starts_with("tidegate: "));
                self.timeline.note(format!("does not start: {}", said.unwrap_or("no reason told")));
                self.waits_for_disk = true;
            }
            started => {
                started?;
                self.waits_for_disk = false;
                self.started(begun);
            }
        }
        Ok(begun.elapsed().as_millis())
    }

    /// The disk works again; a gateway that could not start on it can now.
    pub(super) fn disk_is_well(&mut self) -> anyhow::Result<()> {
        self.sick_disk = false;
        if self.waits_for_disk {
            let ready_ms = self.start_gateway()?;
            self.timeline.note(format!("serving after {ready_ms} ms"));
        }
        Ok(())
    }

    /// A machine whose disk went read-only is repaired with everything on it stopped.
    pub(super) fn mend_disk(&mut self) -> anyhow::Result<()> {
        self.gateway.kill()?;
        self.disk()?.repair()?;
        (self.broken_disk, self.sick_disk) = (false, false);
        let ready_ms = self.start_gateway()?;
        self.timeline.note(format!("disk repaired, serving after {ready_ms} ms"));
        Ok(())
    }
}

/// What a process may open when nothing is broken.
const FILES_AGAIN: u64 = 4096;
/// Of many kills only some are shown.
const TOLD_EVERY: u32 = 25;
