//! One gateway, a calm client and a watcher, and the three stretches of an attack: before, during,
//! after.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::calm::{Calm, Felt};
use super::watch::{Took, Watch};
use crate::gateway::{Gateway, GatewayOptions};

/// How long is measured before and after an attack.
const QUIET: Duration = Duration::from_secs(5);
/// What passes before anything is measured: connections, first files.
const WARM: Duration = Duration::from_secs(1);
/// How long memory may take to come back after an attack, before it is measured.
const RECOVERY: Duration = Duration::from_secs(2);

/// Where the calm client and the attackers send their batches.
pub const TARGET: &str = "/v1/batch";

/// How much attackers stand back for the gateway and the calm client: in truth they have machines
/// of their own, and what they compute takes nothing from either.
const NICE: i32 = 10;

/// Runs an attack on a thread that stands back, as do the threads and processes that it starts.
pub fn apart<T: Send>(attack: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            rustix::process::setpriority_process(None, NICE)?;
            attack()
        });
        thread.join().map_err(|_| anyhow::anyhow!("the attackers panicked"))?
    })
}

/// The gateway and who looks at it.
pub struct Scene {
    // In this order: who looks ends before what is looked at.
    calm: Calm,
    watch: Watch,
    /// The gateway.
    pub gateway: Gateway,
}

/// What one stretch was like.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// The calm client.
    pub felt: Felt,
    /// The gateway's process.
    pub took: Took,
}

/// One attack.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Its stretches.
    pub before: Stretch,
    /// The same.
    pub during: Stretch,
    /// The same.
    pub after: Stretch,
    /// How long it lasted.
    pub lasted: Duration,
    /// What the attacker saw.
    pub said: String,
}

impl Scene {
    /// Starts everything; `configuration` is laid on top of the defaults.
    pub fn set(
        binary: &Path,
        configuration: &str,
        tls: Option<Arc<ClientConfig>>,
    ) -> anyhow::Result<Self> {
        let mut options = GatewayOptions::new(binary);
        options.configuration = configuration.parse()?;
        let gateway = Gateway::start(options)?;
        let id = gateway.id().ok_or_else(|| anyhow::anyhow!("the gateway has ended"))?;
        let watch = Watch::start(id);
        let calm = Calm::start(gateway.listen(), TARGET, tls)?;
        std::thread::sleep(WARM);
        Ok(Self { calm, watch, gateway })
    }

    /// Plays one attack.
    pub fn play(
        &mut self,
        attack: impl FnOnce(&Gateway) -> anyhow::Result<String>,
    ) -> anyhow::Result<Measured> {
        let began = Instant::now();
        std::thread::sleep(QUIET);
        let from = Instant::now();
        let said = attack(&self.gateway)?;
        let to = Instant::now();
        std::thread::sleep(RECOVERY);
        let calm_again = Instant::now();
        std::thread::sleep(QUIET);
        let ended = self.gateway.ended()?;
        anyhow::ensure!(ended.is_none(), "the gateway ended: {}", self.gateway.log());
        Ok(Measured {
            before: self.stretch(began, from),
            during: self.stretch(from, to),
            after: self.stretch(calm_again, Instant::now()),
            lasted: to - from,
            said,
        })
    }

    fn stretch(&self, from: Instant, to: Instant) -> Stretch {
        Stretch { felt: self.calm.between(from, to), took: self.watch.between(from, to) }
    }
}
