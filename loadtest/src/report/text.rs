//! The report for people: a line per fact, the verdict last.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use super::{Percentiles, PhaseReport, Report};
use crate::judge::Tier;
use crate::send::greedy::Greedy;

impl Display for Report {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        self.load(to)?;
        for phase in &self.phases {
            write!(to, "{phase}")?;
        }
        if let Some(greedy) = &self.greedy {
            write!(to, "{greedy}")?;
        }
        self.costs(to)?;
        self.arrival(to)?;
        match &self.tier1 {
            Some(tier) => line(to, "tier 1", tier)?,
            None => writeln!(to, "tier 1: in the journal, not judged here")?,
        }
        line(to, "tier 2", &self.tier2)?;
        for example in &self.examples {
            writeln!(to, "  {example}")?;
        }
        if let Some(error) = &self.stop_error {
            writeln!(to, "stop: {error}")?;
        }
        if !self.gateway_log.is_empty() {
            writeln!(to, "the end of the gateway's log:\n{}", self.gateway_log.trim_end())?;
        }
        write!(to, "{}", self.verdict())
    }
}

impl Report {
    /// The line that decides the exit code.
    pub fn verdict(&self) -> String {
        let tiers = || self.tier1.iter().chain([&self.tier2]);
        let missing: u64 = tiers().map(|tier| tier.missing).sum();
        let alien: u64 = tiers().map(Tier::aliens).sum();
        let corrupted: u64 = tiers().map(Tier::corruptions).sum();
        let duplicated: u64 = tiers().map(Tier::duplicates).sum();
        format!(
            "verdict: missing {missing}, alien {alien}, corrupted {corrupted}, \
             duplicated {duplicated}"
        )
    }

    fn load(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let totals = &self.totals;
        writeln!(
            to,
            "load: {} batches, {} events accepted, {} filtered in {:.2} s: \
             {:.0} requests/s, {:.0} events/s",
            totals.acknowledged,
            totals.accepted,
            totals.filtered,
            self.load_s,
            self.requests_per_s,
            self.events_per_s
        )?;
        write!(to, "answers: {}; {} retries", list(&self.statuses), totals.retries)?;
        for (what, count) in [("given up", totals.given_up), ("miscounted", totals.miscounted)] {
            if count > 0 {
                write!(to, "; {what} {count}")?;
            }
        }
        if !totals.rejected.is_empty() {
            write!(to, "; rejected {}", list(&totals.rejected))?;
        }
        writeln!(to)
    }

    fn costs(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let costs = &self.costs;
        writeln!(
            to,
            "gateway: {:.2} s CPU, {:.0} ns per event, {:.0} MiB resident at most, \
             started {} times",
            costs.gateway.cpu_s,
            self.cpu_ns_per_event(),
            costs.gateway.resident_bytes_max as f64 / f64::from(1 << 20),
            costs.gateway_lives
        )?;
        let threads = costs.gateway_threads_cpu_s.iter().filter(|(_, cpu_s)| **cpu_s >= 0.01);
        let threads: Vec<_> = threads.map(|(name, cpu_s)| format!("{name} {cpu_s:.2}")).collect();
        writeln!(to, "  by thread, last life: {}", threads.join(", "))?;
        write!(to, "others: clients {:.2} s CPU", costs.client_cpu_s)?;
        write!(to, ", making batches {:.2} s", costs.generator_cpu_s)?;
        if let Some(cpu_s) = costs.broker_cpu_s {
            write!(to, ", broker {cpu_s:.2} s")?;
        }
        if self.settings.idle_connections > 0 {
            let asked = self.settings.idle_connections;
            write!(to, "; {} of {asked} idle connections open", costs.idle_open)?;
        }
        writeln!(to)
    }

    fn arrival(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let arrival = &self.arrival;
        let how = if arrival.complete { "complete" } else { "INCOMPLETE" };
        write!(to, "arrival: {how} {:.2} s after the last answer", arrival.after_load_s)?;
        if let Some(after_s) = arrival.after_mending_s {
            write!(to, ", {after_s:.2} s after the disturbance")?;
        }
        if arrival.dead_letters > 0 {
            write!(to, ", {} dead letters", arrival.dead_letters)?;
        }
        writeln!(to)
    }
}

impl Display for PhaseReport {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let name = format!("{:?}", self.phase).to_lowercase();
        writeln!(to, "{name}, {:.2} s: {}", self.seconds, list(&self.statuses))?;
        writeln!(to, "  reply ms:   {}", self.reply)?;
        writeln!(to, "  settled ms: {}", self.settled)
    }
}

impl Display for Greedy {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let (asked, seconds) = (self.asked, self.seconds);
        writeln!(
            to,
            "greedy: asked {asked} times in {seconds:.1} s, was taken {:.2} times a second, \
             refused {}; {} refusals without a time",
            self.taken_per_s(),
            list(&self.refused),
            self.untold
        )?;
        if !self.others.is_empty() {
            writeln!(to, "  and {}", list(&self.others))?;
        }
        let Self { came_back, taken_back, .. } = self;
        writeln!(to, "  waited as told {came_back} times, was taken {taken_back} times")
    }
}

impl Display for Percentiles {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let Self { p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = self;
        write!(
            to,
            "p50 {p50_ms:.2}, p90 {p90_ms:.2}, p99 {p99_ms:.2}, p99.9 {p999_ms:.2}, max {max_ms:.2}"
        )
    }
}

fn line(to: &mut Formatter<'_>, name: &str, tier: &Tier) -> fmt::Result {
    let Tier { claimed, read, missing, alien, corrupted, duplicated, unclaimed, .. } = tier;
    write!(to, "{name}: claimed {claimed}, read {read}, missing {missing}")?;
    write!(to, ", alien {}", causes(alien))?;
    write!(to, ", corrupted {}", causes(corrupted))?;
    write!(to, ", duplicated by us {}", duplicated.by_us)?;
    write!(to, ", after a refusal {}", duplicated.after_refusal)?;
    writeln!(to, ", by retry {}; taken without a claim {unclaimed}", duplicated.by_retry)
}

fn causes(counts: &BTreeMap<&'static str, u64>) -> String {
    let sum: u64 = counts.values().sum();
    let causes: Vec<_> = counts.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
    if causes.is_empty() { sum.to_string() } else { format!("{sum} ({})", causes.join(", ")) }
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    let entries: Vec<_> = counts.iter().map(|(name, count)| format!("{name} x {count}")).collect();
    if entries.is_empty() { "none".to_owned() } else { entries.join(", ") }
}
