//! Open files: as many as the system lets this process have, and a word if they are too few.
//!
//! In: settings. Out: the soft limit raised to the hard one, which is what the hard one is for (the
//! soft one is low for programs with `select`), and a warning. Must never refuse a start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::settings::Settings;

/// Journal, rules, logs, listeners, brokers, timers and the admin's connections.
const OWN: u64 = 512;

/// Raises the limit, and warns when it does not cover what the settings allow.
pub(super) fn reserve(settings: &Settings) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let given = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            limit.current
        }
    };
    if let Some(files) = lacking(settings, given) {
        tracing::warn!(
            given,
            files,
            "the limit of open files is lower than limits.connections_max and the files of the store \
             need: beyond it connections wait; raise it (systemd: LimitNOFILE, shell: ulimit -n)"
        );
    }
}

/// How many files may be open at once, if that is more than are `given` (`None`: without limit).
fn lacking(settings: &Settings, given: Option<u64>) -> Option<u64> {
    let files = settings.limits.connections_max + settings.store.open_files_max as u64 + OWN;
    given.filter(|given| *given < files).map(|_| files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_files_are_said() {
        let mut settings = Settings::default();
        settings.limits.connections_max = 1_000;
        settings.store.open_files_max = 100;
        assert_eq!(lacking(&settings, Some(1_611)), Some(1_612));
        assert_eq!(lacking(&settings, Some(1_612)), None);
        assert_eq!(lacking(&settings, None), None);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        reserve(&Settings::default());
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
