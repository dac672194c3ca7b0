//! What a process costs: CPU time, peak resident memory, CPU time by thread name, read from /proc.

use std::collections::BTreeMap;
use std::fs;
use std::ops::AddAssign;

use serde::Serialize;

/// CPU time and peak memory of one process, or of its lives one after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Usage {
    /// User and system time of all threads, in seconds.
    pub cpu_s: f64,
    /// The largest resident set that it ever had.
    pub resident_bytes_max: u64,
}

impl Usage {
    /// Reads both figures; `None` when there is no such process.
    pub fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        Some(Self {
            cpu_s: cpu_s(&stat)?,
            resident_bytes_max: peak_bytes(&status).unwrap_or_default(),
        })
    }
}

impl AddAssign for Usage {
    /// Adds a later life: times add up, of the peaks the higher stays.
    fn add_assign(&mut self, later: Self) {
        self.cpu_s += later.cpu_s;
        self.resident_bytes_max = self.resident_bytes_max.max(later.resident_bytes_max);
    }
}

/// CPU seconds by thread name, digits at the end of names taken off so that pools stand together.
pub fn threads(process: u32) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return sums };
    for task in tasks.flatten() {
        let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
        let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
        if let (Some((name, _)), Some(cpu_s)) = (name, cpu_s(&stat)) {
            let pool = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
            *sums.entry(pool.to_owned()).or_default() += cpu_s;
        }
    }
    sums
}

/// CPU time of the calling thread in seconds; 0 where the kernel does not tell.
pub fn this_thread_cpu_s() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}

/// Fields 14 and 15, counted behind the last parenthesis because a name may contain blanks.
fn cpu_s(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    let ticks_per_s = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some((user + system) / f64::from(ticks_per_s))
}

fn peak_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_behind_a_name_with_parentheses() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 100";
        let ticks_per_s =
            f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap());
        assert_eq!(cpu_s(stat), Some(200.0 / ticks_per_s));
        assert_eq!(peak_bytes("Name:\tx\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
    }

    #[test]
    fn later_lives_add_time_and_keep_the_higher_peak() {
        let mut sum = Usage { cpu_s: 1.5, resident_bytes_max: 10 };
        sum += Usage { cpu_s: 2.0, resident_bytes_max: 7 };
        assert_eq!(sum, Usage { cpu_s: 3.5, resident_bytes_max: 10 });
    }

    #[test]
    fn sees_this_process() {
        let own = Usage::of(std::process::id()).unwrap();
        assert!(own.resident_bytes_max > 0);
        assert!(!threads(std::process::id()).is_empty());
        assert_eq!(Usage::of(u32::MAX), None);
    }
}
