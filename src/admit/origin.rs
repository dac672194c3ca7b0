//! Origin and CORS: who may read a reply, and which pages may use a key.
//!
//! In: the headers of browsers. Out: the headers that they want to see, whatever the answer is.
//! Any origin may post unless its key says otherwise, because write keys decide; the origin is
//! mirrored. SDKs send `text/plain` and no custom headers, so browsers ask nothing beforehand;
//! `OPTIONS` is answered for those who do otherwise.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::respond::{self, Answer};
use super::routes::Match;
use super::visit::Arrival;

/// Headers that a page's script may read.
const EXPOSED: &str = "Retry-After, ETag";
/// How long a browser may remember a preflight, in seconds; Chromium caps it at two hours.
const PREFLIGHT_SECONDS: &str = "7200";

/// The outermost layer: answers preflights, and lets scripts read whatever is answered within.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cors;

/// [`Cors`] around a service.
#[derive(Debug, Clone)]
pub(super) struct Mirroring<S> {
    inner: S,
}

impl<S> Layer<S> for Cors {
    type Service = Mirroring<S>;

    fn layer(&self, inner: S) -> Mirroring<S> {
        Mirroring { inner }
    }
}

impl<S, B> Service<Arrival<B>> for Mirroring<S>
where
    S: Service<Arrival<B>, Response = Answer>,
{
    type Response = Answer;
    type Error = S::Error;
    type Future = Mirrored<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, arrival: Arrival<B>) -> Mirrored<S::Future> {
        let headers = arrival.request.headers();
        let origin = headers.get(header::ORIGIN).cloned();
        if let Match::Preflight(methods) = arrival.found {
            let mut answer = respond::empty(204);
            preflight(headers, methods, answer.headers_mut());
            return Mirrored { origin, inner: None, answer: Some(answer) };
        }
        Mirrored { origin, inner: Some(self.inner.call(arrival)), answer: None }
    }
}

pin_project! {
    /// An answer in the making, and the origin that may read it.
    #[derive(Debug)]
    pub(super) struct Mirrored<F> {
        origin: Option<HeaderValue>,
        #[pin]
        inner: Option<F>,
        answer: Option<Answer>,
    }
}

impl<F, E> Future for Mirrored<F>
where
    F: Future<Output = Result<Answer, E>>,
{
    type Output = Result<Answer, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = match this.inner.as_pin_mut() {
            Some(inner) => ready!(inner.poll(context))?,
            None => this.answer.take().unwrap_or_else(|| respond::empty(204)),
        };
        if let Some(origin) = this.origin.take() {
            mirror(origin, answer.headers_mut());
        }
        Poll::Ready(Ok(answer))
    }
}

/// The headers that let a browser's script read the reply.
fn mirror(origin: HeaderValue, reply: &mut HeaderMap) {
    reply.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    reply.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, fixed("true"));
    reply.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, fixed(EXPOSED));
    reply.insert(header::VARY, fixed("Origin"));
}

/// What a preflight is told beyond [`mirror`].
fn preflight(request: &HeaderMap, methods: &'static str, reply: &mut HeaderMap) {
    reply.insert(header::ALLOW, fixed(methods));
    if !request.contains_key(header::ORIGIN) {
        return;
    }
    reply.insert(header::ACCESS_CONTROL_ALLOW_METHODS, fixed(methods));
    reply.insert(header::ACCESS_CONTROL_MAX_AGE, fixed(PREFLIGHT_SECONDS));
    if let Some(asked) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        reply.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    let asks_private = HeaderName::from_static("access-control-request-private-network");
    if request.contains_key(asks_private) {
        let allow = HeaderName::from_static("access-control-allow-private-network");
        reply.insert(allow, fixed("true"));
    }
}

fn fixed(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

/// The pages that may use a key.
///
/// A request without `Origin` passes: apps, servers and pixels send none. It keeps other people's
/// pages out, whose browsers always say where they are; a script can say what it likes.
#[derive(Debug, Default)]
pub(super) struct Origins {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    /// Up to and with `://`.
    scheme: Box<str>,
    /// Any name below the host.
    below: bool,
    /// With the port, if one is said.
    host: Box<str>,
}

impl Origins {
    /// Reads patterns; the one that makes no sense comes back.
    pub(super) fn parse(patterns: &[String]) -> Result<Self, String> {
        let parsed = patterns.iter().map(|text| Pattern::parse(text).ok_or_else(|| text.clone()));
        Ok(Self { patterns: parsed.collect::<Result<_, _>>()? })
    }

    /// Whether a request with this header may use the key.
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        self.patterns.is_empty()
            || origin.to_str().is_ok_and(|origin| {
                let origin = origin.to_ascii_lowercase();
                self.patterns.iter().any(|pattern| pattern.matches(&origin))
            })
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let at = text.find("://").filter(|at| *at > 0)? + 3;
        let (scheme, host) = text.split_at(at);
        let (below, host) = match host.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, host),
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
        let plain = !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed);
        plain.then(|| Self {
            scheme: scheme.to_ascii_lowercase().into(),
            below,
            host: host.to_ascii_lowercase().into(),
        })
    }

    fn matches(&self, origin: &str) -> bool {
        let Some(host) = origin.strip_prefix(&*self.scheme) else { return false };
        if !self.below {
            return host == &*self.host;
        }
        host.strip_suffix(&*self.host)
            .and_then(|sub| sub.strip_suffix('.'))
            .is_some_and(|sub| !sub.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, origin: &str) -> bool {
        let origins = Origins::parse(&[pattern.to_owned()]).expect("a pattern");
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_str(origin).expect("a header value"));
        origins.allow(&headers)
    }

    #[test]
    fn patterns_say_which_pages() {
        for (pattern, origin, expected) in [
            ("https://shop.example", "https://shop.example", true),
            ("https://shop.example", "https://SHOP.example", true),
            ("https://shop.example", "http://shop.example", false),
            ("https://shop.example", "https://shop.example:8443", false),
            ("https://shop.example", "https://xshop.example", false),
            ("https://*.shop.example", "https://www.shop.example", true),
            ("https://*.shop.example", "https://a.b.shop.example", true),
            ("https://*.shop.example", "https://shop.example", false),
            ("https://*.shop.example", "https://.shop.example", false),
            ("https://*.shop.example", "https://evilshop.example", false),
            ("https://*.shop.example", "https://www.shop.example.evil", false),
            ("http://localhost:3000", "http://localhost:3000", true),
            ("capacitor://localhost", "capacitor://localhost", true),
            ("https://shop.example", "null", false),
        ] {
            assert_eq!(allows(pattern, origin), expected, "{pattern} {origin}");
        }
        assert!(Origins::default().allow(&HeaderMap::new()));
        assert!(
            Origins::parse(&["https://a.example".into()]).expect("one").allow(&HeaderMap::new())
        );
        for bad in ["shop.example", "://a", "https://", "https://*", "https://a.example/path", "*"]
        {
            assert!(Origins::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
