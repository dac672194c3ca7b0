//! Limits as clients meet them: every refusal with its status, its reason and a time to come back
//! at that is right, and one client's limit is nobody else's.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate::admit::Key;
use tidegate::admit::settings::Kind;
use tidegate::settings::Settings;

use super::support::batches::{self, Sealed};
use super::support::{Binary, Client, Request, Response, Served, eventually};

const EVENT: &str = "{\"type\":\"click\"}\n";

fn key(text: &str, app: &str) -> Key {
    Key { key: text.into(), app: app.into(), kind: Kind::Public, ..Key::default() }
}

fn batch(key: &str, class: u8, body: impl Into<Vec<u8>>) -> Request {
    Request::post(&format!("/v1/batch?key={key}&class={class}"), body)
}

/// So many events without ids.
fn events(count: usize) -> String {
    EVENT.repeat(count)
}

/// A client at another address of this machine.
fn from(address: SocketAddr, last: u8) -> Client {
    Client::connect_from(address, Ipv4Addr::new(127, 0, 0, last))
}

/// Sends until it is refused, and checks everything that a refusal has to say.
fn refused(client: &mut Client, request: &Request, reason: &str) -> Value {
    for _ in 0..1_000 {
        let reply = client.send(request);
        if reply.status == 200 {
            continue;
        }
        return said(&reply, reason);
    }
    panic!("never refused with {reason}");
}

/// What a 429 says, once it is known to be one.
fn said(reply: &Response, reason: &str) -> Value {
    let said = reply.json();
    assert_eq!((reply.status, &said["reason"]), (429, &json!(reason)), "{said}");
    let wait_ms = said["retry_ms"].as_u64().expect("a wait");
    assert!(wait_ms > 0, "{said}");
    let seconds = reply.header("retry-after").and_then(|value| value.parse::<u64>().ok());
    assert_eq!(seconds, Some(wait_ms.div_ceil(1_000)), "the header mirrors the body");
    assert!(said["error"].as_str().is_some_and(|text| text.len() > 10), "{said}");
    said
}

/// Waits as told, counted from now.
fn wait(said: &Value) {
    let until = Instant::now() + Duration::from_millis(said["retry_ms"].as_u64().expect("a wait"));
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::sleep(left);
    }
}

#[test]
fn an_address_has_a_rate_of_its_own_and_may_come_back_when_it_was_told_to() {
    let served = Served::start(|settings| {
        settings.limits.address_rate = 2;
        settings.limits.address_burst = 3;
    });
    let mut client = from(served.address(), 1);
    for _ in 0..3 {
        let told = refused(&mut client, &Request::batch(EVENT), "address_rate");
        assert!(told["retry_ms"].as_u64() <= Some(500), "{told}");
        assert_eq!(from(served.address(), 2).send(&Request::get("/v1/config")).status, 404);
        wait(&told);
        assert_eq!(client.send(&Request::batch(EVENT)).status, 200, "as it was told");
    }
    // Every path counts; the pixel looks the same whatever happens.
    refused(&mut client, &Request::batch(EVENT), "address_rate");
    said(&client.send(&Request::get("/v1/config")), "address_rate");
    let pixel = client.send(&Request::get("/v1/pixel.gif?type=open"));
    assert_eq!((pixel.status, pixel.body.len()), (200, 43));
}

#[test]
fn a_key_has_a_rate_of_its_own_wherever_it_comes_from() {
    let served = Served::start(|settings| {
        settings.limits.key_rate = 2;
        settings.limits.key_burst = 2;
        let wide = Key { key_rate: Some(0), ..key("wk_wide", "two") };
        settings.keys = vec![key("wk_one", "one"), wide];
    });
    let mut client = from(served.address(), 1);
    let told = refused(&mut client, &batch("wk_one", 1, EVENT), "key_rate");
    said(&from(served.address(), 2).send(&batch("wk_one", 1, EVENT)), "key_rate");
    for _ in 0..20 {
        assert_eq!(client.send(&batch("wk_wide", 1, EVENT)).status, 200, "its own has none");
    }
    wait(&told);
    assert_eq!(client.send(&batch("wk_one", 1, EVENT)).status, 200);
}

/// 100 units saved up, and so slow that nothing comes back while a test runs.
fn slow(settings: &mut Settings) {
    settings.limits.app_burst_ms = 100_000;
    settings.keys = vec![key("wk_one", "one"), key("wk_same", "one"), key("wk_two", "two")];
}

