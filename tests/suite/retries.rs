//! A client that got no answer sends the same bytes again; it must not matter how often.

use super::support::batches::{self, exactly_once};
use super::support::{Client, Request, Response, Served};

fn send(served: &Served, body: &[u8]) -> Response {
    served.send(&Request::batch(body))
}

fn stored_once(served: &Served, ids: &[String]) {
    exactly_once(ids, served.stored().iter().map(|event| event.id().to_owned()));
}

#[test]
fn a_retry_gets_the_first_answer_and_is_stored_once() {
    let mut served = Served::start(|_| ());
    let sealed = batches::sealed("again", 10);
    let first = send(&served, &sealed.body);
    assert_eq!(first.status, 200);
    let second = served.send(&Request::post("/v1/batch?attempt=2&wait=7", sealed.body.clone()));
    assert_eq!((second.status, second.text()), (200, first.text()));
    // A node that was restarted still knows it, from its journal.
    served.restart(|_| ());
    assert_eq!(send(&served, &sealed.body).text(), first.text());
    served.stop();
    stored_once(&served, &sealed.ids);
}

#[test]
fn other_bytes_under_a_known_id_are_a_conflict() {
    let mut served = Served::start(|_| ());
    let sealed = batches::sealed("again", 3);
    assert_eq!(send(&served, &sealed.body).status, 200);
    let other = [&sealed.body[..], b" "].concat();
    for _ in 0..2 {
        let reply = send(&served, &other);
        assert_eq!((reply.status, reply.json()["reason"].as_str()), (409, Some("batch_conflict")));
    }
    assert_eq!(send(&served, &sealed.body).status, 200, "the first bytes are still the right ones");
    served.stop();
    stored_once(&served, &sealed.ids);
}

#[test]
fn retries_that_meet_the_batch_in_flight_share_its_end() {
    let mut served = Served::start(|_| ());
    let sealed = batches::sealed("again", 50);
    let address = served.address();
    let send = || Client::connect(address).send(&Request::batch(sealed.body.clone()));
    let replies: Vec<_> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        senders.into_iter().map(|sender| sender.join().expect("a sender")).collect()
    });
    for reply in &replies {
        assert_eq!((reply.status, reply.text()), (200, replies[0].text()));
    }
    served.stop();
    stored_once(&served, &sealed.ids);
}

#[test]
fn bare_events_have_no_id_and_count_each_time() {
    let mut served = Served::start(|_| ());
    for _ in 0..3 {
        assert_eq!(send(&served, br#"{"type":"a"}"#).status, 200);
    }
    served.stop();
    assert_eq!(served.stored().len(), 3);
}
