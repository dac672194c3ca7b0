//! `[kafka.security]` and `[kafka.second.security]`: how the client proves who it is, and whom it
//! talks to.
//!
//! In: files, names and secrets. Out: librdkafka's properties, and an OAUTHBEARER token read from
//! its file whenever the client wants one. Must never show a secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::consumer::ConsumerContext;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::config::Secret;

/// How to talk to the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub protocol: Protocol,
    /// PEM file of the authorities that brokers are checked with; empty for the system's.
    pub ca: PathBuf,
    /// PEM file of the client's certificate; empty for none.
    pub cert: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
    /// The password of that file.
    pub key_password: Secret,
    /// A file that holds it.
    pub key_password_file: PathBuf,
    /// With SASL: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`.
    pub mechanism: Mechanism,
    /// Who the client is.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// A file that holds it.
    pub password_file: PathBuf,
    /// With `OAUTHBEARER`: a file that holds the token, which somebody else keeps fresh.
    pub token_file: PathBuf,
}

/// What the connection is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// TLS; with `cert` and `key` mutual TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL inside TLS.
    SaslSsl,
}

/// How SASL authenticates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    /// Name and password as they are.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Challenge and response over SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Challenge and response over SHA-512.
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

/// Why these settings cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// One needs the other.
    #[error("{0} is set, so {1} must be")]
    Lacks(&'static str, &'static str),
    /// It would have no effect.
    #[error("{0} is set, but protocol = {1:?} does not use it")]
    Useless(&'static str, Protocol),
}

impl Settings {
    /// Checks that what belongs together is together.
    pub fn check(&self) -> Result<(), Error> {
        let is_set = |path: &Path| !path.as_os_str().is_empty();
        let has_password = !self.password.is_empty() || is_set(&self.password_file);
        let has_key_password = !self.key_password.is_empty() || is_set(&self.key_password_file);
        if !self.protocol.is_tls() {
            for (key, set) in [
                ("ca", is_set(&self.ca)),
                ("cert", is_set(&self.cert)),
                ("key", is_set(&self.key)),
                ("key_password", has_key_password),
            ] {
                if set {
                    return Err(Error::Useless(key, self.protocol));
                }
            }
        }
        for (one, is_one, other, is_other) in [
            ("cert", is_set(&self.cert), "key", is_set(&self.key)),
            ("key", is_set(&self.key), "cert", is_set(&self.cert)),
            ("key_password", has_key_password, "key", is_set(&self.key)),
        ] {
            if is_one && !is_other {
                return Err(Error::Lacks(one, other));
            }
        }
        if !self.protocol.is_sasl() {
            for (key, set) in [
                ("username", !self.username.is_empty()),
                ("password", has_password),
                ("token_file", is_set(&self.token_file)),
            ] {
                if set {
                    return Err(Error::Useless(key, self.protocol));
                }
            }
            return Ok(());
        }
        if self.mechanism == Mechanism::OauthBearer {
            let has_token = is_set(&self.token_file);
            return if has_token { Ok(()) } else { Err(Error::Lacks("OAUTHBEARER", "token_file")) };
        }
        match (self.username.is_empty(), has_password) {
            (true, _) => Err(Error::Lacks("protocol", "username")),
            (_, false) => Err(Error::Lacks("username", "password or password_file")),
            _ => Ok(()),
        }
    }

    /// The same as librdkafka's properties.
    pub(super) fn properties(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        let mut say = |name, value: &str| {
            if !value.is_empty() {
                all.push((name, value.to_owned()));
            }
        };
        if self.protocol != Protocol::Plaintext {
            say("security.protocol", self.protocol.name());
        }
        let path = |path: &Path| path.display().to_string();
        say("ssl.ca.location", &path(&self.ca));
        say("ssl.certificate.location", &path(&self.cert));
        say("ssl.key.location", &path(&self.key));
        say("ssl.key.password", self.key_password.expose());
        if self.protocol.is_sasl() {
            say("sasl.mechanisms", self.mechanism.name());
            say("sasl.username", &self.username);
            say("sasl.password", self.password.expose());
        }
        all
    }

