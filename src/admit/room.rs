//! Whether there is room for a body: what its head says of it, how many are worked on, and memory.
//!
//! Memory is tried, never waited for. What a body inflates to is charged when it is known.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use hyper::http::request::Parts;

use super::body::Turns;
use super::layers::Check;
use super::policy::Policy;
use super::routes::Place;
use super::visit::{Visit, Working};
use crate::model::{Budget, Charge, Coding, Refusal, Signal};

/// What of the process a request needs to get in: one for all workers.
#[derive(Debug)]
pub struct Door {
    /// The memory budget.
    pub budget: Arc<Budget>,
    /// The pressure, which says which classes pause.
    pub signal: Arc<Signal>,
    /// Requests that are read or worked on.
    pub working: Arc<AtomicUsize>,
    /// Who of the large bodies is read next.
    pub turns: Turns,
}

/// The check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room<'a> {
    pub policy: &'a Policy,
    pub door: &'a Door,
}

impl<B> Check<Visit<'_, B>> for Room<'_> {
    fn check(&self, visit: &mut Visit<'_, B>) -> Result<(), Refusal> {
        if !visit.carries_events() {
            return Ok(());
        }
        let limits = &self.policy.settings;
        let working = Working::begin(&self.door.working, limits.requests_max);
        visit.working = Some(working.ok_or(Refusal::Busy)?);
        // A pixel's events stand in its query, which is in memory already.
        if visit.place != Place::Batch {
            return Ok(());
        }
        visit.said = coding(&visit.head)?;
        visit.announced = announced(&visit.head);
        if visit.announced.is_some_and(|bytes| bytes > limits.body_bytes_max) {
            return Err(Refusal::BodyTooLarge(limits.body_bytes_max));
        }
        // Of a body in chunks nobody knows how much comes: it is charged as it comes.
        visit.charge = self.door.take(visit.announced.unwrap_or(0))?;
        Ok(())
    }
}

impl Door {
    /// A door with nobody in it.
    pub fn new(budget: &Arc<Budget>, signal: &Arc<Signal>) -> Self {
        let working = Arc::default();
        let turns = Turns::default();
        Self { budget: Arc::clone(budget), signal: Arc::clone(signal), working, turns }
    }

    /// Takes memory for a body.
    pub(super) fn take(&self, bytes: u64) -> Result<Charge, Refusal> {
        self.budget.take_body(bytes).ok_or(Refusal::Busy)
    }
}

/// `Content-Length`, which hyper has checked.
fn announced(head: &Parts) -> Option<u64> {
    head.headers.get(hyper::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// One coding or none; stacked ones are refused.
fn coding(head: &Parts) -> Result<Option<Coding>, Refusal> {
    let mut all = head.headers.get_all(hyper::header::CONTENT_ENCODING).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Refusal::Coding);
    }
    let value = value.to_str().map_err(|_| Refusal::Coding)?.trim();
    [
        ("gzip", Coding::Gzip),
        ("x-gzip", Coding::Gzip),
        ("deflate", Coding::Deflate),
        ("zstd", Coding::Zstd),
        ("identity", Coding::Identity),
    ]
    .into_iter()
    .find(|(name, _)| value.eq_ignore_ascii_case(name))
    .map(|(_, coding)| Some(coding))
    .ok_or(Refusal::Coding)
}
