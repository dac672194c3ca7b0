//! What an operator may change while the gateway runs, as far as the door obeys it: one value,
//! replaced as a whole.
//!
//! In: settings. Out: a [`Policy`] that every request reads once, so no request sees two of them.
//! What counts requests is not in here but in the [`Counters`]: that survives a change.

use hyper::HeaderMap;

use super::limits::{Counters, Rate};
use super::respond::{self, Answer};
use super::settings::{Key, Settings};
use super::{Documents, Keys, KeysError, guard};
use crate::clock;
use crate::model::Refusal;

/// The settings that a policy is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// `[[keys]]`.
    pub keys: Vec<Key>,
    /// The door's part of `[limits]`.
    pub limits: Settings,
    /// `[guard]`.
    pub guard: guard::Settings,
}

/// Who may write, how much, and what SDKs are told.
#[derive(Debug)]
pub struct Policy {
    /// Write keys.
    pub keys: Keys,
    /// The door's limits.
    pub settings: Settings,
    /// The anomaly guard's.
    pub guard: guard::Settings,
    /// Requests of one address.
    pub(super) address: Option<Rate>,
    /// The same while it is guarded.
    pub(super) tight: Option<Rate>,
    /// SDK documents.
    pub documents: Documents,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Keys make no sense.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A number makes no sense.
    #[error("{0} = {1}: {2}")]
    Number(&'static str, u64, &'static str),
}

impl Policy {
    /// Makes a policy; what its keys and apps have used so far is that of the counters.
    ///
    /// `limits.addresses_max` is the size of the counters, which are made once: a change of it
    /// needs a restart.
    pub fn compile(
        terms: &Terms,
        documents: Documents,
        counters: &Counters,
    ) -> Result<Self, Error> {
        terms.check()?;
        counters.forget_unused();
        let Terms { keys, limits, guard } = terms;
        Ok(Self {
            keys: Keys::new(keys, limits, counters)?,
            settings: limits.clone(),
            guard: guard.clone(),
            address: Rate::of_requests(limits.address_rate, limits.address_burst),
            tight: Rate::of_requests(guard.rate, guard.rate),
            documents,
        })
    }

    /// The SDK document of an app, as it is at this pressure; from memory.
    pub fn document(&self, app: &str, headers: &HeaderMap, level: u8) -> Result<Answer, Refusal> {
        let document = self.documents.of(app).ok_or(Refusal::NoDocument)?;
        Ok(respond::document(&document.text(clock::now_ms(), level), headers))
    }
}

impl Terms {
    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        Keys::check(&self.keys)?;
        let number = |(key, value, must)| Error::Number(key, value, must);
        self.limits.check().map_err(number)?;
        self.guard.check().map_err(number)
    }
}
