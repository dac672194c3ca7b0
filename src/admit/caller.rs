//! Write keys: from a query or a header to the app that it writes for.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, USER_AGENT};
use rustc_hash::FxHashMap;

use super::settings::{Key, Kind};
use crate::model::{Caller, KeyKind, Refusal};

/// All write keys; without any the gateway is open to whoever reaches it.
#[derive(Debug, Default)]
pub struct Keys {
    by_text: FxHashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    app: Arc<str>,
    kind: KeyKind,
    class: u8,
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
    /// Two entries have one key.
    #[error("keys: two entries have the same key (apps {0:?} and {1:?})")]
    Twice(String, String),
    /// No such class.
    #[error("keys: class {1} of app {0:?} must be 0, 1 or 2")]
    Class(String, u8),
}

/// The app of everybody when no keys are configured.
const OPEN_APP: &str = "default";
/// Bytes of `User-Agent` that are kept.
const USER_AGENT_MAX: usize = 256;

impl Keys {
    /// Checks and indexes keys.
    pub fn new(keys: &[Key]) -> Result<Self, KeysError> {
        let mut by_text: FxHashMap<String, Entry> = FxHashMap::default();
        for key in keys {
            let name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            if !(1..=64).contains(&key.app.len()) || !key.app.bytes().all(name) {
                return Err(KeysError::App(key.app.clone()));
            }
            let text = key.key.expose();
            let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
            if !(4..=128).contains(&text.len()) || !visible {
                return Err(KeysError::Text(key.app.clone()));
            }
            if key.class > 2 {
                return Err(KeysError::Class(key.app.clone(), key.class));
            }
            let kind = match key.kind {
                Kind::Public => KeyKind::Public,
                Kind::Secret => KeyKind::Secret,
            };
            let entry = Entry { app: Arc::from(key.app.as_str()), kind, class: key.class };
            if let Some(other) = by_text.insert(text.to_owned(), entry) {
                return Err(KeysError::Twice(other.app.to_string(), key.app.clone()));
            }
        }
        Ok(Self { by_text })
    }

    /// Whether nobody needs a key.
    pub fn is_open(&self) -> bool {
        self.by_text.is_empty()
    }

    /// Who sends a request with these headers and this key in its query.
    pub fn caller(
        &self,
        headers: &HeaderMap,
        in_query: Option<&str>,
        address: IpAddr,
    ) -> Result<Caller, Refusal> {
        let user_agent = user_agent(headers);
        if self.is_open() {
            let (app, kind) = (Arc::from(OPEN_APP), KeyKind::Open);
            return Ok(Caller { app, kind, class: 1, address, user_agent });
        }
        let bearer = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(str::trim);
        // Hashing an unknown key takes the same time whatever it shares with a known one.
        let (text, queried) = match (bearer, in_query) {
            (Some(bearer), _) => (bearer, false),
            (None, Some(key)) => (key, true),
            (None, None) => return Err(Refusal::NoKey),
        };
        let entry = self.by_text.get(text).ok_or(Refusal::UnknownKey)?;
        if queried && entry.kind == KeyKind::Secret {
            return Err(Refusal::SecretInQuery);
        }
        let app = Arc::clone(&entry.app);
        Ok(Caller { app, kind: entry.kind, class: entry.class, address, user_agent })
    }
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
        Key { key: text.into(), key_file: "".into(), app: app.into(), kind, class: 2 }
    }

    fn ask(keys: &Keys, bearer: Option<&str>, query: Option<&str>) -> Result<Caller, Refusal> {
        let mut headers = HeaderMap::new();
        if let Some(bearer) = bearer {
            let value = format!("Bearer {bearer}").parse().expect("a header value");
            headers.insert(AUTHORIZATION, value);
        }
        keys.caller(&headers, query, IpAddr::from([127, 0, 0, 1]))
    }

    #[test]
    fn public_keys_may_stand_in_queries_and_secret_ones_may_not() {
        let keys = [key("wk_demo", "demo", Kind::Public), key("sk_shop", "shop", Kind::Secret)];
        let keys = Keys::new(&keys).expect("valid");
        let app = |caller: Result<Caller, Refusal>| caller.map(|caller| caller.app.to_string());
        assert_eq!(app(ask(&keys, None, Some("wk_demo"))), Ok("demo".into()));
        assert_eq!(app(ask(&keys, Some("wk_demo"), None)), Ok("demo".into()));
        assert_eq!(app(ask(&keys, Some("sk_shop"), None)), Ok("shop".into()));
        assert_eq!(app(ask(&keys, None, Some("sk_shop"))), Err(Refusal::SecretInQuery));
        assert_eq!(app(ask(&keys, None, Some("wk_other"))), Err(Refusal::UnknownKey));
        assert_eq!(app(ask(&keys, None, None)), Err(Refusal::NoKey));
        assert_eq!(ask(&keys, None, Some("wk_demo")).expect("known").class, 2);
        let open = Keys::new(&[]).expect("valid");
        assert_eq!(app(ask(&open, None, None)), Ok(OPEN_APP.into()));
    }

    #[test]
    fn unusable_keys_are_refused() {
        let twice = [key("wk_demo", "a", Kind::Public), key("wk_demo", "b", Kind::Public)];
        assert!(matches!(Keys::new(&twice), Err(KeysError::Twice(..))));
        for (text, app) in [("wk", "a"), ("wk demo", "a"), ("wk_demo", "a b"), ("wk_demo", "")] {
            assert!(Keys::new(&[key(text, app, Kind::Public)]).is_err(), "{text:?} {app:?}");
        }
    }
}
