//! Connections alone: the real front door, and behind it somebody who says whom he sees.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tidegate::accept::tls::Certificates;
use tidegate::accept::{self, Front, Life, Networks};
use tidegate::model::{Budget, Peer};
use tidegate::settings::Settings;
use tokio::sync::watch;

/// A front that stops when it is dropped.
pub(crate) struct Mirror {
    address: Option<SocketAddr>,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) budget: Arc<Budget>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Mirror {
    /// Starts one with whatever `adjust` makes of the defaults.
    pub(crate) fn start(adjust: impl FnOnce(&mut Settings)) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut settings = Settings { listen: any.into(), ..Settings::default() };
        adjust(&mut settings);
        settings.check().expect("settings");
        let certificates = Certificates::load(&settings.tls).expect("certificates");
        let budget = Budget::new(settings.memory_plan());
        let (stop, stopping) = watch::channel(false);
        let life = Life {
            stopping,
            drain: Duration::from_secs(10),
            connections: Arc::default(),
            budget: Arc::clone(&budget),
        };
        let mode = settings.http.socket_mode.0;
        let mut listeners = Vec::new();
        for wanted in settings.wanted() {
            listeners.extend(accept::open(&wanted, 1, mode).expect("a listener").remove(0));
        }
        let address = listeners.iter().find_map(accept::Listener::tcp);
        let handshake = Duration::from_millis(settings.tls.handshake_ms);
        let front = Front::new(
            settings.http.clone(),
            settings.connections(),
            Networks::new(&settings.trusted_proxies),
            certificates.clone().map(|certificates| (certificates, handshake)),
            life,
        );
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one");
            runtime.block_on(accept::serve(listeners, front, answer)).expect("served");
        });
        Self { address, certificates, budget, stop, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("a TCP listener")
    }

    /// Asks it to stop, and does not wait.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            // The test has failed for a better reason already.
            eprintln!("the mirror panicked");
        }
    }
}

/// `/` says whom it sees, `/hold` waits for the end of the body first, `/never` does not answer,
/// `/large` says much.
async fn answer(request: Request<Incoming>, peer: Peer) -> Response<Full<Bytes>> {
    let version = format!("{:?}", request.version());
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/hold" => drop(request.into_body().collect().await),
        "/never" => std::future::pending().await,
        "/large" => return Response::new(Full::new(Bytes::from(vec![b'.'; LARGE]))),
        _ => {}
    }
    let text = serde_json::json!({
        "address": peer.address.to_string(),
        "subject": peer.subject.as_deref(),
        "version": version,
    });
    Response::new(Full::new(Bytes::from(text.to_string())))
}

/// More than any socket takes unread.
pub(crate) const LARGE: usize = 64 << 20;

/// The process-wide metrics of this suite, as far as somebody looks at them in here.
pub(crate) fn counted(name: &str, label: &str) -> u64 {
    static PAGE: Mutex<Option<metrics_exporter_prometheus::PrometheusHandle>> = Mutex::new(None);
    let mut page = PAGE.lock().expect("nobody panics here");
    let page = page.get_or_insert_with(|| tidegate::telemetry::metrics::start().expect("first"));
    let key = format!("{name}{{{label}}} ");
    let text = page.render();
    let line = text.lines().find_map(|line| line.strip_prefix(&key));
    line.map_or(0, |count| count.parse().expect("a whole number"))
}
