//! Turns away the classes that pause under pressure, before anybody counts them.

use super::layers::Check;
use super::visit::Visit;
use crate::model::{Refusal, Signal};
use crate::telemetry::metrics as names;

/// The check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pressing<'a> {
    pub signal: &'a Signal,
}

impl<B> Check<Visit<'_, B>> for Pressing<'_> {
    /// A header that says another class than the query is refused later, and a batch without one in
    /// its query is of the key's class here.
    fn check(&self, visit: &mut Visit<'_, B>) -> Result<(), Refusal> {
        if !visit.carries_events() || !self.signal.advice().pauses(visit.class) {
            return Ok(());
        }
        let label = if visit.class == 1 { "1" } else { "2" };
        metrics::counter!(names::PAUSED, "class" => label).increment(1);
        Err(Refusal::Pressure(visit.class))
    }
}
