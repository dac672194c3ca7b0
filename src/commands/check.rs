//! `tidegate check`: is the configuration valid, and what does it come to.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::accept;
use crate::admit::Documents;
use crate::clock;
use crate::settings::Settings;

use super::say;

pub(super) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    // Whoever reached this point has passed Settings::load, which opens no further files.
    accept::tls::Certificates::load(&settings.tls)?;
    say(effective(settings)?.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// The effective configuration as TOML; secrets write masks for themselves.
fn effective(settings: &Settings) -> anyhow::Result<String> {
    let rules = settings.rulebook()?.hash;
    // What documents say is checked as a start would.
    let now_ms = clock::now_ms();
    let documents = Documents::open(settings.documents(), &settings.announced(), now_ms)?;
    let mut head = format!("# rules {rules:016x}\n");
    for (app, version) in documents.versions() {
        writeln!(head, "# document {app} version {version}")?;
    }
    Ok(format!("{head}{}", toml::to_string_pretty(settings)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::Key;

    #[test]
    fn what_it_prints_is_valid_and_holds_no_key() {
        let text = "key = 'wk_secret_1'\napp = 'a'\nkind = 'secret'";
        let key: Key = toml::from_str(text).expect("a key");
        let mut settings = Settings { keys: vec![key], ..Settings::default() };
        settings.kafka.properties.insert("sasl.password".into(), "hunter2hunter2".into());
        let text = effective(&settings).expect("printable");
        assert!(!text.contains("wk_secret_1") && !text.contains("hunter2hunter2"), "{text}");
        let back: Settings = toml::from_str(&text).expect("valid");
        assert_eq!(back.limits, settings.limits);
    }
}
