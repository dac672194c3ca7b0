//! Row (a): a hyper HTTP/1.1 server and nothing else, in a process of its own.
//!
//! It reads the whole body of each request into one buffer and answers 200 with 100 bytes.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use loadtest::process::Process;
use tempfile::TempDir;
use tidegate::accept;
use tidegate::settings::Settings;

use crate::arguments::Arguments;
use crate::client::{Client, SETTLE};
use crate::table::Figure;
use crate::{Load, cpu};

/// The server as a child, and its clients.
pub(crate) struct Echo {
    process: Process,
    client: Client,
    _dir: TempDir,
}

impl Echo {
    /// Starts this program again, as the server.
    pub(crate) fn start(arguments: &Arguments) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir_in(&arguments.dir)?;
        let port = loadtest::ports::free()?;
        let configure = |command: &mut std::process::Command| {
            command.arg("--echo").arg(port.to_string());
        };
        let program = std::env::current_exe()?;
        let process = Process::start(&program, configure, &dir.path().join("echo.log"))?;
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let client = Client::new(target, arguments.connections)?;
        Ok(Self { process, client, _dir: dir })
    }

    /// What the server spends on these requests.
    pub(crate) fn round(&self, load: &Load, range: Range<usize>) -> anyhow::Result<Figure> {
        let streams = self.client.connect()?;
        let before = cpu::child(self.process.id())?;
        let batches = range.len();
        let seen = self.client.send(streams, &load.requests, range, None)?;
        std::thread::sleep(SETTLE);
        let spent = cpu::child(self.process.id())?.saturating_sub(before);
        Ok(Figure::of(batches, spent, seen.took))
    }
}

/// The server's process, until it is killed: a listener and a runtime per worker, as the gateway.
pub(crate) fn serve(port: u16) -> anyhow::Result<()> {
    let workers = Settings::default().workers();
    let listeners = accept::bind((Ipv4Addr::LOCALHOST, port).into(), workers)?;
    let threads = listeners.into_iter().map(|listener| std::thread::spawn(|| listen(listener)));
    for thread in threads.collect::<Vec<_>>() {
        thread.join().map_err(|_| anyhow::anyhow!("an echo thread panicked"))??;
    }
    Ok(())
}

fn listen(listener: std::net::TcpListener) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    eprintln!("{error}");
                }
            });
        }
    })
}

/// As large as the gateway's usual reply.
const REPLY: &[u8; 100] = &[b'.'; 100];

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let whole = request.into_body().collect().await.map(|body| body.to_bytes().len());
    let mut response = Response::new(Full::new(Bytes::from_static(REPLY)));
    if whole.is_err() {
        *response.status_mut() = hyper::StatusCode::BAD_REQUEST;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
