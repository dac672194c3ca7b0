//! Write keys and client certificates: from what a request shows to the app that it writes for.
//!
//! In: `[[keys]]`, then headers, queries and certificates' subjects. Out: an entry, or a refusal.
//! Keys are looked up by a hash whose seed is of this process, and then compared as a whole in the
//! same time wherever they differ, so nobody can feel his way to one. Must never show a key.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, USER_AGENT};
use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::limits::{Account, Counters, Rate, Rates};
use super::origin::Origins;
use super::settings::{Key, Kind, Settings};
use crate::model::{Caller, KeyKind, Peer, Refusal};

/// All write keys; without any the gateway is open to whoever reaches it.
pub struct Keys {
    random: RandomState,
    by_hash: FxHashMap<u64, Vec<(Box<str>, Entry)>>,
    by_subject: FxHashMap<Box<str>, Entry>,
    /// Who everybody is when there are no keys.
    open: Option<Entry>,
}

/// What a key or a certificate stands for.
#[derive(Debug)]
pub struct Entry {
    app: Arc<str>,
    kind: KeyKind,
    class: u8,
    revoked: bool,
    /// Pages that may use it.
    pub(super) origins: Origins,
    /// Its meters and its numbers.
    pub account: Arc<Account>,
}

/// Why keys are refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeysError {
    /// The app's name cannot stand in topics' headers and metrics.
    #[error("keys: app {0:?} must be 1 to 64 of A-Z a-z 0-9 _ . -")]
    App(String),
    /// The key cannot stand in a query or a header.
    #[error("keys: a key of app {0:?} must be 4 to 128 visible ASCII characters")]
    Text(String),
    /// Neither a key nor a subject, or both.
    #[error("keys: an entry of app {0:?} needs either a key or a subject")]
    Either(String),
    /// A certificate is as good as a secret.
    #[error("keys: an entry of app {0:?} with a subject cannot be public or have origins")]
    Subject(String),
    /// Origins are a browser's, and browsers have public keys.
    #[error("keys: a secret key of app {0:?} cannot have origins")]
    SecretOrigins(String),
    /// Two entries have one key.
    #[error("keys: two entries have the same key (apps {0:?} and {1:?})")]
    Twice(String, String),
    /// No such class.
    #[error("keys: class {1} of app {0:?} must be 0, 1 or 2")]
    Class(String, u8),
    /// What no browser would send.
    #[error(
        "keys: origin {1:?} of app {0:?} must be like https://example.com, https://*.example.com \
         or http://localhost:3000"
    )]
    Origin(String, String),
    /// Two entries of one app say different things of it.
    #[error("keys: entries of app {0:?} have different values of {1}")]
    Quota(String, &'static str),
    /// A number makes no sense.
    #[error(
        "keys: {1} of app {0:?} is {2}, which must be at most 1000000000000 (a burst at least 1)"
    )]
    Number(String, &'static str, u64),
}

/// The app of everybody when no keys are configured.
const OPEN_APP: &str = "default";
/// Bytes of `User-Agent` that are kept.
const USER_AGENT_MAX: usize = 256;
/// A terabyte a second, which no machine takes.
const RATE_MAX: u64 = 1_000_000_000_000;

impl Keys {
    /// Indexes keys; their meters are those of the counters.
    pub fn new(keys: &[Key], limits: &Settings, counters: &Counters) -> Result<Self, KeysError> {
        Self::check(keys)?;
        let mut indexed = Self {
            random: RandomState::new(),
            by_hash: FxHashMap::default(),
            by_subject: FxHashMap::default(),
            open: None,
        };
        if keys.is_empty() {
            let everybody = Key { app: OPEN_APP.to_owned(), ..Key::default() };
            let entry = Entry::new(&everybody, KeyKind::Open, keys, limits, counters)?;
            indexed.open = Some(entry);
        }
        for key in keys {
            let kind = match key.kind {
                Kind::Public => KeyKind::Public,
                Kind::Secret => KeyKind::Secret,
            };
            let entry = Entry::new(key, kind, keys, limits, counters)?;
            if key.key.is_empty() {
                indexed.by_subject.insert(key.subject.as_str().into(), entry);
            } else {
                let hash = indexed.random.hash_one(key.key.expose());
                indexed.by_hash.entry(hash).or_default().push((key.key.expose().into(), entry));
            }
        }
        Ok(indexed)
    }

