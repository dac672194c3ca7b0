//! Floor 5: the root of the configuration, one field per section, and the checks that span
//! sections.
//!
//! Every section's meaning and defaults live on its own floor. `config/tidegate.toml` shows all of
//! it; a test keeps that file equal to this code.

mod sections;

pub use sections::{Admin, Limits, Listener, Memory, Raw, Sdk};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::admit::documents::{self, Announced};
use crate::admit::{self, Key};
use crate::config::Secret;
use crate::deliver::dedupe;
use crate::deliver::sinks::kafka::security;
use crate::deliver::sinks::{file, kafka};
use crate::model::budget::Plan;
use crate::model::{pressure, routed};
use crate::rulebook::{Rulebook, Shape};
use crate::telemetry::log;
use crate::{accept, config, decode, journal, route, rulebook, split};

/// App, user agent and the other facts; and `_tg` without its context.
const FACTS_BYTES: u64 = 4 << 10;
/// A batch in the memory of `[dedupe]`.
const REMEMBERED_BYTES: u64 = 100;
/// Brokers take records of this size by default, so topics that take less would only confuse.
const BROKER_DEFAULT: u64 = 1_048_588;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where batches come in.
    pub listen: accept::Addresses,
    /// Where everything durable is kept.
    pub data_dir: PathBuf,
    /// Worker threads; 0 is one per core.
    pub workers: usize,
    /// How long a stop may take before what is left is cut off.
    pub drain_ms: u64,
    /// What a refused client is told to wait before it tries again.
    pub retry_ms: u64,
    /// How often the files of the configuration are looked at for changes; 0 for never.
    pub watch_ms: u64,
    /// Proxies that may say who their client is.
    pub trusted_proxies: Vec<accept::Network>,
    /// `[admin]`.
    pub admin: Admin,
    /// `[log]`.
    pub log: log::Settings,
    /// `[http]`.
    pub http: accept::Settings,
    /// `[tls]`.
    pub tls: accept::tls::Settings,
    /// `[limits]`.
    pub limits: Limits,
    /// `[guard]`.
    pub guard: admit::guard::Settings,
    /// `[memory]`.
    pub memory: Memory,
    /// `[pressure]`.
    pub pressure: pressure::Settings,
    /// `[raw]`.
    pub raw: Raw,
    /// `[journal]`.
    pub journal: journal::Settings,
    /// `[dedupe]`.
    pub dedupe: dedupe::Settings,
    /// `[store]`.
    pub store: file::Settings,
    /// `[kafka]`.
    pub kafka: kafka::Settings,
    /// `[sdk]`.
    pub sdk: Sdk,
    /// `[[listeners]]`.
    pub listeners: Vec<Listener>,
    /// `[[keys]]`.
    pub keys: Vec<Key>,
    /// `[[rules]]`.
    pub rules: Vec<split::rules::Settings>,
    /// `[[routes]]`.
    pub routes: Vec<route::Route>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error(transparent)]
    Load(#[from] config::Error),
    /// Keys, limits or the guard make no sense.
    #[error(transparent)]
    Admit(#[from] admit::Error),
    /// Rules or routes make no sense.
    #[error(transparent)]
    Rules(#[from] rulebook::Error),
    /// Kafka's security makes no sense.
    #[error("{section}: {source}")]
    Security {
        /// Of which cluster.
        section: &'static str,
        /// What is wrong.
        source: kafka::security::Error,
    },
    /// A file with a secret.
    #[error("{key}_file {}: {source}", path.display())]
    Secret {
        /// The option that it stands for.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// A secret comes from two places.
    #[error("{0} and {0}_file are both set; keep one of them")]
    TwoSecrets(&'static str),
    /// Anybody could write.
    #[error(
        "no [[keys]] are configured and listen = {0} is not a loopback address; add keys, or listen on 127.0.0.1"
    )]
    Open(accept::Address),
    /// Nobody could come in.
    #[error("listen is empty and there are no [[listeners]]; write listen = \"127.0.0.1:8080\"")]
    Deaf,
    /// A listener that nobody could use.
    #[error("listener {0}: {1}")]
    Listener(accept::Address, &'static str),
    /// A number makes no sense.
    #[error("{key} = {value}: {message}")]
    Number {
        /// Its key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// What it must be.
        message: &'static str,
    },
}

impl Settings {
    /// Reads file and environment, and checks what spans sections.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let mut settings: Self = config::load(path, std::env::vars())?;
        settings.read_secrets()?;
        settings.check()?;
        Ok(settings)
    }

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
        let token: (&'static str, &mut Secret, &Path) =
            ("admin.token", &mut self.admin.token, &self.admin.token_file);
        let kafka = &mut self.kafka;
        let clusters = std::iter::once((
            ["kafka.security.password", "kafka.security.key_password"],
            &mut kafka.security,
        ))
        .chain(kafka.second.security.as_mut().map(|security| {
            (["kafka.second.security.password", "kafka.second.security.key_password"], security)
        }));
        let clusters = clusters.flat_map(|([password, key_password], security)| {
            let security::Settings {
                password: one,
                password_file,
                key_password: two,
                key_password_file,
                ..
            } = security;
            [
                (password, one, password_file.as_path()),
                (key_password, two, key_password_file.as_path()),
            ]
        });
        let keys =
            self.keys.iter_mut().map(|key| ("keys.key", &mut key.key, key.key_file.as_path()));
        std::iter::once(token).chain(clusters).chain(keys)
    }

    /// Every file beside the configuration itself that is read again with it.
    pub fn files(&self) -> Vec<PathBuf> {
        let clusters = std::iter::once(&self.kafka.security).chain(&self.kafka.second.security);
        let clusters = clusters.flat_map(|one| [&one.password_file, &one.key_password_file]);
        let keys = self.keys.iter().map(|key| &key.key_file);
        let own = std::iter::once(&self.admin.token_file).chain(clusters).chain(keys);
        let all = own.cloned().chain(self.tls.files());
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

    /// Checks what no section can check alone.
    pub fn check(&self) -> Result<(), Error> {
        self.terms().check()?;
        self.check_listeners(self.keys.is_empty())?;
        self.rulebook()?;
        for (section, security) in [
            ("kafka.security", Some(&self.kafka.security)),
            ("kafka.second.security", self.kafka.second.security.as_ref()),
        ] {
            let checked = security.map_or(Ok(()), kafka::security::Settings::check);
            checked.map_err(|source| Error::Security { section, source })?;
        }
        let number = |key, value, ok: bool, message| {
            if ok { Ok(()) } else { Err(Error::Number { key, value, message }) }
        };
        let limits = &self.limits;
        number(
            "memory.budget_bytes",
            self.memory.budget_bytes,
            self.memory_plan().live_bytes()
                >= 2 * (limits.inflated_bytes_max + self.copies() * limits.output_bytes_max),
            "must hold drain_bytes, the caches and two of the largest batches \
             (inflated_bytes_max + output_bytes_max, which counts twice with kafka)",
        )?;
        self.pressure.check().map_err(|(key, value, message)| Error::Number {
            key,
            value,
            message,
        })?;
        number(
            "limits.events_max",
            u64::from(limits.events_max),
            (1..=32_000).contains(&limits.events_max),
            "must be 1 to 32000",
        )?;
        number(
            "limits.inflated_bytes_max",
            limits.inflated_bytes_max,
            limits.inflated_bytes_max <= 1 << 30 && limits.output_bytes_max <= 1 << 30,
            "and output_bytes_max must be at most 1 GiB",
        )
    }

    fn check_listeners(&self, is_open: bool) -> Result<(), Error> {
        let wanted = self.wanted();
        if wanted.is_empty() {
            return Err(Error::Deaf);
        }
        for listener in wanted {
            if is_open && !listener.address.is_local() {
                return Err(Error::Open(listener.address));
            }
            if listener.tls && !self.tls.is_on() {
                return Err(Error::Listener(listener.address, "tls needs [tls] cert and key"));
            }
            if listener.proxy && self.trusted_proxies.is_empty() {
                let message = "proxy_protocol needs trusted_proxies; nobody else may send it";
                return Err(Error::Listener(listener.address, message));
            }
        }
        self.http.check().map_err(|(key, value, message)| Error::Number { key, value, message })
    }

    /// Every listener of batches: `listen`, then `[[listeners]]`.
    pub fn wanted(&self) -> Vec<accept::Wanted> {
        let proxied = |option: Option<accept::ProxyProtocol>| {
            option.unwrap_or(self.http.proxy_protocol) == accept::ProxyProtocol::Required
        };
        let wanted = |address: &accept::Address, tls: Option<bool>, proxy| accept::Wanted {
            address: address.clone(),
            tls: tls.unwrap_or(self.tls.is_on()),
            proxy: proxied(proxy),
        };
        let simple = self.listen.0.iter().map(|address| wanted(address, None, None));
        let own =
            self.listeners.iter().map(|one| wanted(&one.address, one.tls, one.proxy_protocol));
        simple.chain(own).collect()
    }

    /// The limits of connections.
    pub fn connections(&self) -> accept::Limits {
        accept::Limits {
            connections_max: self.limits.connections_max,
            connections_per_address_max: self.limits.connections_per_address_max,
            handshakes_max: self.tls.handshakes_max,
        }
    }

    /// The rulebook that this configuration describes.
    pub fn rulebook(&self) -> Result<Rulebook, rulebook::Error> {
        let limits = &self.limits;
        Rulebook::compile(Shape {
            rules: self.rules.clone(),
            routes: self.routes.clone(),
            decode: decode::Limits {
                inflated_bytes_max: limits.inflated_bytes_max,
                ratio_max: limits.ratio_max,
                ratio_free_bytes: limits.ratio_free_bytes,
            },
            split: split::Limits {
                header_bytes_max: limits.header_bytes_max,
                context_bytes_max: limits.context_bytes_max,
                report_bytes_max: limits.report_bytes_max,
                events_max: limits.events_max,
                event_bytes_max: limits.event_bytes_max,
            },
            output_bytes_max: limits.output_bytes_max,
            topic_prefix: self.kafka.topic_prefix.clone(),
        })
    }

    /// What the memory budget is cut into. Caches fill up in any case, so their caps are held back.
    pub fn memory_plan(&self) -> Plan {
        let remembered = self.dedupe.batches_max as u64 * REMEMBERED_BYTES;
        let known = self.limits.addresses_max as u64 * admit::limits::ADDRESS_BYTES;
        let buffers = ("buffers", routed::space::BYTES_MAX);
        let mut caches = vec![("dedupe", remembered), ("addresses", known), buffers];
        if self.kafka.brokers.is_empty() {
            // Lines that are to be written, and half of that in buffers to be used again.
            caches.push(("store", self.store.buffer_bytes_max as u64 * 3 / 2));
        }
        let Memory { budget_bytes, drain_bytes } = self.memory;
        Plan { budget_bytes, drain_bytes, caches }
    }

    /// How often bodies and tier-2 values lie in memory while they are delivered.
    pub fn copies(&self) -> u64 {
        if self.kafka.brokers.is_empty() { 1 } else { 2 }
    }

    /// The largest record of either tier: a body with its facts, or an event with its `_tg`.
    pub fn record_bytes_max(&self) -> u64 {
        let limits = &self.limits;
        let event = limits.event_bytes_max + limits.header_bytes_max + FACTS_BYTES;
        (limits.body_bytes_max + FACTS_BYTES).max(event).max(BROKER_DEFAULT)
    }

    /// Lowers the limits to what the cluster's topics take, so that nothing too large is ever
    /// acknowledged; says so.
    pub fn fit(&mut self, record_bytes_max: u64) {
        let limits = &mut self.limits;
        let body = record_bytes_max.saturating_sub(FACTS_BYTES);
        let event = body.saturating_sub(limits.header_bytes_max);
        for (key, limit, fits) in [
            ("limits.body_bytes_max", &mut limits.body_bytes_max, body),
            ("limits.event_bytes_max", &mut limits.event_bytes_max, event),
        ] {
            if *limit > fits {
                tracing::warn!(key, from = *limit, to = fits, "lowered: kafka's topics take less");
                *limit = fits;
            }
        }
    }

    /// What the door obeys: all of it may change while the gateway runs, but for
    /// `limits.addresses_max`.
    pub fn terms(&self) -> admit::Terms {
        let limits = &self.limits;
        let limits = admit::Settings {
            body_bytes_max: limits.body_bytes_max,
            body_ms: limits.body_ms,
            body_rate_min: self.http.body_rate_min,
            body_grace_ms: self.http.body_grace_ms,
            address_rate: limits.address_rate,
            address_burst: limits.address_burst,
            key_rate: limits.key_rate,
            key_burst: limits.key_burst,
            app_events_rate: limits.app_events_rate,
            app_bytes_rate: limits.app_bytes_rate,
            app_burst_ms: limits.app_burst_ms,
            addresses_max: limits.addresses_max,
            requests_max: limits.requests_max,
        };
        admit::Terms { keys: self.keys.clone(), limits, guard: self.guard.clone() }
    }

    /// Worker threads.
    pub fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        if self.workers == 0 { cores() } else { self.workers }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)).into(),
            data_dir: PathBuf::from("data"),
            workers: 0,
            drain_ms: 10_000,
            retry_ms: 5_000,
            watch_ms: 1_000,
            trusted_proxies: Vec::new(),
            admin: Admin::default(),
            log: log::Settings::default(),
            http: accept::Settings::default(),
            tls: accept::tls::Settings::default(),
            limits: Limits::default(),
            guard: admit::guard::Settings::default(),
            memory: Memory::default(),
            pressure: pressure::Settings::default(),
            raw: Raw::default(),
            journal: journal::Settings::default(),
            dedupe: dedupe::Settings::default(),
            store: file::Settings::default(),
            kafka: kafka::Settings::default(),
            sdk: Sdk::default(),
            listeners: Vec::new(),
            keys: Vec::new(),
            rules: Vec::new(),
            routes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        Settings::default().check().expect("defaults");
    }

    #[test]
    fn an_open_gateway_listens_on_loopback_only() {
        let listen = SocketAddr::from(([0, 0, 0, 0], 8080));
        let open = Settings { listen: listen.into(), ..Settings::default() };
        let text = open.check().expect_err("refused").to_string();
        assert!(text.contains("[[keys]]") && text.contains("0.0.0.0:8080"), "{text}");
    }

    #[test]
    fn listeners_that_nobody_could_use_are_refused() {
        let refused = |text: &str| {
            let settings: Settings = toml::from_str(text).expect("TOML");
            settings.check().expect_err(text).to_string()
        };
        assert!(refused("listen = []").contains("listen is empty"));
        let one = "listen = []\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";
        assert!(refused(&format!("{one}tls = true")).contains("[tls] cert"));
        let proxied = refused(&format!("{one}proxy_protocol = \"required\""));
        assert!(proxied.contains("trusted_proxies"), "{proxied}");
        assert!(refused("[http]\nhead_ms = 0").contains("http.head_ms"));
        toml::from_str::<Settings>(one).expect("TOML").check().expect("a listener");
    }

    #[test]
    fn limits_follow_what_topics_take() {
        let mut settings = Settings::default();
        settings.fit(settings.record_bytes_max());
        assert_eq!(settings, Settings::default());
        settings.fit(100_000);
        assert_eq!(settings.limits.body_bytes_max, 95_904);
        assert_eq!(settings.limits.event_bytes_max, 79_520);
    }

    #[test]
    fn a_budget_too_small_for_one_batch_is_refused() {
        let memory = Memory { budget_bytes: 1 << 20, ..Memory::default() };
        let text = Settings { memory, ..Settings::default() }.check().expect_err("refused");
        assert!(text.to_string().starts_with("memory.budget_bytes = 1048576"), "{text}");
    }
}