    /// Whether nothing works before the client has a token.
    pub(super) fn wants_token(&self) -> bool {
        self.protocol.is_sasl() && self.mechanism == Mechanism::OauthBearer
    }

    /// What reads the token.
    pub(super) fn login(&self) -> Login {
        let name = if self.username.is_empty() { "tidegate" } else { &self.username };
        let token_file = self.token_file.clone();
        Login { token_file, name: name.to_owned(), is_given: Arc::default() }
    }
}

impl Protocol {
    fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// Gives librdkafka a token when it asks for one.
#[derive(Debug, Clone)]
pub(super) struct Login {
    token_file: PathBuf,
    name: String,
    /// Whether the client has asked and was given one.
    is_given: Arc<AtomicBool>,
}

/// How long a token is taken to be good; the file is read again before. Short, because only who
/// writes the file knows, and a broker refuses a token that is not.
const TOKEN_MS: i64 = 60_000;

impl Login {
    /// Whether the client has one.
    pub(super) fn is_given(&self) -> bool {
        self.is_given.load(Ordering::Acquire)
    }

    /// Reads the token.
    pub(super) fn token(&self) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let token = Secret::read(&self.token_file)
            .map_err(|error| format!("token_file {}: {error}", self.token_file.display()))?;
        self.is_given.store(true, Ordering::Release);
        Ok(OAuthToken {
            token: token.expose().to_owned(),
            principal_name: self.name.clone(),
            lifetime_ms: clock::now_ms() + TOKEN_MS,
        })
    }
}

impl ConsumerContext for Login {}

impl ClientContext for Login {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        _config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.token()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Settings {
        toml::from_str(text).expect("valid")
    }

    #[test]
    fn becomes_librdkafkas_properties() {
        assert!(Settings::default().properties().is_empty());
        let settings = read(
            "protocol = 'sasl_ssl'\nca = '/ca.pem'\ncert = '/c.pem'\nkey = '/k.pem'\n\
             key_password = 'p'\nmechanism = 'SCRAM-SHA-256'\nusername = 'u'\npassword = 'hunter2'",
        );
        assert_eq!(settings.check(), Ok(()));
        let properties = settings.properties();
        let properties: Vec<_> =
            properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(
            properties,
            [
                ("security.protocol", "sasl_ssl"),
                ("ssl.ca.location", "/ca.pem"),
                ("ssl.certificate.location", "/c.pem"),
                ("ssl.key.location", "/k.pem"),
                ("ssl.key.password", "p"),
                ("sasl.mechanisms", "SCRAM-SHA-256"),
                ("sasl.username", "u"),
                ("sasl.password", "hunter2"),
            ]
        );
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn what_belongs_together_is_asked_for() {
        for (text, said) in [
            ("ca = 'a'", "ca is set, but protocol = Plaintext"),
            ("username = 'a'", "username is set, but"),
            ("protocol = 'ssl'\ncert = 'a'", "cert is set, so key must be"),
            ("protocol = 'ssl'\nkey = 'a'", "key is set, so cert must be"),
            ("protocol = 'ssl'\npassword = 'a'", "password is set, but"),
            ("protocol = 'sasl_ssl'", "so username must be"),
            ("protocol = 'sasl_ssl'\nusername = 'a'", "so password or password_file must be"),
            ("protocol = 'sasl_ssl'\nmechanism = 'OAUTHBEARER'", "so token_file must be"),
        ] {
            let error = read(text).check().expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        for text in [
            "",
            "protocol = 'ssl'",
            "protocol = 'sasl_plaintext'\nmechanism = 'PLAIN'\nusername = 'a'\npassword_file = 'b'",
            "protocol = 'sasl_ssl'\nmechanism = 'OAUTHBEARER'\ntoken_file = 'a'",
        ] {
            assert_eq!(read(text).check(), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_token_comes_from_its_file_each_time() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let login = Settings { token_file: file.path().to_owned(), ..Settings::default() }.login();
        assert!(login.token().is_err_and(|error| error.to_string().contains("token_file")));
        for token in ["one", "two"] {
            std::fs::write(file.path(), format!("{token}\n")).expect("written");
            let given = login.token().expect("a token");
            assert_eq!((given.token.as_str(), given.principal_name.as_str()), (token, "tidegate"));
        }
    }
}
