//! The rules on their way through one batch: what the batch and its types settle is asked once.
//!
//! In: an event that is otherwise fine. Out: the event with its verdict, or the rule that rejects
//! it.

use std::ops::Range;

use uuid::Uuid;

use super::compile::{Act, Rule, Rules};
use super::{OfBatch, OfEvent};
use crate::model::batch::made_id;
use crate::model::{Event, Facts, Reason};

/// Types that are remembered; a batch with more of them begins to remember anew.
const KINDS_MAX: usize = 64;

/// Rules and what is known of one batch.
pub(in crate::split) struct Pass<'a> {
    rules: &'a Rules,
    batch: Uuid,
    arrival_ms: i64,
    /// Rules that can match in this batch, in order.
    live: Vec<u16>,
    /// For each type that was met, which part of `candidates` can match it.
    kinds: Vec<(&'a [u8], Range<usize>)>,
    candidates: Vec<u16>,
}

impl<'a> Pass<'a> {
    /// Asks what all events of the batch share.
    pub(in crate::split) fn begin(rules: &'a Rules, facts: &Facts, class: u8, batch: Uuid) -> Self {
        let shared = OfBatch { app: &facts.app, class };
        let live = (0..).zip(&rules.rows).filter(|(_, rule)| rule.takes_batch(&shared));
        Self {
            rules,
            batch,
            arrival_ms: facts.arrival_ms,
            live: live.map(|(at, _)| at).collect(),
            kinds: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// Lets the first matching rule decide about an event.
    #[inline]
    pub(in crate::split) fn judge(
        &mut self,
        event: &mut Event,
        body: &'a [u8],
    ) -> Result<(), Reason> {
        if self.live.is_empty() { Ok(()) } else { self.decide(event, body) }
    }

    /// The first rule that matches an event.
    pub(in crate::split) fn matched(&mut self, event: &Event, body: &'a [u8]) -> Option<u16> {
        let age_ms = self.arrival_ms.saturating_sub(event.ts_ms);
        let seen = OfEvent { json: event.span.of(body), age_ms };
        let candidates = self.candidates(event.kind.of(body));
        let takes = |at: &u16| self.rule(*at).is_some_and(|rule| rule.takes_event(&seen));
        self.candidates.get(candidates)?.iter().copied().find(takes)
    }

    #[inline(never)]
    fn decide(&mut self, event: &mut Event, body: &'a [u8]) -> Result<(), Reason> {
        let Some(at) = self.matched(event, body) else { return Ok(()) };
        match self.rule(at).map(|rule| &rule.act) {
            None | Some(Act::Keep) => {}
            Some(Act::Filter) => event.filtered_by = Some(at),
            Some(Act::Reject) => return Err(Reason::Rule(at)),
            Some(Act::Sample(share)) => {
                let kind = event.kind.of(body);
                let kept = if event.id.is_empty() {
                    let made = made_id(self.batch, event.index);
                    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                    let id = made.hyphenated().encode_lower(&mut text);
                    share.weigh(id.as_bytes(), kind, event.weight)
                } else {
                    share.weigh(event.id.of(body), kind, event.weight)
                };
                match kept {
                    Some(weight) => event.weight = weight,
                    None => event.filtered_by = Some(at),
                }
            }
        }
        Ok(())
    }

    /// Which candidates a type has, from memory if it was met before.
    fn candidates(&mut self, kind: &'a [u8]) -> Range<usize> {
        if let Some((_, range)) = self.kinds.iter().find(|(known, _)| *known == kind) {
            return range.clone();
        }
        if self.kinds.len() >= KINDS_MAX {
            self.kinds.clear();
            self.candidates.clear();
        }
        let start = self.candidates.len();
        // The envelope's own check lets only ASCII through.
        let text = std::str::from_utf8(kind).unwrap_or_default();
        let rules = self.rules;
        let takes =
            |at: &&u16| rules.rows.get(usize::from(**at)).is_some_and(|rule| rule.takes_kind(text));
        self.candidates.extend(self.live.iter().filter(takes));
        let range = start..self.candidates.len();
        self.kinds.push((kind, range.clone()));
        range
    }

    fn rule(&self, at: u16) -> Option<&'a Rule> {
        self.rules.rows.get(usize::from(at))
    }
}
