//! Certificates for tests: an authority, and whom it vouches for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// An authority with a folder for what it signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    dir: tempfile::TempDir,
}

/// Files of a certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "the suite's authority");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let dir = tempfile::Builder::new().prefix("tidegate-suite-").tempdir().expect("a folder");
        Self { issuer: Issuer::new(params, key), pem, dir }
    }

    /// For a server of these names.
    pub(crate) fn server(&self, file: &str, names: &[&str]) -> Pair {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(file, &CertificateParams::new(names).expect("names"))
    }

    /// The same in one file, as Java wants it.
    pub(crate) fn keystore(&self, file: &str, names: &[&str]) -> PathBuf {
        let Pair { cert, key } = self.server(file, names);
        let text = [key, cert].map(|path| std::fs::read_to_string(path).expect("PEM")).concat();
        self.write(&format!("{file}.pem"), &text)
    }

    /// For a client with this common name and serial number.
    pub(crate) fn client(&self, name: &str, serial: u64) -> Pair {
        self.sign(&format!("client-{name}"), &params(name, serial))
    }

    /// For a client whose certificate ended in 2020.
    pub(crate) fn expired_client(&self, name: &str) -> Pair {
        let mut params = params(name, 1);
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&format!("expired-{name}"), &params)
    }

    /// A list with this serial number in it.
    pub(crate) fn revoke(&self, serial: u64) -> PathBuf {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2121, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = list.signed_by(&self.issuer).expect("a list").pem().expect("PEM");
        self.write("revoked.crl", &pem)
    }

    /// The authority's own certificate.
    pub(crate) fn root(&self) -> PathBuf {
        self.write("root.crt", &self.pem)
    }

    fn sign(&self, file: &str, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Pair {
            cert: self.write(&format!("{file}.crt"), &cert),
            key: self.write(&format!("{file}.key"), &key.serialize_pem()),
        }
    }

    fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(file);
        std::fs::write(&path, text).expect("room for a file");
        path
    }

    /// What a client needs that trusts this authority, and shows a certificate if it has one.
    pub(crate) fn trusting(&self, shows: Option<&Pair>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.root())).expect("a root");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        match shows {
            None => config.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
                config.with_client_auth_cert(vec![certificate(&pair.cert)], key).expect("a pair")
            }
        }
    }
}

/// The first certificate of a file.
pub(crate) fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}

fn params(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(serial));
    params
}