    /// Checks what can be said of keys without the rest of a configuration.
    pub fn check(keys: &[Key]) -> Result<(), KeysError> {
        let mut seen: FxHashMap<(&str, &str), &str> = FxHashMap::default();
        for key in keys {
            key.check()?;
            let names = (key.key.expose(), key.subject.as_str());
            if let Some(other) = seen.insert(names, &key.app) {
                return Err(KeysError::Twice(other.to_owned(), key.app.clone()));
            }
        }
        for key in keys {
            of_app(keys, &key.app, "app_events_rate", |key| key.app_events_rate)?;
            of_app(keys, &key.app, "app_bytes_rate", |key| key.app_bytes_rate)?;
        }
        Ok(())
    }

    /// Whether nobody needs a key.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Who sends a request with these headers and this key in its query, from there. A key is asked
    /// before a certificate, because it is what the request itself says.
    pub fn find(
        &self,
        headers: &HeaderMap,
        in_query: Option<&str>,
        peer: &Peer,
    ) -> Result<&Entry, Refusal> {
        if let Some(everybody) = &self.open {
            return Ok(everybody);
        }
        let bearer = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(str::trim);
        let entry = match (bearer.or(in_query), &peer.subject) {
            (Some(text), _) => self.by_text(text).ok_or(Refusal::UnknownKey)?,
            (None, Some(subject)) => {
                self.by_subject.get(subject.as_ref()).ok_or(Refusal::UnknownSubject)?
            }
            (None, None) => return Err(Refusal::NoKey),
        };
        // Only who has the key gets to know that it is revoked.
        if entry.revoked {
            return Err(Refusal::RevokedKey);
        }
        if bearer.is_none() && in_query.is_some() && entry.kind == KeyKind::Secret {
            return Err(Refusal::SecretInQuery);
        }
        Ok(entry)
    }

    fn by_text(&self, text: &str) -> Option<&Entry> {
        let same = |key: &str| bool::from(key.as_bytes().ct_eq(text.as_bytes()));
        let Some(candidates) = self.by_hash.get(&self.random.hash_one(text)) else {
            // A stranger's key is compared as well: with itself, for the time that it takes.
            std::hint::black_box(same(text));
            return None;
        };
        candidates.iter().find(|(key, _)| same(key)).map(|(_, entry)| entry)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = self.by_hash.values().map(Vec::len).sum::<usize>();
        write!(f, "Keys({keys} keys, {} subjects)", self.by_subject.len())
    }
}

impl Entry {
    fn new(
        key: &Key,
        kind: KeyKind,
        all: &[Key],
        limits: &Settings,
        counters: &Counters,
    ) -> Result<Self, KeysError> {
        let app: Arc<str> = Arc::from(key.app.as_str());
        let (meter, of_its_app) = counters.meters(&name(key), &app);
        let events = of_app(all, &key.app, "app_events_rate", |key| key.app_events_rate)?;
        let bytes = of_app(all, &key.app, "app_bytes_rate", |key| key.app_bytes_rate)?;
        let quota = |of_its_own: Option<u64>, usual| {
            Rate::of_quota(of_its_own.unwrap_or(usual), limits.app_burst_ms)
        };
        let rates = Rates {
            key: Rate::of_requests(
                key.key_rate.unwrap_or(limits.key_rate),
                key.key_burst.unwrap_or(limits.key_burst),
            ),
            events: quota(events, limits.app_events_rate),
            bytes: quota(bytes, limits.app_bytes_rate),
        };
        let trusted = kind == KeyKind::Secret;
        let account = Arc::new(Account { key: meter, app: of_its_app, rates, trusted });
        let unusual = |origin| KeysError::Origin(key.app.clone(), origin);
        let origins = Origins::parse(&key.origins).map_err(unusual)?;
        Ok(Self { app, kind, class: key.class, revoked: key.revoked, origins, account })
    }

