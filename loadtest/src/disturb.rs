//! What goes wrong in the middle of a load: brokers that stop, gateways that die, a greedy client.
//!
//! In: a running scene. Out: the scene whole again, with the recorder told when each phase began.
//! Every disturbance leaves broker and gateway running.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::batch::Random;
use crate::broker::{Broker, BrokerOptions};
use crate::clock::poll_until;
use crate::feeder::Feeder;
use crate::gateway::Gateway;
use crate::record::{Phase, Recorder};
use crate::send::greedy;

/// A disturbance, as `kafka-stop-30s` or `kill9x20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// Everything stays whole.
    None,
    /// The broker is started (and the topics made) so many seconds after the load.
    KafkaLate(u64),
    /// The broker is stopped for so many seconds.
    KafkaStop(u64),
    /// The broker is killed and started again after so many seconds.
    KafkaKill(u64),
    /// The broker is frozen for so many seconds: connections stay, nothing answers.
    KafkaPause(u64),
    /// The gateway is killed at so many random moments and started again at once.
    Kill9(u32),
    /// The gateway is stopped politely and started again, so many times.
    Restart(u32),
    /// One client asks so many times a second, for so many seconds.
    Greedy(u32, u64),
}

/// What a disturbance works on.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The gateway under load.
    pub gateway: &'a mut Gateway,
    /// The broker behind it, once there is one.
    pub broker: &'a mut Option<Broker>,
    /// How to start a broker that comes late.
    pub broker_options: BrokerOptions,
    /// Partitions of topics that are made late.
    pub partitions: u32,
    /// Says how far the load is.
    pub feeder: &'a Feeder,
    /// Is told the phases.
    pub recorder: &'a Recorder,
    /// Decides the random moments.
    pub seed: u64,
}

impl Disturbance {
    /// Whether there is one, so that the load goes on until it is over.
    pub fn is_some(self) -> bool {
        self != Self::None
    }

    /// Whether it needs a broker.
    pub fn needs_kafka(self) -> bool {
        matches!(
            self,
            Self::KafkaLate(_) | Self::KafkaStop(_) | Self::KafkaKill(_) | Self::KafkaPause(_)
        )
    }

    /// Waits for its moment, breaks things, mends them; returns when they were whole again.
    pub fn run(self, mut scene: Scene<'_>) -> anyhow::Result<Option<Instant>> {
        if !self.is_some() {
            return Ok(None);
        }
        let third = scene.feeder.planned() / 3;
        let late = matches!(self, Self::KafkaLate(_));
        let from = if late { 0 } else { third };
        scene.wait(DAY, || scene.feeder.taken() >= from);
        scene.recorder.enter(Phase::During);
        self.strike(&mut scene)?;
        scene.recorder.enter(Phase::After);
        scene.feeder.finish(third);
        Ok(Some(Instant::now()))
    }

    fn strike(self, scene: &mut Scene<'_>) -> anyhow::Result<()> {
        match self {
            Self::None => {}
            Self::KafkaLate(seconds) => {
                scene.pass(seconds);
                *scene.broker = Some(Broker::start(scene.broker_options.clone())?);
                scene.gateway.apply_topics(scene.partitions, 1)?;
            }
            Self::KafkaStop(seconds) => {
                scene.broker()?.stop()?;
                scene.pass(seconds);
                scene.broker()?.restart()?;
            }
            Self::KafkaKill(seconds) => {
                scene.broker()?.kill()?;
                scene.pass(seconds);
                scene.broker()?.restart()?;
            }
            Self::KafkaPause(seconds) => {
                scene.broker()?.pause()?;
                scene.pass(seconds);
                scene.broker()?.resume()?;
            }
            Self::Kill9(times) => {
                let mut random = Random::new(scene.seed);
                for life in 1..=times {
                    let moment = Duration::from_millis(100 + random.below(900));
                    scene.wait(moment, || false);
                    scene.gateway.kill()?;
                    let begun = Instant::now();
                    scene.gateway.restart().with_context(|| format!("after kill {life}"))?;
                    eprintln!("kill {life} of {times}: ready again after {:?}", begun.elapsed());
                }
            }
            Self::Restart(times) => {
                for _ in 0..times {
                    scene.wait(Duration::from_secs(1), || false);
                    scene.gateway.stop()?;
                    scene.gateway.restart()?;
                }
            }
            Self::Greedy(per_s, seconds) => {
                let greedy = greedy::ask(scene.gateway.listen(), per_s, seconds)?;
                scene.recorder.greedy(greedy);
            }
        }
        Ok(())
    }
}

