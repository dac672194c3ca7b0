//! CORS: any origin may post, because write keys decide and not origins; the origin is mirrored.
//!
//! SDKs send `text/plain` and no custom headers, so browsers ask nothing beforehand; `OPTIONS` is
//! answered for those who do otherwise.

use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};

/// Headers that a page's script may read.
const EXPOSED: &str = "Retry-After, ETag";
/// How long a browser may remember a preflight, in seconds; Chromium caps it at two hours.
const PREFLIGHT_SECONDS: &str = "7200";

/// The headers that let a browser's script read the reply.
pub(super) fn mirror(request: &HeaderMap, reply: &mut HeaderMap) {
    let Some(origin) = request.get(header::ORIGIN) else { return };
    reply.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    reply.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, fixed("true"));
    reply.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, fixed(EXPOSED));
    reply.insert(header::VARY, fixed("Origin"));
}

/// What a preflight is told beyond [`mirror`].
pub(super) fn preflight(request: &HeaderMap, methods: &'static str, reply: &mut HeaderMap) {
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
