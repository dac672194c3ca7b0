//! `tidegate check`: is the configuration valid, and what does it come to.

use std::process::ExitCode;

use crate::accept;
use crate::settings::Settings;

use super::say;

pub(super) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    // Whoever reached this point has passed Settings::load, which opens no further files.
    accept::tls::Certificates::load(&settings.tls)?;
    say(effective(settings)?.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// The effective configuration as TOML, keys masked.
fn effective(settings: &Settings) -> anyhow::Result<String> {
    let mut shown = settings.clone();
    for key in &mut shown.keys {
        key.key = mask(&key.key);
    }
    for (name, value) in &mut shown.kafka.properties {
        if ["password", "secret", "key", "token"].iter().any(|word| name.contains(word)) {
            *value = mask(value);
        }
    }
    let rules = settings.rulebook()?.hash;
    Ok(format!("# rules {rules:016x}\n{}", toml::to_string_pretty(&shown)?))
}

fn mask(secret: &str) -> String {
    let start: String = secret.chars().take(3).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::{Key, settings::Kind};

    #[test]
    fn what_it_prints_is_valid_and_holds_no_key() {
        let key = Key { key: "wk_secret_1".into(), app: "a".into(), kind: Kind::Secret, class: 1 };
        let mut settings = Settings { keys: vec![key], ..Settings::default() };
        settings.kafka.properties.insert("sasl.password".into(), "hunter2hunter2".into());
        let text = effective(&settings).expect("printable");
        assert!(!text.contains("wk_secret_1") && !text.contains("hunter2hunter2"), "{text}");
        let back: Settings = toml::from_str(&text).expect("valid");
        assert_eq!(back.limits, settings.limits);
    }
}