#[test]
fn bulk_events_are_refused_first_and_critical_ones_last() {
    let served = Served::start(|settings| {
        slow(settings);
        settings.limits.app_events_rate = 1;
    });
    let mut client = Client::connect(served.address());
    let mut sent = |key: &str, class| client.send(&batch(key, class, EVENT));
    assert_eq!(served.send(&batch("wk_one", 1, events(80))).status, 200);
    // 80 of 100 are used: class 2 may use 70, class 1 may use 90.
    let told = said(&sent("wk_one", 2), "app_events_rate");
    assert_eq!(told["limits"], json!([[2, told["retry_ms"]]]));
    assert!((5_000..=12_000).contains(&told["retry_ms"].as_u64().expect("a wait")), "{told}");
    assert_eq!((sent("wk_one", 1).status, sent("wk_one", 0).status), (200, 200));
    assert_eq!(served.send(&batch("wk_same", 1, events(15))).status, 200, "one app, two keys");
    let told = said(&sent("wk_same", 1), "app_events_rate");
    assert_eq!(told["limits"].as_array().map(Vec::len), Some(2), "{told}");
    assert_eq!(sent("wk_one", 0).status, 200);
    // A debt keeps critical ones away as well.
    assert_eq!(served.send(&batch("wk_one", 0, events(400))).status, 200, "charged afterwards");
    let told = said(&sent("wk_one", 0), "app_events_rate");
    assert!((380_000..=399_000).contains(&told["retry_ms"].as_u64().expect("a wait")), "{told}");
    assert_eq!(told["limits"].as_array().map(Vec::len), Some(3), "{told}");
    assert_eq!(sent("wk_two", 2).status, 200, "another app is another quota");
}

#[test]
fn bytes_are_a_quota_too_and_bodies_are_not_read_in_vain() {
    let served = Served::start(|settings| {
        slow(settings);
        settings.limits.app_bytes_rate = 10;
    });
    assert_eq!(served.send(&batch("wk_one", 0, events(100))).status, 200, "1,600 of 1,000 bytes");
    let told = said(&served.send(&batch("wk_one", 0, EVENT)), "app_bytes_rate");
    assert_eq!(told["limits"].as_array().map(Vec::len), Some(3), "{told}");
    // Not a byte of this body is ever sent, and the answer comes all the same.
    let mut client = Client::connect(served.address());
    let head =
        "POST /v1/batch?key=wk_one&class=0 HTTP/1.1\r\nHost: t\r\nContent-Length: 900000\r\n";
    client.write(format!("{head}\r\n").as_bytes()).expect("room for a head");
    let reply = client.read(false).expect("an answer");
    said(&reply, "app_bytes_rate");
    assert_eq!(reply.header("connection").as_deref(), Some("close"), "the body is still owed");
    assert!(client.is_closed());
}

#[test]
fn a_debt_is_paid_off_in_the_time_that_is_told() {
    let served = Served::start(|settings| {
        settings.limits.app_events_rate = 1_000;
        settings.limits.app_burst_ms = 100;
    });
    let mut client = Client::connect(served.address());
    for class in [0, 1, 2] {
        let large = format!("/v1/batch?class={class}");
        eventually("a large batch gets in", || {
            let reply = client.send(&Request::post(&large, events(700)));
            (reply.status == 200).then_some(())
        });
        let told = said(&client.send(&Request::post(&large, EVENT)), "app_events_rate");
        wait(&told);
        assert_eq!(client.send(&Request::post(&large, EVENT)).status, 200, "class {class}");
    }
}

#[test]
fn what_was_taken_before_costs_nothing_again_and_who_hangs_up_pays() {
    let served = Served::start(|settings| {
        slow(settings);
        settings.limits.app_events_rate = 1;
    });
    let Sealed { body, .. } = batches::sealed("limits", 60);
    for _ in 0..5 {
        let reply = served.send(&Request::post("/v1/batch?key=wk_one", body.clone()));
        assert_eq!((reply.status, reply.json()["accepted"].as_u64()), (200, Some(60)));
    }
    assert_eq!(served.send(&batch("wk_one", 2, EVENT)).status, 200, "61 of 70");
    let mut rude = Client::connect(served.address());
    let body = events(100);
    let length = body.len();
    let head = "POST /v1/batch?key=wk_one&class=0 HTTP/1.1\r\nHost: t\r\nContent-Length:";
    rude.write(format!("{head} {length}\r\n\r\n{body}").as_bytes()).expect("room for a batch");
    drop(rude);
    eventually("it was charged all the same", || {
        // An empty body asks for nothing and is refused for that, unless the quota is used up.
        let reply = served.send(&batch("wk_one", 0, ""));
        (reply.status == 429).then_some(())
    });
}