impl Scene<'_> {
    fn pass(&self, seconds: u64) {
        self.wait(Duration::from_secs(seconds), || false);
    }

    /// Waits for a moment of the load, but not beyond its end.
    fn wait(&self, limit: Duration, reached: impl Fn() -> bool) {
        poll_until(limit, || (reached() || self.feeder.is_stopped()).then_some(()));
    }

    fn broker(&mut self) -> anyhow::Result<&mut Broker> {
        self.broker.as_mut().context("this disturbance needs mode kafka")
    }
}

impl FromStr for Disturbance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |prefix: &str, suffix: &str| {
            text.strip_prefix(prefix)?.strip_suffix(suffix)?.parse::<u64>().ok()
        };
        let times = |count: u64| u32::try_from(count).ok();
        let found = match text {
            "none" => Some(Self::None),
            "kafka-late" => Some(Self::KafkaLate(10)),
            _ => None,
        };
        found
            .or_else(|| number("kafka-late-", "s").map(Self::KafkaLate))
            .or_else(|| number("kafka-stop-", "s").map(Self::KafkaStop))
            .or_else(|| number("kafka-kill-", "s").map(Self::KafkaKill))
            .or_else(|| number("kafka-pause-", "s").map(Self::KafkaPause))
            .or_else(|| number("kill9x", "").and_then(times).map(Self::Kill9))
            .or_else(|| number("restartx", "").and_then(times).map(Self::Restart))
            .or_else(|| {
                let (per_s, seconds) = text.strip_prefix("greedy-")?.split_once('x')?;
                let seconds = seconds.strip_suffix('s')?.parse().ok()?;
                Some(Self::Greedy(per_s.parse().ok()?, seconds))
            })
            .ok_or_else(|| format!("no disturbance {text:?}; there are {FORMS}"))
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(to, "none"),
            Self::KafkaLate(seconds) => write!(to, "kafka-late-{seconds}s"),
            Self::KafkaStop(seconds) => write!(to, "kafka-stop-{seconds}s"),
            Self::KafkaKill(seconds) => write!(to, "kafka-kill-{seconds}s"),
            Self::KafkaPause(seconds) => write!(to, "kafka-pause-{seconds}s"),
            Self::Kill9(times) => write!(to, "kill9x{times}"),
            Self::Restart(times) => write!(to, "restartx{times}"),
            Self::Greedy(per_s, seconds) => write!(to, "greedy-{per_s}x{seconds}s"),
        }
    }
}

const FORMS: &str = "none, kafka-late[-Ns], kafka-stop-Ns, kafka-kill-Ns, kafka-pause-Ns, kill9xN, \
                     restartxN, greedy-NxNs";
/// The load ends by itself long before.
const DAY: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for text in [
            "none",
            "kafka-late-10s",
            "kafka-stop-30s",
            "kafka-kill-1s",
            "kafka-pause-5s",
            "kill9x20",
            "restartx3",
            "greedy-1000x20s",
        ] {
            assert_eq!(text.parse::<Disturbance>().unwrap().to_string(), text);
        }
        assert_eq!("kafka-late".parse(), Ok(Disturbance::KafkaLate(10)));
        for text in ["", "kill9", "kill9x-1", "kafka-stop-30", "kafka-stop-xs"] {
            assert!(text.parse::<Disturbance>().is_err(), "{text}");
        }
    }
}
