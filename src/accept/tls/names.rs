//! Which certificate a client gets: that of the name it asks for, or the first.
//!
//! In: certificates and names. Out: rustls asks for one per handshake. A name that nobody has gets
//! the first certificate, and the client decides whether it is content with that.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates by name.
#[derive(Debug)]
pub(super) struct Names {
    first: Arc<CertifiedKey>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl Names {
    pub(super) fn new(first: Arc<CertifiedKey>) -> Self {
        Self { first, by_name: HashMap::new() }
    }

    /// Gives a name its certificate; `false` if it has one. `*.example.com` stands for one label.
    pub(super) fn add(&mut self, name: &str, key: &Arc<CertifiedKey>) -> bool {
        self.by_name.insert(name.to_ascii_lowercase(), Arc::clone(key)).is_none()
    }

    /// Gives a name its certificate, unless it has one.
    pub(super) fn keep(&mut self, name: &str, key: &Arc<CertifiedKey>) {
        self.by_name.entry(name.to_ascii_lowercase()).or_insert_with(|| Arc::clone(key));
    }

    fn find(&self, name: &str) -> &Arc<CertifiedKey> {
        let name = name.to_ascii_lowercase();
        let wild = || {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        };
        self.by_name.get(&name).or_else(wild).unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(hello.server_name().map_or(&self.first, |name| self.find(name))))
    }
}
