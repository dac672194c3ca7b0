//! The layer that turns a request into that of somebody known, or refuses it: path and method, the
//! query, the write key or certificate, and the pages that may use the key.

use std::task::{Context, Poll};

use futures_util::future::Either;
use tower::{Layer, Service};

use super::keys::Entry;
use super::layers::{Gated, refused};
use super::policy::Policy;
use super::query::Query;
use super::respond::Answer;
use super::routes::{Match, Place};
use super::visit::{Arrival, Refused, Visit};
use crate::model::Refusal;

/// The layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub policy: &'a Policy,
}

/// [`Known`] before a service.
#[derive(Debug, Clone)]
pub(super) struct Knowing<'a, S> {
    policy: &'a Policy,
    inner: S,
}

impl<'a, S> Layer<S> for Known<'a> {
    type Service = Knowing<'a, S>;

    fn layer(&self, inner: S) -> Knowing<'a, S> {
        Knowing { policy: self.policy, inner }
    }
}

impl<'a, B, S> Service<Arrival<B>> for Knowing<'a, S>
where
    S: Service<Visit<'a, B>, Response = Answer, Error = Refused<B>>,
{
    type Response = Answer;
    type Error = Refused<B>;
    type Future = Gated<S::Future, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refused<B>>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, arrival: Arrival<B>) -> Self::Future {
        match who(self.policy, &arrival) {
            Ok((place, query, entry)) => {
                Either::Left(self.inner.call(Visit::new(arrival, place, query, entry)))
            }
            Err(refusal) => refused(arrival.refuse(refusal)),
        }
    }
}

fn who<'a, B>(
    policy: &'a Policy,
    arrival: &Arrival<B>,
) -> Result<(Place, Query, &'a Entry), Refusal> {
    let place = match arrival.found {
        Match::Place(place) => place,
        // A preflight never comes so far.
        Match::Method(allow) | Match::Preflight(allow) => return Err(Refusal::Method(allow)),
        Match::Nothing => return Err(Refusal::NotFound),
    };
    let (headers, uri) = (arrival.request.headers(), arrival.request.uri());
    let query = Query::parse(uri.query().unwrap_or_default())?;
    let entry = policy.keys.find(headers, query.key.as_deref(), &arrival.peer)?;
    if !entry.origins.allow(headers) {
        return Err(Refusal::Origin);
    }
    Ok((place, query, entry))
}
