//! From a [`Reply`] to an HTTP response, in one place.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::documents::Text;
use crate::model::Reply;

/// Responses are small and whole.
pub(super) type Answer = Response<Full<Bytes>>;

/// The 43-byte transparent GIF.
const PIXEL: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\
                           \x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// JSON with the headers that mirror its body.
pub(super) fn json(reply: &Reply) -> Answer {
    let mut answer = whole(reply.status, "application/json", Bytes::from(reply.body.clone()));
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(retry_ms) = reply.retry_ms {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_ms.div_ceil(1_000)));
    }
    if let Some(allow) = reply.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    answer
}

/// The pixel, whatever happened to its events.
pub(super) fn pixel() -> Answer {
    let mut answer = whole(200, "image/gif", Bytes::from_static(PIXEL));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// An answer without a body.
pub(super) fn empty(status: u16) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::NO_CONTENT);
    answer
}

/// The SDK document, or 304 for those who have it.
pub(super) fn document(text: &Text, request: &HeaderMap) -> Answer {
    let Text { body, tag } = text;
    let known = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known.as_bytes() == tag.as_bytes() || known == "*");
    let mut answer = if known { empty(304) } else { whole(200, "application/json", body.clone()) };
    let headers = answer.headers_mut();
    headers.insert(header::ETAG, tag.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

fn whole(status: u16, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
