//! Other certificates while clients come and go: nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::support::certificates::Authority;
use super::support::{Client, Mirror, Request};
use super::tls::{of, shake, use_pair};

/// How often the certificate changes under load; `make reloads` does it more often.
fn swaps() -> u64 {
    std::env::var("TIDEGATE_SWAPS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

#[test]
fn certificates_are_swapped_under_load_and_no_handshake_fails() {
    let authority = Authority::new();
    let pairs = ["old", "new"].map(|file| authority.server(file, &["localhost"]));
    let mirror = Mirror::start(|settings| use_pair(settings, &pairs[0]));
    let certificates = mirror.certificates.clone().expect("tls");
    let (over, shaken) = (AtomicBool::new(false), AtomicU64::new(0));
    let known = pairs.each_ref().map(of);
    let trusting = authority.trusting(None);
    let client = || {
        // Tickets of a certificate that is gone are offered as well.
        let config = Arc::new(trusting.clone());
        while !over.load(Ordering::Acquire) {
            let stream = shake(mirror.address(), "localhost", &config).expect("a handshake");
            let shown = stream.conn.peer_certificates().expect("a certificate")[0].to_vec();
            assert!(known.contains(&shown), "one of the two");
            let reply = Client::over(stream).send(&Request::get("/"));
            assert_eq!(reply.status, 200);
            shaken.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(client)).collect();
        let mut settings = tidegate::accept::tls::Settings::default();
        for swap in 1..=swaps() {
            let pair = &pairs[usize::try_from(swap % 2).expect("0 or 1")];
            (settings.cert, settings.key) = (pair.cert.clone(), pair.key.clone());
            certificates.reload(&settings).expect("a good pair");
            // Somebody has come since, whatever this machine is busy with.
            let seen = shaken.load(Ordering::Relaxed);
            while shaken.load(Ordering::Relaxed) == seen
                && !clients.iter().any(std::thread::ScopedJoinHandle::is_finished)
            {
                std::thread::yield_now();
            }
        }
        over.store(true, Ordering::Release);
    });
    let (swaps, shaken) = (swaps(), shaken.load(Ordering::Relaxed));
    println!("{swaps} certificates, {shaken} handshakes, none failed");
    assert!(shaken >= swaps, "{shaken}");
}
