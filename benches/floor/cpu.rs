//! CPU time, in nanoseconds: of this thread, of this process with all its threads, of a child.

use std::collections::BTreeMap;
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

/// Of another process so far.
pub(crate) fn child(id: u32) -> anyhow::Result<Duration> {
    Ok(child_threads(id)?.values().sum())
}

/// Of another process by name of thread, numbers taken off the names. Only living threads are seen:
/// whoever is measured with this must not end threads meanwhile.
pub(crate) fn child_threads(id: u32) -> anyhow::Result<BTreeMap<String, Duration>> {
    let tasks = fs::read_dir(format!("/proc/{id}/task"));
    let mut threads: BTreeMap<String, Duration> = BTreeMap::new();
    for task in tasks.with_context(|| format!("process {id} is gone"))? {
        let task = task?.path();
        let read = |name| {
            let path = task.join(name);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let nanoseconds = read("schedstat")?.split(' ').next().unwrap_or_default().parse()?;
        let name = read("comm")?;
        let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        *threads.entry(name.to_owned()).or_default() += Duration::from_nanos(nanoseconds);
    }
    let is_counted = threads.values().any(|spent| !spent.is_zero());
    ensure!(is_counted, "this kernel counts no CPU time in /proc/<pid>/task/*/schedstat");
    Ok(threads)
}

fn clock(id: ClockId) -> Duration {
    let now = clock_gettime(id);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}