#[test]
fn keys_say_why_and_origins_keep_other_pages_out() {
    let served = Served::start(|settings| {
        let origins = vec!["https://*.shop.example".to_owned()];
        settings.keys = vec![
            Key { origins, ..key("wk_shop", "shop") },
            Key { revoked: true, ..key("wk_old", "shop") },
        ];
    });
    let sent = |key: &str, origin: Option<&str>| {
        let request = batch(key, 1, EVENT);
        let request = origin.iter().fold(request, |request, at| request.header("Origin", at));
        let reply = served.send(&request);
        let reason = reply.json()["reason"].as_str().unwrap_or_default().to_owned();
        (reply.status, reason, reply.header("access-control-allow-origin"))
    };
    let reason = |key, origin| {
        let (status, reason, _) = sent(key, origin);
        (status, reason)
    };
    assert_eq!(reason("wk_old", None), (401, "revoked_key".into()));
    assert_eq!(reason("wk_new", None), (401, "unknown_key".into()));
    assert_eq!(reason("wk_shop", None).0, 200);
    assert_eq!(reason("wk_shop", Some("https://www.shop.example")).0, 200);
    let evil = "https://evil.example";
    assert_eq!(sent("wk_shop", Some(evil)), (403, "origin".into(), Some(evil.into())));
}

#[test]
fn no_more_are_worked_on_at_once_than_the_limit_says() {
    let served = Served::start(|settings| settings.limits.requests_max = 1);
    let mut half = Client::connect(served.address());
    let head = "POST /v1/batch HTTP/1.1\r\nHost: t\r\nContent-Length: 16\r\n\r\n{\"type\":";
    half.write(head.as_bytes()).expect("room for a head");
    let reply = eventually("it is being read", || {
        let reply = served.send(&Request::batch(EVENT));
        (reply.status != 200).then_some(reply)
    });
    assert_eq!((reply.status, &reply.json()["reason"]), (503, &json!("busy")));
    half.write(b"\"click\"}").expect("room for the rest");
    assert_eq!(half.read(false).expect("an answer").status, 200);
    eventually("there is room again", || {
        (served.send(&Request::batch(EVENT)).status == 200).then_some(())
    });
}

const GUARD: &str = r"
[guard]
window_ms = 100
peers_min = 5
factor = 5
rate_min = 100
hold_ms = 60000
rate = 5
private = true
";

#[test]
fn an_address_far_above_its_peers_is_guarded_for_a_while_and_they_are_not() {
    let binary = Binary::start(GUARD);
    let address = binary.address();
    let mut peers: Vec<Client> = (10..30).map(|last| from(address, last)).collect();
    let mut loud = from(address, 99);
    let told = eventually("it is guarded", || {
        for peer in &mut peers {
            assert_eq!(peer.send(&Request::batch(EVENT)).status, 200, "its peers are not");
        }
        (0..200).map(|_| loud.send(&Request::batch(EVENT))).find(|reply| reply.status != 200)
    });
    let told = said(&told, "guarded");
    wait(&told);
    assert_eq!(loud.send(&Request::batch(EVENT)).status, 200, "limited, not locked out");
    let page = binary.metrics();
    assert!(page.contains("tidegate_guard_episodes_total{cause=\"rate\"} 1"), "{page}");
    assert!(page.contains("tidegate_guarded_addresses 1"));
    assert!(page.contains("tidegate_http_refusals_total{reason=\"guarded\"}"));
}

#[test]
fn an_instance_is_guarded_wherever_it_comes_from() {
    let binary = Binary::start(GUARD);
    let mut clients: Vec<Client> = (1..=20).map(|last| from(binary.address(), last)).collect();
    let again = batches::sealed("scripted", 1).body;
    // From each address as many honest batches as repeated ones: only the instance is odd.
    let told = eventually("it is guarded", || {
        clients.iter_mut().enumerate().find_map(|(number, client)| {
            let honest = batches::sealed(&format!("phone-{number}"), 1).body;
            assert_eq!(client.send(&Request::batch(honest)).status, 200, "others are not");
            let reply = client.send(&Request::batch(again.clone()));
            (reply.status != 200).then_some(reply)
        })
    });
    wait(&said(&told, "guarded"));
    assert_eq!(clients[0].send(&Request::batch(again)).status, 200, "limited, not locked out");
    let page = binary.metrics();
    assert!(page.contains("tidegate_guarded_addresses 1"), "{page}");
}

#[test]
fn who_sends_the_same_again_and_again_is_guarded() {
    let binary = Binary::start(GUARD);
    let mut client = from(binary.address(), 1);
    let Sealed { body, .. } = batches::sealed("again", 1);
    let told = eventually("it is guarded", || {
        let mut replies = (0..50).map(|_| client.send(&Request::batch(body.clone())));
        replies.find(|reply| reply.status != 200)
    });
    said(&told, "guarded");
    let page = binary.metrics();
    // The address, and the instance that it says it is.
    assert!(page.contains("tidegate_guard_episodes_total{cause=\"repeats\"}"), "{page}");
    assert!(!page.contains("tidegate_guard_episodes_total{cause=\"repeats\"} 0"), "{page}");
}
