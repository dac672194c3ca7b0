//! Replies as scenarios write them, and which one is next.
//!
//! In: the tables of a scenario, then one request after the other. Out: the reply to each. The first
//! reply that fits and is not used up is taken; without any, everything is accepted.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::{Map, Value};

/// One scripted reply; `scenarios/README.md` describes the fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body as an object.
    pub json: Option<Map<String, Value>>,
    /// The body as it is.
    pub text: Option<String>,
    /// Blanks behind the body.
    pub pad_bytes: usize,
    /// Events that a 200 calls filtered.
    pub filtered: u64,
    /// Events that a 200 calls rejected.
    pub rejected: Vec<Value>,
    /// Version of the configuration.
    pub config: Option<Value>,
    /// Pauses of classes.
    pub limits: Option<Value>,
    /// Level of pressure.
    pub pressure: Option<Value>,
    /// Waiting time in the body.
    pub retry_ms: Option<Value>,
    /// Why not.
    pub reason: Option<String>,
    /// The header as it is.
    pub retry_after: Option<String>,
    /// The header as a date so many seconds ahead.
    pub retry_after_in_s: Option<i64>,
    /// The form of that date.
    pub form: Form,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// Held back until released.
    pub hold: bool,
    /// Held back for so long.
    pub hold_ms: Option<i64>,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// Which node answers.
    pub node: String,
    /// How often; 0 is for ever.
    pub times: u32,
    /// Which requests it fits.
    pub when: When,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            status: 200,
            json: None,
            text: None,
            pad_bytes: 0,
            filtered: 0,
            rejected: Vec::new(),
            config: None,
            limits: None,
            pressure: None,
            retry_ms: None,
            reason: None,
            retry_after: None,
            retry_after_in_s: None,
            form: Form::default(),
            headers: BTreeMap::new(),
            hold: false,
            hold_ms: None,
            fault: None,
            node: "a".to_owned(),
            times: 1,
            when: When::default(),
        }
    }
}

/// The three forms of an HTTP-date.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// `Thu, 01 Jan 2026 00:00:00 GMT`
    #[default]
    Imf,
    /// `Thursday, 01-Jan-26 00:00:00 GMT`
    Rfc850,
    /// `Thu Jan  1 00:00:00 2026`
    Asctime,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The connection is reset before the body is read.
    ResetBefore,
    /// The connection is reset in the middle of the body.
    ResetMid,
    /// The reply ends before its announced length.
    Truncate,
    /// The batch is taken and the connection reset.
    Lost,
    /// The body is read slowly.
    SlowRead,
    /// 200 with HTML.
    Foreign,
    /// 200 with another batch's id.
    WrongBatch,
    /// 200 with numbers that do not add up.
    WrongSum,
    /// The batch is taken twice.
    Again,
}

/// Conditions; all of them have to hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// The class in the query.
    pub class: Option<u64>,
    /// The number of events.
    pub count: Option<usize>,
    /// At least so many events.
    pub min_count: Option<usize>,
    /// The attempt in the query.
    pub attempt: Option<u64>,
}

/// What a condition may ask about. Before the body is read, the number of events is not known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked {
    pub(crate) class: Option<u64>,
    pub(crate) attempt: Option<u64>,
    pub(crate) count: Option<usize>,
}

impl When {
    fn fits(&self, asked: Asked) -> bool {
        let known = |said: Option<u64>, is: Option<u64>| said.is_none() || said == is;
        let count = self.count.is_none() || self.count == asked.count;
        let enough = self.min_count.is_none_or(|least| asked.count.is_some_and(|is| is >= least));
        known(self.class, asked.class) && known(self.attempt, asked.attempt) && count && enough
    }
}

/// What is left of a script.
#[derive(Debug, Default)]
pub(crate) struct Script {
    left: VecDeque<(Reply, u32)>,
}

impl Script {
    pub(crate) fn new(replies: &[Reply]) -> Self {
        let mut script = Self::default();
        script.front(replies);
        script
    }

    pub(crate) fn front(&mut self, replies: &[Reply]) {
        for reply in replies.iter().rev() {
            self.left.push_front((reply.clone(), reply.times));
        }
    }

    /// The fault that strikes before or in the body, if the next reply has one. It is used up.
    pub(crate) fn early(&mut self, asked: Asked) -> Option<Fault> {
        let place = self.left.iter().position(|(reply, _)| reply.when.fits(asked))?;
        let fault = self.left.get(place)?.0.fault?;
        let early = matches!(fault, Fault::ResetBefore | Fault::ResetMid);
        if early {
            self.use_up(place);
        }
        (early || fault == Fault::SlowRead).then_some(fault)
    }

    /// The reply to a whole request.
    pub(crate) fn next(&mut self, asked: Asked) -> Option<Reply> {
        let place = self.left.iter().position(|(reply, _)| reply.when.fits(asked))?;
        let reply = self.left.get(place)?.0.clone();
        self.use_up(place);
        Some(reply)
    }

    fn use_up(&mut self, place: usize) {
        if let Some((reply, left)) = self.left.get_mut(place)
            && reply.times != 0
        {
            *left -= 1;
            if *left == 0 {
                self.left.remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Script {
        #[derive(Deserialize)]
        struct File {
            script: Vec<Reply>,
        }
        let file: File = toml::from_str(text).expect("a script");
        Script::new(&file.script)
    }

    fn of(class: u64, count: usize) -> Asked {
        Asked { class: Some(class), attempt: Some(0), count: Some(count) }
    }

    #[test]
    fn replies_come_in_their_order_and_are_used_up() {
        let mut script = script("script = [{ status = 500, times = 2 }, { status = 503 }]");
        let mut next = || script.next(of(1, 1)).map(|reply| reply.status);
        assert_eq!([next(), next(), next(), next()], [Some(500), Some(500), Some(503), None]);
    }

    #[test]
    fn conditions_pass_over_what_does_not_fit() {
        let text = "script = [{ status = 413, times = 0, when = { min_count = 2 } }, \
                    { status = 429, when = { class = 2 } }]";
        let mut script = script(text);
        assert_eq!(script.next(of(1, 1)).map(|reply| reply.status), None);
        for _ in 0..3 {
            assert_eq!(script.next(of(1, 2)).map(|reply| reply.status), Some(413));
        }
        assert_eq!(script.next(of(2, 1)).map(|reply| reply.status), Some(429));
        assert_eq!(script.next(of(2, 1)).map(|reply| reply.status), None);
    }

    #[test]
    fn early_faults_strike_before_the_body() {
        let mut script = script("script = [{ fault = 'lost' }, { fault = 'reset_before' }]");
        assert_eq!(script.early(of(1, 1)), None);
        assert!(script.next(of(1, 1)).is_some());
        assert_eq!(script.early(of(1, 1)), Some(Fault::ResetBefore));
        assert_eq!(script.early(of(1, 1)), None);
    }
}
