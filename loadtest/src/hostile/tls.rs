//! Certificates of a day for a gateway of an hour, and clients that trust them.
//!
//! In: nothing but the `openssl` command. Out: files for the gateway, configurations for clients.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

/// An authority, and a certificate of the gateway's by it.
pub struct Certificates {
    dir: TempDir,
}

/// The name that the certificate is for.
const NAME: &str = "gateway.example.com";

impl Certificates {
    /// Makes them.
    pub fn make() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let names = format!("subjectAltName=DNS:{NAME},DNS:localhost,IP:127.0.0.1");
        std::fs::write(dir.path().join("names"), names)?;
        for words in [
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 \
             -subj /CN=hostile-ca -keyout ca.key -out ca.pem",
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
             -subj /CN=gateway.example.com -keyout server.key -out server.csr",
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 \
             -extfile names -out server.pem",
        ] {
            openssl(dir.path(), words)?;
        }
        Ok(Self { dir })
    }

    /// The gateway's `[tls]`.
    pub fn configuration(&self) -> String {
        let dir = self.dir.path().display();
        format!("[tls]\ncert = \"{dir}/server.pem\"\nkey = \"{dir}/server.key\"\n")
    }

    /// A client that speaks this protocol and no other.
    pub fn client(&self, protocol: &[u8]) -> anyhow::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.dir.path().join("ca.pem"))?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config))
    }
}

/// The name that clients ask for.
pub fn name() -> anyhow::Result<ServerName<'static>> {
    Ok(ServerName::try_from(NAME)?)
}

fn openssl(dir: &Path, words: &str) -> anyhow::Result<()> {
    let output = Command::new("openssl").args(words.split_whitespace()).current_dir(dir).output();
    let output = output.context("openssl")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
