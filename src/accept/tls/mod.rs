//! TLS: what this side shows, what it asks for, and one handshake.
//!
//! In: files and a connection. Out: a stream, which HTTP it speaks, and the subject of its client's
//! certificate. Must never show half of a change: certificates are replaced as a whole.

mod files;
mod names;
pub mod settings;
mod subject;

pub use files::Error;
pub use settings::Settings;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::io::Transport;
use crate::clock;
use crate::telemetry::metrics as names_of_metrics;

/// What TLS holds for a connection beside the socket's own.
pub(super) const CONNECTION_BYTES: u64 = 24 << 10;
/// What HTTP/2 holds for one beside its streams.
pub(super) const STREAMS_BYTES: u64 = 8 << 10;
/// What is kept of replies that have not been taken.
const SEND_BYTES_MAX: usize = 32 << 10;
/// The name of HTTP/2 in the handshake.
const TWO: &[u8] = b"h2";

/// The certificates in force, for all listeners.
#[derive(Debug)]
pub struct Certificates {
    current: ArcSwap<Loaded>,
}

/// What has been read and found to be good.
#[derive(Debug)]
pub struct Loaded {
    config: Arc<ServerConfig>,
    /// Each certificate's file, and when it ends.
    ends: Vec<(String, i64)>,
    /// Of all that was read.
    print: u64,
}

impl Certificates {
    /// Reads all files; nothing when TLS is off.
    pub fn load(settings: &Settings) -> Result<Option<Arc<Self>>, Error> {
        let Some(loaded) = files::load(settings)? else { return Ok(None) };
        for result in ["ok", "refused"] {
            metrics::counter!(names_of_metrics::TLS_RELOADS, "result" => result).increment(0);
        }
        for result in ["full", "resumed", "refused", "late"] {
            metrics::counter!(names_of_metrics::TLS_HANDSHAKES, "result" => result).increment(0);
        }
        let certificates = Self { current: ArcSwap::from_pointee(loaded) };
        certificates.tell();
        Ok(Some(Arc::new(certificates)))
    }

    /// Reads all files anew, for handshakes from now on; what is open stays as it is. After an
    /// error nothing has changed. Sessions from before cannot be resumed: their clients may have
    /// been revoked since. Without a difference nothing happens.
    pub fn reload(&self, settings: &Settings) -> Result<(), Error> {
        if let Some(loaded) = self.prepare(settings)? {
            self.replace(loaded);
        }
        Ok(())
    }

    /// The first half of it: reads and checks, and changes nothing; nothing when all is as it was.
    pub fn prepare(&self, settings: &Settings) -> Result<Option<Loaded>, Error> {
        let loaded = files::load(settings).and_then(|loaded| loaded.ok_or(Error::Off));
        if loaded.is_err() {
            metrics::counter!(names_of_metrics::TLS_RELOADS, "result" => "refused").increment(1);
        }
        loaded.map(|loaded| (loaded.print != self.current.load().print).then_some(loaded))
    }

    /// The second half, which cannot fail.
    pub fn replace(&self, loaded: Loaded) {
        self.current.store(Arc::new(loaded));
        metrics::counter!(names_of_metrics::TLS_RELOADS, "result" => "ok").increment(1);
        self.tell();
    }

    /// Sets the metric that says how long each certificate is still good for.
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    pub fn tell(&self) {
        let now = clock::now_ms() / 1_000;
        for (file, ends) in &self.current.load().ends {
            metrics::gauge!(names_of_metrics::TLS_CERTIFICATE, "file" => file.clone())
                .set((ends - now) as f64);
        }
    }
}

/// A connection whose handshake is done.
pub(super) struct Secured {
    pub(super) stream: TlsStream<Transport>,
    pub(super) speaks_two: bool,
    pub(super) subject: Option<Arc<str>>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// TLS does not come about.
    #[error(transparent)]
    Refused(#[from] std::io::Error),
    /// The client's certificate has ended since its session began.
    #[error("the client's certificate is not valid now")]
    Expired,
    /// The client's certificate names nobody.
    #[error("the client's certificate has neither a common name nor an alternative one")]
    Nameless,
    /// Not in time.
    #[error("the handshake was not over within tls.handshake_ms")]
    Late,
}

/// Shakes hands within `limit`.
pub(super) async fn accept(
    certificates: &Certificates,
    transport: Transport,
    limit: Duration,
) -> Result<Secured, HandshakeError> {
    let config = Arc::clone(&certificates.current.load().config);
    let shaken = TlsAcceptor::from(config).accept_with(transport, |connection| {
        connection.set_buffer_limit(Some(SEND_BYTES_MAX));
    });
    let shaken = match tokio::time::timeout(limit, shaken).await {
        Ok(shaken) => shaken.map_err(HandshakeError::from).and_then(look),
        Err(_) => Err(HandshakeError::Late),
    };
    let result = match &shaken {
        Ok((_, rustls::HandshakeKind::Resumed)) => "resumed",
        Ok(_) => "full",
        Err(HandshakeError::Late) => "late",
        Err(_) => "refused",
    };
    metrics::counter!(names_of_metrics::TLS_HANDSHAKES, "result" => result).increment(1);
    shaken.map(|(secured, _)| secured)
}

fn look(stream: TlsStream<Transport>) -> Result<(Secured, rustls::HandshakeKind), HandshakeError> {
    let (_, connection) = stream.get_ref();
    let speaks_two = connection.alpn_protocol() == Some(TWO);
    let kind = connection.handshake_kind().unwrap_or(rustls::HandshakeKind::Full);
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    // A session that is resumed was verified when it began, which may be hours ago.
    let subject = shown.map(|shown| subject::of(shown, clock::now_ms())).transpose()?;
    Ok((Secured { stream, speaks_two, subject }, kind))
}
