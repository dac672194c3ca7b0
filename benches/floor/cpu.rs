//! CPU time, in nanoseconds: of this thread, of this process with all its threads, of a child.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::time::{ClockId, clock_gettime};

/// Of the calling thread so far.
pub(crate) fn this_thread() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// Of all threads of this process so far, those of C libraries and ended ones included.
pub(crate) fn this_process() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// Of all living threads of another process. Whoever uses this must not end threads while measured.
pub(crate) fn child(id: u32) -> anyhow::Result<Duration> {
    let tasks = fs::read_dir(format!("/proc/{id}/task"));
    let mut spent = Duration::ZERO;
    for task in tasks.with_context(|| format!("process {id} is gone"))? {
        let path = task?.path().join("schedstat");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let nanoseconds = text.split(' ').next().unwrap_or_default().parse()?;
        spent += Duration::from_nanos(nanoseconds);
    }
    ensure!(
        !spent.is_zero(),
        "this kernel does not count CPU time in /proc/<pid>/task/*/schedstat"
    );
    Ok(spent)
}

fn clock(id: ClockId) -> Duration {
    let now = clock_gettime(id);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}
