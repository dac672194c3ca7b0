//! Who gets in, before anything is read: route, key, class against the pressure, memory, and then a
//! capped body.
//!
//! In: a request's head and its unread body. Out: [`Admitted`] for the page, or a [`Refusal`], and
//! in the end a response. The checks stand in the order of their cost. Must never read a body whose
//! head was refused, but to let its sender see the refusal.

mod body;
mod caller;
pub mod documents;
mod edge;
mod origin;
mod policy;
mod query;
mod respond;
mod routes;
pub mod settings;
mod tasks;
pub mod watch;

pub use caller::{Keys, KeysError};
pub use documents::{Documents, Error as DocumentError};
pub use edge::Edge;
pub use policy::Policy;
pub use query::Query;
pub use settings::{Key, Settings};
pub use tasks::Tasks;

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::http::request::Parts;

use crate::clock;
use crate::model::{Admitted, Budget, Caller, Charge, Coding, Part, Refusal, Signal};
use crate::telemetry::metrics as names;

/// The door: one for all workers.
#[derive(Debug)]
pub struct Door {
    /// The memory budget.
    pub budget: Arc<Budget>,
    /// The pressure, which says which classes pause.
    pub signal: Arc<Signal>,
}

impl Door {
    /// Lets a batch in.
    pub async fn batch(
        &self,
        policy: &Policy,
        head: &Parts,
        body: &mut Incoming,
        address: IpAddr,
    ) -> Result<Admitted, Refusal> {
        let query = Query::parse(head.uri.query().unwrap_or_default())?;
        // The key first: a stranger costs one look-up and not a byte of memory.
        let caller = policy.keys.caller(&head.headers, query.key.as_deref(), address)?;
        self.check_class(query.class, &caller)?;
        let said = coding(head)?;
        let announced = announced(head);
        if announced.is_some_and(|bytes| bytes > policy.settings.body_bytes_max) {
            return Err(Refusal::BodyTooLarge(policy.settings.body_bytes_max));
        }
        // Memory next: tried, never waited for. What it inflates to is charged when it is known.
        let expected = announced.unwrap_or(policy.settings.body_bytes_max);
        let mut charge = self.take(expected)?;
        let body = body::read(body, announced, &policy.settings).await?;
        // Only ever less: of a body in chunks the most that it may have was taken.
        charge.resize(body.len() as u64);
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
    pub fn pixel(
        &self,
        policy: &Policy,
        head: &Parts,
        address: IpAddr,
    ) -> Result<Admitted, Refusal> {
        let query = Query::parse(head.uri.query().unwrap_or_default())?;
        let caller = policy.keys.caller(&head.headers, query.key.as_deref(), address)?;
        self.check_class(query.class, &caller)?;
        let body = query.pixel_body()?;
        let charge = self.take(body.len() as u64)?;
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

    /// Refuses a batch whose class pauses. A header that says another class than the query is
    /// refused later, and one without a query is of the key's class here.
    fn check_class(&self, said: Option<u8>, caller: &Caller) -> Result<(), Refusal> {
        let class = said.unwrap_or(caller.class);
        if !self.signal.advice().pauses(class) {
            return Ok(());
        }
        let label = if class == 1 { "1" } else { "2" };
        metrics::counter!(names::PAUSED, "class" => label).increment(1);
        Err(Refusal::Pressure(class))
    }

    fn take(&self, bytes: u64) -> Result<Charge, Refusal> {
        self.budget.take(Part::Bodies, bytes).ok_or(Refusal::Busy)
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
