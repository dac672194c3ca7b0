//! Configuration text: a typing mistake is an error, never a panic, and what is read can be written
//! and read again.

use tidegate::config;
use tidegate::settings::Settings;

/// A configuration file.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(settings) = toml::from_str::<Settings>(text) else { return };
    // What it comes to is looked at as a start does, rules, routes, keys and sums included.
    drop(settings.check());
    let written = toml::to_string(&settings).expect("settings are TOML");
    let again = toml::from_str::<Settings>(&written).expect("what we wrote");
    // Compared as text, because a number that is none does not equal itself.
    assert_eq!(toml::to_string(&again).expect("settings are TOML"), written);
}

/// An environment variable, `NAME=value`, of which the prefix need not be guessed.
pub fn variable(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let variable = (format!("{}{name}", config::load::ENV_PREFIX), value.to_owned());
    if let Ok(settings) = config::load::<Settings>(None, std::iter::once(variable)) {
        drop(settings.check());
    }
}
