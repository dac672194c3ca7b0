//! `[tls]`: files, and the limits of a handshake.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// TLS on the listeners of batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The certificate with its chain; empty for no TLS.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who may sign clients' certificates; empty to ask for none.
    pub client_ca: PathBuf,
    /// Whether a client has to show one.
    pub client_auth: ClientAuth,
    /// Clients' certificates that were revoked.
    pub client_crl: PathBuf,
    /// How long a handshake may take.
    pub handshake_ms: u64,
    /// Handshakes at the same time.
    pub handshakes_max: u64,
    /// Further certificates, chosen by the name that a client asks for.
    pub certificates: Vec<Certificate>,
}

/// Whether clients have to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// A handshake without one is refused.
    Required,
    /// Without one, a write key decides.
    Optional,
}

/// One more certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The names that it is for; empty for those that stand in it.
    #[serde(default)]
    pub names: Vec<String>,
    /// The certificate with its chain.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Settings {
    /// Every file that is read, for whoever watches them.
    pub fn files(&self) -> Vec<PathBuf> {
        let own = [&self.cert, &self.key, &self.client_ca, &self.client_crl];
        let further = self.certificates.iter().flat_map(|more| [&more.cert, &more.key]);
        let all = own.into_iter().chain(further).filter(|path| !path.as_os_str().is_empty());
        all.cloned().collect()
    }

    /// Whether there is TLS at all.
    pub fn is_on(&self) -> bool {
        !self.cert.as_os_str().is_empty()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cert: PathBuf::new(),
            key: PathBuf::new(),
            client_ca: PathBuf::new(),
            client_auth: ClientAuth::Required,
            client_crl: PathBuf::new(),
            handshake_ms: 10_000,
            handshakes_max: 4_096,
            certificates: Vec::new(),
        }
    }
}
