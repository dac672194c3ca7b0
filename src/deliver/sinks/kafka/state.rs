//! What librdkafka last said of itself: for readiness, logs, and the polling thread.
//!
//! In: callbacks. Out: whether records flow, what is wrong, and a coarse clock that costs nothing
//! to read for every report. Must never block a callback.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Records have to arrive this often to count as a flow.
const FLOW_GAP_MS: u64 = 250;

/// For how long a cause is shown although the client only says by now that nobody answers, which is
/// what follows from it.
const CAUSE_MS: u64 = 60_000;

/// Shared by the callbacks, the polling thread and whoever asks.
#[derive(Debug)]
pub(super) struct State {
    pub(super) stopping: AtomicBool,
    pub(super) reports: AtomicU64,
    pub(super) rules_known: AtomicBool,
    /// Whether the client has complained, so that it has to be asked whether it is dead.
    pub(super) suspect: AtomicBool,
    born: Instant,
    now_ms: AtomicU64,
    last_ok_ms: AtomicU64,
    flowing_from_ms: AtomicU64,
    troubled: AtomicBool,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    latest: Option<String>,
    /// When the client last named a cause.
    cause_ms: Option<u64>,
    /// Kinds of trouble that were logged since the last success.
    said: BTreeSet<&'static str>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            stopping: AtomicBool::new(false),
            reports: AtomicU64::new(0),
            rules_known: AtomicBool::new(false),
            suspect: AtomicBool::new(false),
            born: Instant::now(),
            now_ms: AtomicU64::new(1),
            last_ok_ms: AtomicU64::new(0),
            flowing_from_ms: AtomicU64::new(0),
            troubled: AtomicBool::new(false),
            trouble: Mutex::default(),
        }
    }

    /// Moves the coarse clock; by the polling thread, once a round.
    pub(super) fn tick(&self) {
        let now_ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.now_ms.store(now_ms.max(1), Ordering::Relaxed);
    }

    /// The coarse clock, in milliseconds; never 0.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// A record arrived.
    pub(super) fn delivered(&self) {
        let now_ms = self.now_ms();
        let before = self.last_ok_ms.swap(now_ms, Ordering::Relaxed);
        if now_ms.saturating_sub(before) > FLOW_GAP_MS {
            self.flowing_from_ms.store(now_ms, Ordering::Relaxed);
        }
        if self.troubled.swap(false, Ordering::Relaxed) {
            *self.trouble.lock() = Trouble::default();
            tracing::info!("kafka is well again");
        }
    }

    /// Whether records arrive just now.
    pub(super) fn is_flowing(&self) -> bool {
        self.now_ms().saturating_sub(self.last_ok_ms.load(Ordering::Relaxed)) <= FLOW_GAP_MS
    }

    /// For how long they have, without a gap.
    pub(super) fn flowing_ms(&self) -> u64 {
        if self.is_flowing() {
            self.now_ms().saturating_sub(self.flowing_from_ms.load(Ordering::Relaxed))
        } else {
            0
        }
    }

    /// The client complains. Each kind is logged once until something arrives.
    pub(super) fn complain(&self, cluster: &'static str, error: &KafkaError, reason: &str) {
        let kind = kind(error);
        let mut trouble = self.trouble.lock();
        if trouble.said.insert(kind) {
            tracing::warn!(cluster, kind, %error, reason, "kafka");
        }
        let now_ms = self.now_ms();
        if CONSEQUENCES.contains(&kind) {
            let known = trouble.cause_ms.map(|at| now_ms.saturating_sub(at));
            if known.is_none_or(|age| age > CAUSE_MS) {
                trouble.latest = Some(format!("{kind}: {reason}"));
            }
        } else {
            trouble.latest = Some(format!("{kind}: {reason}"));
            trouble.cause_ms = Some(now_ms);
        }
        self.troubled.store(true, Ordering::Relaxed);
    }

    /// What is wrong since the last record that arrived; `None` when nothing is.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().latest.clone()
    }
}

/// Kinds that follow from all others, and say nothing by themselves.
const CONSEQUENCES: [&str; 2] = ["no broker answers", "connection failed"];

/// What an operator would call it.
fn kind(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState,
        ) => "authentication failed",
        Some(Code::ClusterAuthorizationFailed | Code::TopicAuthorizationFailed) => "not allowed",
        Some(Code::Resolve) => "host name is unknown",
        Some(Code::SSL) => "tls handshake failed",
        Some(Code::AllBrokersDown) => "no broker answers",
        Some(Code::BrokerTransportFailure) => "connection failed",
        _ => "client error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_has_no_gaps() {
        let state = State::new();
        let at = |ms| state.now_ms.store(ms, Ordering::Relaxed);
        at(1_000);
        assert!(!state.is_flowing() && state.flowing_ms() == 0);
        for ms in [1_000, 1_200, 1_400, 1_600] {
            at(ms);
            state.delivered();
        }
        assert_eq!(state.flowing_ms(), 600);
        at(1_900);
        assert_eq!(state.flowing_ms(), 0, "nothing arrived for too long");
        at(5_000);
        state.delivered();
        assert_eq!(state.flowing_ms(), 0, "a new flow begins");
        at(5_200);
        assert_eq!(state.flowing_ms(), 200);
    }

    #[test]
    fn trouble_ends_with_the_next_record() {
        let state = State::new();
        let error = KafkaError::Global(Code::Authentication);
        state.complain("kafka", &error, "SASL authentication failed: wrong password");
        let text = state.trouble().expect("trouble");
        assert!(text.starts_with("authentication failed: SASL"), "{text}");
        state.delivered();
        assert_eq!(state.trouble(), None);
    }
}