    /// The caller of a request.
    pub fn caller(&self, headers: &HeaderMap, address: IpAddr) -> Caller {
        let app = Arc::clone(&self.app);
        let user_agent = user_agent(headers);
        Caller { app, kind: self.kind, class: self.class, address, user_agent }
    }
}

impl Key {
    fn check(&self) -> Result<(), KeysError> {
        let app = || self.app.clone();
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if !(1..=64).contains(&self.app.len()) || !self.app.bytes().all(name) {
            return Err(KeysError::App(app()));
        }
        if self.key.is_empty() == self.subject.is_empty() {
            return Err(KeysError::Either(app()));
        }
        let text = self.key.expose();
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !text.is_empty() && (!(4..=128).contains(&text.len()) || !visible) {
            return Err(KeysError::Text(app()));
        }
        let public = self.kind == Kind::Public;
        if !self.subject.is_empty() && (public || !self.origins.is_empty()) {
            return Err(KeysError::Subject(app()));
        }
        if !public && !self.origins.is_empty() {
            return Err(KeysError::SecretOrigins(app()));
        }
        if self.class > 2 {
            return Err(KeysError::Class(app(), self.class));
        }
        Origins::parse(&self.origins).map_err(|origin| KeysError::Origin(app(), origin))?;
        for (name, number, least) in [
            ("key_rate", self.key_rate, 0),
            ("key_burst", self.key_burst, 1),
            ("app_events_rate", self.app_events_rate, 0),
            ("app_bytes_rate", self.app_bytes_rate, 0),
        ] {
            if let Some(number) = number.filter(|number| !(least..=RATE_MAX).contains(number)) {
                return Err(KeysError::Number(app(), name, number));
            }
        }
        Ok(())
    }
}

/// What the entries of an app say of it, if they agree.
fn of_app(
    keys: &[Key],
    app: &str,
    name: &'static str,
    number: impl Fn(&Key) -> Option<u64>,
) -> Result<Option<u64>, KeysError> {
    let mut said = keys.iter().filter(|key| key.app == app).filter_map(number);
    let first = said.next();
    if said.any(|other| Some(other) != first) {
        return Err(KeysError::Quota(app.to_owned(), name));
    }
    Ok(first)
}

/// What a key is called where people look: the first digits of its SHA-256, or the subject.
fn name(key: &Key) -> String {
    if !key.subject.is_empty() {
        return key.subject.clone();
    }
    if key.key.is_empty() {
        return "open".to_owned();
    }
    let digest: [u8; 32] = Sha256::digest(key.key.expose().as_bytes()).into();
    let head = digest.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
    format!("{head:016x}")
}

