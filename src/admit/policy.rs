//! What an operator may change while the gateway runs, as far as the door obeys it: one value,
//! replaced as a whole.
//!
//! In: settings. Out: a [`Policy`] that every request reads once, so no request sees two of them.
//! Must never hold what counts requests: that survives a change.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::http::request::Parts;

use super::respond::{self, Answer};
use super::{Documents, Keys, Query, Settings};
use crate::clock;
use crate::model::Refusal;

/// Who may write, how much, and what SDKs are told.
#[derive(Debug)]
pub struct Policy {
    /// Write keys.
    pub keys: Keys,
    /// The door's limits.
    pub settings: Settings,
    /// SDK documents.
    pub documents: Documents,
}

impl Policy {
    /// The SDK document of whoever asks, as it is at this pressure; from memory.
    pub fn document(&self, head: &Parts, address: IpAddr, level: u8) -> Result<Answer, Refusal> {
        let app = self.app(head, address)?;
        let document = self.documents.of(&app).ok_or(Refusal::NoDocument)?;
        Ok(respond::document(&document.text(clock::now_ms(), level), &head.headers))
    }

    fn app(&self, head: &Parts, address: IpAddr) -> Result<Arc<str>, Refusal> {
        let query = Query::parse(head.uri.query().unwrap_or_default())?;
        self.keys.caller(&head.headers, query.key.as_deref(), address).map(|caller| caller.app)
    }
}
