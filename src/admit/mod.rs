//! Who gets in, before anything is read: route, key, class, memory, and then a capped body.
//!
//! In: a request's head and its unread body. Out: [`Admitted`] for the page, or a [`Refusal`], and
//! in the end a response. The checks stand in the order of their cost. Must never read a body whose
//! head was refused, but to let its sender see the refusal.

mod body;
mod caller;
mod document;
mod edge;
mod origin;
mod query;
mod respond;
mod routes;
pub mod settings;

pub use caller::{Keys, KeysError};
pub use document::{Document, Error as DocumentError};
pub use edge::Edge;
pub use query::Query;
pub use settings::{Key, Settings};

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hyper::body::Incoming;
use hyper::http::request::Parts;

use crate::clock;
use crate::model::{Admitted, Charge, Coding, Refusal};

/// The door: one for all workers.
#[derive(Debug)]
pub struct Door {
    /// Write keys.
    pub keys: Keys,
    /// Its limits.
    pub settings: Settings,
    /// Bytes of the memory budget in use.
    pub used: Arc<AtomicU64>,
    /// The memory budget.
    pub budget_bytes: u64,
}

impl Door {
    /// Lets a batch in.
    pub async fn batch(
        &self,
        head: &Parts,
        body: &mut Incoming,
        address: IpAddr,
    ) -> Result<Admitted, Refusal> {
        let query = Query::parse(head.uri.query().unwrap_or_default())?;
        // The key first: a stranger costs one look-up and not a byte of memory.
        let caller = self.keys.caller(&head.headers, query.key.as_deref(), address)?;
        let said = coding(head)?;
        let announced = announced(head);
        if announced.is_some_and(|bytes| bytes > self.settings.body_bytes_max) {
            return Err(Refusal::BodyTooLarge(self.settings.body_bytes_max));
        }
        // Memory next: tried, never waited for. What it inflates to is charged when it is known.
        let expected = announced.unwrap_or(self.settings.body_bytes_max);
        let charge = Charge::take(&self.used, expected, self.budget_bytes).ok_or(Refusal::Busy)?;
        let body = body::read(body, announced, &self.settings).await?;
        Ok(Admitted {
            caller,
            body,
            said,
            class: query.class,
            attempt: query.attempt,
            sent_ms: query.sent_ms,
            wait_ms: query.wait_ms,
            arrival_ms: clock::now_ms(),
            promised: true,
            charge,
        })
    }

    /// Lets a pixel's events in; they stand in the query.
    pub fn pixel(&self, head: &Parts, address: IpAddr) -> Result<Admitted, Refusal> {
        let query = Query::parse(head.uri.query().unwrap_or_default())?;
        let caller = self.keys.caller(&head.headers, query.key.as_deref(), address)?;
        let body = query.pixel_body()?;
        let charge =
            Charge::take(&self.used, body.len() as u64, self.budget_bytes).ok_or(Refusal::Busy)?;
        Ok(Admitted {
            caller,
            body,
            said: None,
            class: query.class,
            attempt: query.attempt,
            sent_ms: query.sent_ms,
            wait_ms: query.wait_ms,
            arrival_ms: clock::now_ms(),
            promised: false,
            charge,
        })
    }

    /// The app whose SDK document is asked for.
    pub fn app(&self, head: &Parts, address: IpAddr) -> Result<Arc<str>, Refusal> {
        let query = Query::parse(head.uri.query().unwrap_or_default())?;
        self.keys.caller(&head.headers, query.key.as_deref(), address).map(|caller| caller.app)
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
