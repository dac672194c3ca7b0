//! The steps of which a torture case consists.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::batch::Random;
use crate::record::Phase;

/// A number, or a range in which the seed decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Span {
    /// Always this.
    Exactly(u64),
    /// From the first to the second.
    Between([u64; 2]),
}

/// What happens to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Stop,
    /// It comes back on the same port and folder.
    Start,
    /// SIGSTOP: connections stay, nothing answers.
    Pause,
    /// SIGCONT.
    Resume,
}

/// One step; what breaks something has a partner that mends it.
#[expect(missing_docs, reason = "a variant's sentence names its fields")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Lets the load run.
    Wait { ms: Span },
    /// SIGKILL and a start at once, so many times with the load running in between.
    KillGateway { times: u32, every_ms: Span },
    /// SIGTERM and a start, so many times.
    StopGateway { times: u32, every_ms: Span },
    /// Something happens to the broker with this number, from 1.
    Broker { node: usize, act: Act },
    /// Something happens to the broker of the second cluster.
    SecondBroker { act: Act },
    /// A topic goes, with everything in it.
    DeleteTopic { topic: String },
    /// It comes back as `tidegate topics apply` makes it.
    ApplyTopics,
    /// A topic gets more partitions.
    WidenTopic { topic: String, partitions: usize },
    /// Larger records are refused; mended by `apply-topics`.
    LimitTopic { topic: String, bytes: u64 },
    /// Nobody may write to a topic.
    DenyTopic { topic: String },
    /// Everybody may again.
    AllowTopic { topic: String },
    /// The disk as it would be after a power cut, so many times, judged after the load.
    PowerCut { times: u32, every_ms: Span },
    /// A file takes all room on the disk but this.
    FillDisk { leave_kib: u64 },
    /// That file goes.
    FreeDisk,
    /// The file system reports an error to itself and goes read-only.
    BreakDisk,
    /// The gateway is killed, the file system repaired and mounted again, the gateway started.
    MendDisk,
    /// fsync and fdatasync below the data folder take so long.
    SlowSync { ms: u64 },
    /// They fail with EIO, this often; 0 is until they are mended.
    FailSync { times: u32 },
    /// They say that they worked, and do nothing: a disk that lies.
    LieSync,
    /// They work again.
    MendSync,
    /// A poison of the proxy, by toxiproxy's names, with its attributes.
    Toxic {
        kind: String,
        #[serde(default)]
        attributes: toml::Table,
    },
    /// The proxy is clean again.
    Antidote,
    /// The gateway's wall clock is off by so many seconds.
    SetClock { offset_s: i64 },
    /// The gateway's process may open so many files more than it has open at that moment.
    LimitFiles { more: u64 },
    /// As many as before again.
    UnlimitFiles,
    /// Damages closed segments of the journal while the gateway is stopped.
    DamageJournal { flips: u32, cuts: u32 },
    /// Another phase of the load begins: draining or after.
    Enter { phase: Phase },
    /// SIGKILL and a start: how long until it is ready, and until the first 200.
    TimeRestart,
    /// Waits until clients were refused with 503 so often.
    AwaitRefused { times: u64, within_ms: u64 },
    /// Waits for a 200 of anybody.
    AwaitTaken { within_ms: u64 },
    /// Waits until the journal owes so much.
    AwaitOwed { mib: u64, within_ms: u64 },
    /// Waits until everything that the journal owes is delivered.
    AwaitDrained { within_ms: u64 },
}

impl Span {
    /// Draws one.
    pub fn draw(self, random: &mut Random) -> u64 {
        match self {
            Self::Exactly(number) => number,
            Self::Between([low, high]) => low + random.below(high.saturating_sub(low) + 1),
        }
    }

    /// Draws a length of time in milliseconds.
    pub fn draw_ms(self, random: &mut Random) -> Duration {
        Duration::from_millis(self.draw(random))
    }
}

impl Step {
    /// How often it kills the gateway.
    pub fn kills(&self) -> u32 {
        if let Self::KillGateway { times, .. } = self { *times } else { 0 }
    }

    /// How often it cuts the power.
    pub fn cuts(&self) -> u32 {
        if let Self::PowerCut { times, .. } = self { *times } else { 0 }
    }
}

impl fmt::Display for Step {
    /// As in the file, without the quotation marks.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = serde_json::to_value(self).unwrap_or_default();
        let fields = value.as_object().into_iter().flatten();
        write!(to, "{}", value.get("do").and_then(|word| word.as_str()).unwrap_or_default())?;
        for (name, value) in fields.filter(|(name, _)| *name != "do") {
            write!(to, " {name} {}", value.to_string().replace('"', ""))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_steps() {
        let step: Step = toml::from_str("do = 'broker'\nnode = 1\nact = 'kill'").unwrap();
        assert_eq!(step, Step::Broker { node: 1, act: Act::Kill });
        assert_eq!(step.to_string(), "broker act kill node 1");
        assert!(toml::from_str::<Step>("do = 'wait'\nms = 1\nx = 2").is_err());
        let span: Span = Span::Between([5, 7]);
        let mut random = Random::new(1);
        assert!((0..100).all(|_| (5..=7).contains(&span.draw(&mut random))));
    }
}