fn user_agent(headers: &HeaderMap) -> Box<str> {
    let text = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // `to_str` has passed, so every byte is a character of its own.
    text.get(..text.len().min(USER_AGENT_MAX)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str, app: &str, kind: Kind) -> Key {
        Key { key: text.into(), app: app.into(), kind, class: 2, ..Key::default() }
    }

    fn keys(keys: &[Key]) -> Keys {
        Keys::new(keys, &Settings::default(), &Counters::new(1_000)).expect("valid")
    }

    fn ask(
        keys: &Keys,
        bearer: Option<&str>,
        query: Option<&str>,
        subject: Option<&str>,
    ) -> Result<String, Refusal> {
        let mut headers = HeaderMap::new();
        if let Some(bearer) = bearer {
            let value = format!("Bearer {bearer}").parse().expect("a header value");
            headers.insert(AUTHORIZATION, value);
        }
        let mut peer = Peer::from(IpAddr::from([127, 0, 0, 1]));
        peer.subject = subject.map(Arc::from);
        let entry = keys.find(&headers, query, &peer)?;
        Ok(entry.caller(&headers, peer.address).app.to_string())
    }

    #[test]
    fn public_keys_may_stand_in_queries_and_secret_ones_may_not() {
        let known = [key("wk_demo", "demo", Kind::Public), key("sk_shop", "shop", Kind::Secret)];
        let known = keys(&known);
        assert_eq!(ask(&known, None, Some("wk_demo"), None), Ok("demo".into()));
        assert_eq!(ask(&known, Some("wk_demo"), None, None), Ok("demo".into()));
        assert_eq!(ask(&known, Some("sk_shop"), None, None), Ok("shop".into()));
        assert_eq!(ask(&known, None, Some("sk_shop"), None), Err(Refusal::SecretInQuery));
        assert_eq!(ask(&known, None, Some("wk_other"), None), Err(Refusal::UnknownKey));
        assert_eq!(ask(&known, None, None, None), Err(Refusal::NoKey));
        assert_eq!(ask(&keys(&[]), None, None, None), Ok(OPEN_APP.into()));
    }

    #[test]
    fn a_revoked_key_is_told_so_and_a_subject_stands_for_a_key() {
        let revoked = Key { revoked: true, ..key("wk_old", "demo", Kind::Public) };
        let server = Key { subject: "backend".into(), app: "shop".into(), ..Key::default() };
        let known = keys(&[revoked, server, key("wk_demo", "demo", Kind::Public)]);
        assert_eq!(ask(&known, None, Some("wk_old"), None), Err(Refusal::RevokedKey));
        assert_eq!(ask(&known, None, None, Some("backend")), Ok("shop".into()));
        assert_eq!(ask(&known, None, None, Some("other")), Err(Refusal::UnknownSubject));
        assert_eq!(ask(&known, None, Some("wk_demo"), Some("backend")), Ok("demo".into()));
        assert_eq!(ask(&known, Some("wk_x"), None, Some("backend")), Err(Refusal::UnknownKey));
    }

    #[test]
    fn unusable_keys_are_refused() {
        let good = || key("wk_demo", "a", Kind::Public);
        let subject = || Key { subject: "s".into(), app: "a".into(), ..Key::default() };
        let origins = vec!["https://a.example".to_owned()];
        let bad: [Vec<Key>; 11] = [
            vec![good(), Key { app: "b".into(), ..good() }],
            vec![key("wk", "a", Kind::Public)],
            vec![key("wk demo", "a", Kind::Public)],
            vec![key("wk_demo", "a b", Kind::Public)],
            vec![key("wk_demo", "", Kind::Public)],
            vec![key("", "a", Kind::Public)],
            vec![Key { subject: "s".into(), ..good() }],
            vec![Key { kind: Kind::Public, ..subject() }],
            vec![Key { origins: origins.clone(), kind: Kind::Secret, ..good() }],
            vec![Key { origins: vec!["a.example".into()], ..good() }],
            vec![
                Key { app_events_rate: Some(1), ..good() },
                Key { app_events_rate: Some(2), ..key("wk_two", "a", Kind::Public) },
            ],
        ];
        for keys in bad {
            assert!(Keys::check(&keys).is_err(), "{keys:?}");
        }
        assert_eq!(Keys::check(&[Key { origins, ..good() }, subject()]), Ok(()));
    }

    #[test]
    fn counters_survive_a_change_of_the_numbers_and_go_with_their_key() {
        let counters = Counters::new(1_000);
        let mut limits = Settings::default();
        let made = |limits: &Settings| {
            let keys = [key("wk_demo", "demo", Kind::Public)];
            Keys::new(&keys, limits, &counters).expect("valid")
        };
        let account = |keys: &Keys| {
            let peer = Peer::from(IpAddr::from([127, 0, 0, 1]));
            let entry = keys.find(&HeaderMap::new(), Some("wk_demo"), &peer).expect("known");
            Arc::clone(&entry.account)
        };
        let before = account(&made(&limits));
        before.key.asked();
        limits.key_rate = 7;
        let after = account(&made(&limits));
        assert!(Arc::ptr_eq(&before.key, &after.key) && Arc::ptr_eq(&before.app, &after.app));
        assert_ne!(before.rates, after.rates);
        drop((before, after));
        counters.forget_unused();
        assert!(counters.talkers().keys.is_empty());
    }

    #[test]
    fn nothing_shows_a_key() {
        let counters = Counters::new(1_000);
        let demo = [key("wk_demo_1", "demo", Kind::Public)];
        let known = Keys::new(&demo, &Settings::default(), &counters).expect("valid");
        let shown = format!("{known:?} {:?}", counters.talkers());
        assert!(!shown.contains("wk_demo_1"), "{shown}");
        assert_eq!(counters.talkers().keys[0].app, "demo");
    }
}
