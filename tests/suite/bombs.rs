//! Bodies that cost their reader more than their sender, fifty of each sort at the same time: each
//! gets its status, nobody else is refused for long, and all memory comes back.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use loadtest::hostile::bombs;

use super::support::{Binary, Client, Request, eventually};

/// Clients with bombs.
const CLIENTS: usize = 50;

/// Room for a few large bodies, not for all of them.
const SMALL: &str = r"
workers = 2
retry_ms = 1000

[memory]
budget_bytes = 167772160
drain_bytes = 16777216

[dedupe]
batches_max = 1000

[store]
flush_ms = 20
";

#[test]
fn bombs_are_refused_and_their_memory_comes_back() {
    let binary = Binary::start(SMALL);
    let address = binary.address();
    // Class 0, which does not pause under pressure: what is refused is refused for what it is.
    let sorts = bombs::all("/v1/batch?class=0").expect("bombs");
    for sort in &sorts {
        let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
        std::thread::scope(|scope| {
            let send = || scope.spawn(|| answer(address, &sort.request));
            let clients: Vec<_> = (0..CLIENTS).map(|_| send()).collect();
            // Somebody with a batch of his own gets it in, at once or after what he is told.
            let sealed = b"{\"type\":\"calm\"}\n".to_vec();
            eventually("a good batch is taken", || {
                let reply = Client::connect(address).send(&calm(sealed.clone()));
                assert!(matches!(reply.status, 200 | 503), "{}: {}", sort.name, reply.text());
                (reply.status == 200).then_some(())
            });
            for client in clients {
                *answers.entry(client.join().expect("a client")).or_default() += 1;
            }
        });
        let wrong = answers.keys().any(|status| !sort.statuses.contains(status));
        assert!(!wrong, "{}: {answers:?}", sort.name);
        let judged = answers.iter().filter(|(status, _)| **status != 503);
        assert!(judged.map(|(_, count)| count).sum::<usize>() > 0, "{}: {answers:?}", sort.name);
    }
    eventually("all memory is given back", || {
        let parts = ["bodies", "batches", "drain", "connections"];
        parts.iter().all(|part| held(&binary, part) == Some(0)).then_some(())
    });
}

/// A good batch.
fn calm(body: Vec<u8>) -> Request {
    Request::post("/v1/batch?class=0", body)
}

/// The status of one request; the answer may come before all of it was sent.
fn answer(address: SocketAddr, request: &[u8]) -> u16 {
    let mut client = Client::connect(address);
    drop(client.write(request));
    client.read(false).expect("an answer").status
}

/// Bytes of the budget that this part holds.
fn held(binary: &Binary, part: &str) -> Option<u64> {
    let name = format!("tidegate_memory_bytes{{part=\"{part}\"}} ");
    let text = binary.metrics();
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
}
