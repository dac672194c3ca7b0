//! The way in, on one page: tower layers, outermost first, cheap ones before dear ones.
//!
//! In: a request with an unread body. Out: an answer. The stack is built over one policy for one
//! request, out of references, so it costs nothing and no request sees two policies. Every check
//! but the last service is synchronous: a [`Gate`] either goes on or is ready with a refusal, and
//! nothing is boxed.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::future::Either;
use hyper::body::Incoming;
use tower::{Layer, Service, ServiceBuilder, service_fn};

use super::edge::Edge;
use super::known::Known;
use super::origin::Cors;
use super::policy::Policy;
use super::pressing::Pressing;
use super::quotas::Quotas;
use super::rates::RequestRates;
use super::respond::Answer;
use super::room::Room;
use super::visit::{Arrival, Refused, Visit};
use crate::model::Refusal;

/// The stack for one request. Caps on connections stand before it, where they are accepted.
pub(super) fn stack<'a>(
    edge: &'a Edge,
    policy: &'a Policy,
) -> impl Service<Arrival<Incoming>, Response = Answer, Error = Infallible, Future: Send> + 'a {
    let Edge { counters, door, .. } = edge;
    let mut checked = ServiceBuilder::new()
        // The key before everything that is counted: a stranger costs one look-up and no memory.
        .layer(Known { policy })
        // One load: under pressure whole classes are turned away before anybody counts them.
        .layer(Checked(Pressing { signal: &door.signal }))
        // Requests are counted before what they bring: many small ones cost more than few large.
        .layer(Checked(RequestRates { policy, counters }))
        // Quotas of the app: the class is known from the query, so no body is read in vain.
        .layer(Checked(Quotas))
        // Memory last of all checks, because it is the only one that takes something.
        .layer(Checked(Room { policy, door }))
        // The capped body, and the page.
        .service(service_fn(move |visit| edge.serve(policy, visit)));
    ServiceBuilder::new()
        // Outermost: a page's script must be able to read whatever is answered further in.
        .layer(Cors)
        // What was refused becomes a reply in one place, and its body is read or cut off there.
        .service(service_fn(move |arrival| {
            let outcome = checked.call(arrival);
            async move { edge.conclude(outcome.await).await }
        }))
}

/// A check that needs no waiting.
pub(super) trait Check<V> {
    /// Lets a visit pass, or says why not.
    fn check(&self, visit: &mut V) -> Result<(), Refusal>;
}

/// The layer that puts a check before a service.
#[derive(Debug, Clone)]
struct Checked<C>(C);

/// A check before a service.
#[derive(Debug, Clone)]
pub(super) struct Gate<C, S> {
    check: C,
    inner: S,
}

/// What goes on inside, or the refusal that is ready.
pub(super) type Gated<F, B> = Either<F, Ready<Result<Answer, Refused<B>>>>;

impl<C: Clone, S> Layer<S> for Checked<C> {
    type Service = Gate<C, S>;

    fn layer(&self, inner: S) -> Gate<C, S> {
        Gate { check: self.0.clone(), inner }
    }
}

impl<'a, B, C, S> Service<Visit<'a, B>> for Gate<C, S>
where
    C: Check<Visit<'a, B>>,
    S: Service<Visit<'a, B>, Response = Answer, Error = Refused<B>>,
{
    type Response = Answer;
    type Error = Refused<B>;
    type Future = Gated<S::Future, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refused<B>>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut visit: Visit<'a, B>) -> Self::Future {
        match self.check.check(&mut visit) {
            Ok(()) => Either::Left(self.inner.call(visit)),
            Err(refusal) => refused(visit.refuse(refusal)),
        }
    }
}

/// A refusal that is ready.
pub(super) fn refused<F, B>(refused: Refused<B>) -> Gated<F, B> {
    Either::Right(ready(Err(refused)))
}
