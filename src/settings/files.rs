//! What a configuration takes from other files: secrets, certificates, SDK documents.
//!
//! In: settings as they were read. Out: the same with the secrets in their places, and the names of
//! all files, for whoever watches them. Must never show what is in them.

use std::path::{Path, PathBuf};

use super::{Error, Settings};
use crate::admit::documents::{self, Announced};
use crate::config::Secret;

impl Settings {
    /// Reads the secrets that stand in files of their own.
    pub fn read_secrets(&mut self) -> Result<(), Error> {
        for (key, secret, path) in self.secrets() {
            if path.as_os_str().is_empty() {
                continue;
            }
            if !secret.is_empty() {
                return Err(Error::TwoSecrets(key));
            }
            *secret = Secret::read(path).map_err(|source| Error::Secret {
                key,
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(())
    }

    /// Every option that holds a secret, with the file that it may come from.
    fn secrets(&mut self) -> impl Iterator<Item = (&'static str, &mut Secret, &Path)> {
        let security = &mut self.kafka.security;
        let single: [(&'static str, &mut Secret, &Path); 3] = [
            ("admin.token", &mut self.admin.token, &self.admin.token_file),
            ("kafka.security.password", &mut security.password, &security.password_file),
            (
                "kafka.security.key_password",
                &mut security.key_password,
                &security.key_password_file,
            ),
        ];
        let keys =
            self.keys.iter_mut().map(|key| ("keys.key", &mut key.key, key.key_file.as_path()));
        single.into_iter().chain(keys)
    }

    /// Every file beside the configuration itself that is read again with it.
    pub fn files(&self) -> Vec<PathBuf> {
        let security = &self.kafka.security;
        let single = [&self.admin.token_file, &security.password_file, &security.key_password_file];
        let keys = self.keys.iter().map(|key| &key.key_file);
        let all = single.into_iter().chain(keys).cloned().chain(self.tls.files());
        let all = all.filter(|path| !path.as_os_str().is_empty());
        all.chain(documents::files(self.documents())).collect()
    }

    /// Where SDK documents are.
    pub fn documents(&self) -> documents::Source<'_> {
        documents::Source { document: &self.sdk.document, documents: &self.sdk.documents }
    }

    /// What SDK documents say of the gateway.
    pub fn announced(&self) -> Announced {
        let limits = &self.limits;
        Announced {
            body_bytes: limits.body_bytes_max,
            inflated_bytes: limits.inflated_bytes_max,
            events: u64::from(limits.events_max),
            event_bytes: limits.event_bytes_max,
            context_bytes: limits.context_bytes_max,
            dedupe_s: self.dedupe.window_ms / 1_000,
        }
    }
}
