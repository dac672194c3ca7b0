//! Whom a client's certificate is about.
//!
//! In: a certificate that TLS has verified. Out: the common name of its subject; without one, the
//! first URI or DNS name among its alternative names. That text is what `[[keys]]` may name.

use std::sync::Arc;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::HandshakeError;

/// Longer names are nobody's.
const BYTES_MAX: usize = 256;

/// The subject of a certificate that is valid at `now_ms`.
pub(super) fn of(der: &[u8], now_ms: i64) -> Result<Arc<str>, HandshakeError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| HandshakeError::Nameless)?;
    let now = now_ms / 1_000;
    let validity = certificate.validity();
    if !(validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now) {
        return Err(HandshakeError::Expired);
    }
    let common = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok());
    let named = common.or_else(|| alternative(&certificate));
    let named = named.filter(|name| !name.is_empty() && name.len() <= BYTES_MAX);
    named.map(Arc::from).ok_or(HandshakeError::Nameless)
}

fn alternative<'a>(certificate: &'a X509Certificate<'a>) -> Option<&'a str> {
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    let uri = names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let dns = || {
        names.iter().find_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
    };
    uri.or_else(dns)
}
