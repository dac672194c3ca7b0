//! Which options differ between two configurations, and which of these need a restart.
//!
//! In: the configuration in force and the one that is to be. Out: names of keys. Must never show a
//! value: a change of a secret is told by its key.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::settings::Settings;

/// What may change while the gateway runs: a key, or a section with everything in it.
const LIVE: [&str; 14] = [
    "keys",
    "limits",
    "guard",
    "rules",
    "routes",
    "sdk",
    "admin.token",
    "admin.token_file",
    "tls.cert",
    "tls.key",
    "tls.client_ca",
    "tls.client_auth",
    "tls.client_crl",
    "tls.certificates",
];
/// What may not, although its section may: what listeners and counters were made with.
const FIXED: [&str; 3] =
    ["limits.addresses_max", "limits.connections_max", "limits.connections_per_address_max"];

/// Keys that differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// These take effect at once.
    pub(super) live: BTreeSet<String>,
    /// These need a restart.
    pub(super) fixed: BTreeSet<String>,
}

impl Changes {
    /// Compares two configurations.
    pub(super) fn between(old: &Settings, new: &Settings) -> Self {
        let mut found = BTreeSet::new();
        differ("", &table(old), &table(new), &mut found);
        // Masks hide whether a secret differs, so these are compared as they are.
        for (key, is_other) in [
            ("keys", old.keys != new.keys),
            ("admin.token", old.admin.token != new.admin.token),
            ("kafka.security.password", old.kafka.security.password != new.kafka.security.password),
            (
                "kafka.security.key_password",
                old.kafka.security.key_password != new.kafka.security.key_password,
            ),
            ("kafka.second.security", old.kafka.second.security != new.kafka.second.security),
            ("kafka.properties", old.kafka.properties != new.kafka.properties),
            ("kafka.second.properties", old.kafka.second.properties != new.kafka.second.properties),
        ] {
            if is_other {
                found.insert(key.to_owned());
            }
        }
        if old.tls.is_on() != new.tls.is_on() {
            // Listeners speak TLS or they do not.
            found.insert("tls".to_owned());
        }
        let (live, fixed) = found.into_iter().partition(|key| is_live(key));
        Self { live, fixed }
    }
}

fn is_live(key: &str) -> bool {
    !FIXED.contains(&key)
        && LIVE.iter().any(|live| {
            key.strip_prefix(live).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
}

fn table(settings: &Settings) -> Table {
    // What cannot be written down could not have been read either.
    Table::try_from(settings).unwrap_or_default()
}

fn differ(prefix: &str, old: &Table, new: &Table, found: &mut BTreeSet<String>) {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        match (old.get(key), new.get(key)) {
            (Some(Value::Table(old)), Some(Value::Table(new))) => {
                differ(&format!("{prefix}{key}."), old, new, found);
            }
            (old, new) if old == new => {}
            _ => {
                found.insert(format!("{prefix}{key}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Settings {
        toml::from_str(text).expect("valid")
    }

    fn between(old: &str, new: &str) -> (Vec<String>, Vec<String>) {
        let Changes { live, fixed } = Changes::between(&read(old), &read(new));
        (live.into_iter().collect(), fixed.into_iter().collect())
    }

    #[test]
    fn keys_are_sorted_into_live_and_fixed() {
        let (live, fixed) = between(
            "",
            "workers = 3\n[limits]\nevents_max = 7\n[kafka]\nbrokers = 'a'\n[sdk]\ndocuments = 'd'\n\
             [[rules]]\nname = 'a'\naction = 'filter'\n[admin]\ntoken = 'abc'\n",
        );
        assert_eq!(live, ["admin.token", "limits.events_max", "rules", "sdk.documents"]);
        assert_eq!(fixed, ["kafka.brokers", "workers"]);
        assert_eq!(between("workers = 3", "workers = 3"), (vec![], vec![]));
        assert_eq!(between("", "[limits]\naddresses_max = 7").1, ["limits.addresses_max"]);
        let tls = |cert: &str| format!("[tls]\ncert = '{cert}'\nkey = 'k'\n");
        assert_eq!(between(&tls("a"), &tls("b")), (vec!["tls.cert".to_owned()], vec![]));
        assert_eq!(between("", &tls("a")).1, ["tls"]);
        assert_eq!(between("", "[admin]\nlisten = '127.0.0.1:1'").1, ["admin.listen"]);
    }

    #[test]
    fn other_secrets_are_seen_behind_their_masks() {
        let password = |text: &str| {
            format!(
                "[kafka.security]\npassword = '{text}'\n[kafka.properties]\n'a.token' = '{text}'"
            )
        };
        let (_, fixed) = between(&password("one"), &password("two"));
        assert_eq!(fixed, ["kafka.properties", "kafka.security.password"]);
        let key = |text: &str| format!("[[keys]]\nkey = '{text}'\napp = 'a'\nkind = 'public'");
        assert_eq!(between(&key("wk_one"), &key("wk_two")).0, ["keys"]);
    }
}
