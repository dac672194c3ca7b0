//! Reads certificates, keys and lists of the revoked, and refuses what does not fit together.
//!
//! In: `[tls]`. Out: a configuration for handshakes from now on. Must never give back one that a
//! handshake would only then find to be broken; what is merely expired is told and used.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, version};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::names::Names;
use super::settings::{ClientAuth, Settings};
use super::{Loaded, TWO};
use crate::clock;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option that others need is empty.
    #[error("tls.{0} is set, but tls.{1} is not")]
    Lacks(&'static str, &'static str),
    /// TLS is in use.
    #[error("tls.cert is empty; TLS cannot be turned off while listeners speak it")]
    Off,
    /// A file that cannot be read, or holds something else.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// A file without anything in it.
    #[error("{} holds no {what}", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A certificate that is none.
    #[error("{}: a certificate in it is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// The key is another one's.
    #[error("the key in {} does not belong to the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's.
        key: PathBuf,
    },
    /// The key needs a password.
    #[error(
        "{} holds a key that is encrypted, and no option takes its password: write it without one \
         (openssl pkey -in {} -out plain.pem) to a file that this process alone can read",
        path.display(),
        path.display()
    )]
    Encrypted {
        /// The key's file.
        path: PathBuf,
    },
    /// Two certificates for one name.
    #[error("{name} is the name of two certificates; the second is in {}", path.display())]
    Twice {
        /// The name.
        name: String,
        /// The file of the second.
        path: PathBuf,
    },
    /// What rustls does not take.
    #[error("{}: {message}", path.display())]
    Refused {
        /// Which file.
        path: PathBuf,
        /// What it says.
        message: String,
    },
}

/// Told from so many seconds before the end of a certificate.
const SOON: i64 = 14 * 24 * 3_600;

/// Reads everything; nothing when TLS is off.
pub(super) fn load(settings: &Settings) -> Result<Option<Loaded>, Error> {
    let lacks = |path: &Path, key, needs| {
        if path.as_os_str().is_empty() { Ok(()) } else { Err(Error::Lacks(key, needs)) }
    };
    if !settings.is_on() {
        lacks(&settings.key, "key", "cert")?;
        lacks(&settings.client_ca, "client_ca", "cert")?;
        return if settings.certificates.is_empty() {
            Ok(None)
        } else {
            Err(Error::Lacks("certificates", "cert"))
        };
    }
    if settings.client_ca.as_os_str().is_empty() {
        lacks(&settings.client_crl, "client_crl", "client_ca")?;
    }
    // First, so that what changes behind it makes a difference the next time.
    let print = print(settings);
    let provider = Arc::new(ring::default_provider());
    let first = pair(&settings.cert, &settings.key, &provider)?;
    let mut names = Names::new(Arc::clone(&first.key));
    let mut ends = vec![(settings.cert.display().to_string(), first.ends)];
    for more in &settings.certificates {
        let pair = pair(&more.cert, &more.key, &provider)?;
        for name in if more.names.is_empty() { &pair.names } else { &more.names } {
            if !names.add(name, &pair.key) {
                return Err(Error::Twice { name: name.clone(), path: more.cert.clone() });
            }
        }
        ends.push((more.cert.display().to_string(), pair.ends));
    }
    // The first certificate has its own names too, unless another one claims them.
    for name in &first.names {
        names.keep(name, &first.key);
    }
    let refused = |error: rustls::Error| Error::Refused {
        path: settings.cert.clone(),
        message: error.to_string(),
    };
    let versions = [&version::TLS13, &version::TLS12];
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(refused)?
        .with_client_cert_verifier(clients(settings, &provider)?)
        .with_cert_resolver(Arc::new(names));
    config.alpn_protocols = vec![TWO.to_vec(), b"http/1.1".to_vec()];
    // Sessions live in tickets, whose keys change every six hours and are nowhere but here.
    config.ticketer = ring::Ticketer::new().map_err(refused)?;
    config.send_tls13_tickets = 1;
    // A replayed batch would be a batch; nothing is taken before the handshake is over.
    config.max_early_data_size = 0;
    Ok(Some(Loaded { config: Arc::new(config), ends, print }))
}

struct Pair {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    ends: i64,
}

/// A certificate and its key, which have to belong together.
fn pair(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<Pair, Error> {
    if key.as_os_str().is_empty() {
        return Err(Error::Lacks("cert", "key"));
    }
    let chain: Vec<CertificateDer<'static>> = all(cert, "certificate")?;
    let mut leaf = None;
    for der in &chain {
        let (_, parsed) =
            X509Certificate::from_der(der).map_err(|_| Error::Damaged { path: cert.to_owned() })?;
        leaf.get_or_insert(parsed);
    }
    let (names, ends) =
        leaf.map_or((Vec::new(), 0), |leaf| (names(&leaf), leaf.validity().not_after.timestamp()));
    let now = clock::now_ms() / 1_000;
    if ends - now < SOON {
        let (file, days) = (cert.display(), (ends - now).div_euclid(24 * 3_600));
        tracing::warn!(%file, days, "a certificate ends soon, or has ended");
    }
    let der = PrivateKeyDer::from_pem_file(key).map_err(|source| unusable(key, source))?;
    let certified = CertifiedKey::from_der(chain, der, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            Error::Mismatch { cert: cert.to_owned(), key: key.to_owned() }
        }
        other => Error::Refused { path: key.to_owned(), message: other.to_string() },
    })?;
    Ok(Pair { key: Arc::new(certified), names, ends })
}

/// A key that is encrypted looks to the reader as if it were not there.
fn unusable(key: &Path, source: pem::Error) -> Error {
    let text = std::fs::read_to_string(key).unwrap_or_default();
    if text.contains("ENCRYPTED") {
        Error::Encrypted { path: key.to_owned() }
    } else {
        Error::File { path: key.to_owned(), source }
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let dns = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    dns.collect()
}

/// Who verifies clients.
fn clients(
    settings: &Settings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let path = &settings.client_ca;
    if path.as_os_str().is_empty() {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let refused = |message: String| Error::Refused { path: path.clone(), message };
    let mut roots = RootCertStore::empty();
    for root in all::<CertificateDer<'static>>(path, "certificate")? {
        roots.add(root).map_err(|error| refused(error.to_string()))?;
    }
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if !settings.client_crl.as_os_str().is_empty() {
        let revoked: Vec<CertificateRevocationListDer<'static>> =
            all(&settings.client_crl, "certificate revocation list")?;
        builder = builder.with_crls(revoked).only_check_end_entity_revocation();
    }
    if settings.client_auth == ClientAuth::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| refused(error.to_string()))
}

/// Of the settings and all files' contents, to see whether anything differs.
fn print(settings: &Settings) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{settings:?}").hash(&mut hasher);
    for path in settings.files() {
        std::fs::read(path).unwrap_or_default().hash(&mut hasher);
    }
    hasher.finish()
}

/// Everything of one kind in a file, and at least one.
fn all<T: rustls::pki_types::pem::PemObject>(
    path: &Path,
    what: &'static str,
) -> Result<Vec<T>, Error> {
    let file = |source| Error::File { path: path.to_owned(), source };
    let all: Vec<T> =
        T::pem_file_iter(path).map_err(file)?.collect::<Result<_, _>>().map_err(file)?;
    if all.is_empty() { Err(Error::Empty { path: path.to_owned(), what }) } else { Ok(all) }
}
