//! Invariants against evidence that breaks them, one at a time.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Map, Value, json};

use super::*;
use crate::gateway::Gateway;

const EPOCH: &str = "01980000-0000-7000-8000-0000000000e1";

fn header(batch: u32, count: u32, report: &str) -> String {
    format!(
        "{{\"tidegate\":1,\"batch\":\"01980000-0000-7000-8000-{batch:012x}\",\"sdk\":\"f/1\",\
         \"instance\":\"i\",\"epoch\":\"{EPOCH}\",\"class\":1,\"count\":{count},\
         \"report\":{report}}}\n"
    )
}

fn event(seq: u32) -> String {
    format!(
        "{{\"id\":\"01980000-0000-7000-8000-{seq:012x}\",\"seq\":{seq},\"ts\":5,\"type\":\"t\",\
         \"props\":{{\"n\":{seq}}}}}\n"
    )
}

fn report(n: u32, tracked: u32, acked: u32, held: u32) -> String {
    format!(
        "{{\"n\":{n},\"tracked\":{tracked},\"admitted\":{tracked},\"acked\":{acked},\
         \"held\":{held},\"pre\":[],\"post\":[]}}"
    )
}

/// Sends bodies to a scripted gateway and asks for the faults of what it saw.
fn faults_of(bodies: &[String], queries: &[&str], stats: Option<Value>) -> Vec<String> {
    let gateway = Gateway::start(&[], &[], 0).expect("a gateway");
    for (body, query) in bodies.iter().zip(queries) {
        let mut stream = TcpStream::connect(gateway.address()).expect("a listener");
        let text = format!(
            "POST /v1/batch?{query} HTTP/1.1\r\ncontent-type: text/plain\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes()).expect("open");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    }
    let tracked: BTreeMap<i64, String> = (1..=3).map(|n| (n, "t".to_owned())).collect();
    let ledgers: Vec<Ledger> =
        stats.into_iter().map(|stats| Ledger { stats, drops: None }).collect();
    let mut options = Map::new();
    options.insert("batch_events_max".to_owned(), json!(3));
    options.insert("queue_bytes_max".to_owned(), json!(1000));
    let record = gateway.record();
    let evidence = Evidence {
        record: &record,
        tracked: &tracked,
        ledgers: &ledgers,
        options: &options,
        erased: false,
        lives: 1,
    };
    check(&evidence)
}

const FIRST: &str = "class=1&attempt=0";

fn whole() -> String {
    format!("{}{}{}", header(1, 2, &report(1, 2, 0, 2)), event(1), event(2))
}

fn finds(bodies: &[String], queries: &[&str], word: &str) {
    let faults = faults_of(bodies, queries, None);
    assert!(faults.iter().any(|fault| fault.contains(word)), "{word}: {faults:?}");
}

#[test]
fn an_honest_batch_breaks_nothing() {
    let stats = json!({"epoch": EPOCH, "tracked": 2, "admitted": 2, "acked": 2, "held": 0,
                       "pre": [], "post": [], "queue_bytes": 0});
    assert_eq!(faults_of(&[whole()], &[FIRST], Some(stats)), Vec::<String>::new());
    let twice = [whole(), whole()];
    assert!(faults_of(&twice, &[FIRST, "class=1&attempt=1"], None).is_empty());
}

#[test]
fn lines_are_taken_by_the_letter() {
    let body = whole();
    for (broken, word) in [
        (body.replace("\"seq\":1,\"ts\":5", "\"ts\":5,\"seq\":1"), "event keys"),
        (body.replace("\"type\":\"t\",", "\"type\":\"t\",\"extra\":1,"), "event keys"),
        (body.replace("\"ts\":5", "\"ts\":5,\"age\":1000"), "seq, ts or age"),
        (body.replace("\"type\":\"t\"", "\"type\":\"a b\""), "type"),
        (body.replace("\"type\":\"t\",", "\"type\":\"t\",\"weight\":1,"), "weight"),
        (body.replace("-7000-8000-000000000001", "-4000-8000-000000000001"), "UUIDv7"),
        (body.replace("\"count\":2", "\"count\":3"), "count"),
        (body.replace("\"class\":1", "\"class\":2"), "class"),
        (body.replace("\"sdk\":\"f/1\",", ""), "header keys"),
        (body.replace('\n', "\r\n"), "newline"),
        (body.trim_end().to_owned(), "newline"),
        (body.replace("\"n\":1}}", "\"n\":9}}"), "never tracked"),
        (body.replace("\"props\":{\"n\":2}", "\"props\":{}"), "props"),
        (body.replace("\"seq\":2", "\"seq\":1"), "two events"),
        (body.replace("\"seq\":2", "\"seq\":7"), "admitted is below"),
        (body.replace("\"tracked\":2", "\"tracked\":3"), "tracked 3"),
        (body.replace("\"held\":2", "\"held\":1"), "held"),
        (body.replace("\"pre\":[]", "\"pre\":[[\"moon\",1,1]]"), "pre has a row"),
    ] {
        finds(&[broken], &[FIRST], word);
    }
}

#[test]
fn sealed_bytes_and_attempts_are_compared() {
    let other = whole().replace("\"ts\":5", "\"ts\":6");
    finds(&[whole(), other], &[FIRST, "class=1&attempt=1"], "other bytes");
    finds(&[whole(), whole()], &[FIRST, FIRST], "does not grow");
    let second = format!("{}{}", header(2, 1, &report(2, 1, 0, 1)), event(3));
    finds(&[whole(), second], &[FIRST, FIRST], "falls");
    let second = format!("{}{}", header(2, 1, &report(1, 3, 0, 3)), event(3));
    finds(&[whole(), second], &[FIRST, FIRST], "stands twice");
    let large: String = (1..=4).map(event).collect();
    let large = format!("{}{large}", header(2, 4, &report(1, 4, 0, 4)));
    finds(&[large], &[FIRST], "4 events, at most 3");
}

#[test]
fn no_row_falls_from_one_report_to_the_next() {
    let reports = |pre: [&str; 2], post: [&str; 2]| -> Vec<String> {
        let one = |n: u32| {
            let at = n as usize - 1;
            let (pre, post) = (pre[at], post[at]);
            let sum = |rows: &str| {
                let rows: Vec<(String, u32, u32)> = serde_json::from_str(rows).expect("rows");
                rows.iter().map(|row| row.2).sum::<u32>()
            };
            let admitted = 2 + sum(post);
            let text = format!(
                "{{\"n\":{n},\"tracked\":{},\"admitted\":{admitted},\"acked\":0,\"held\":2,\
                 \"pre\":{pre},\"post\":{post}}}",
                admitted + sum(pre)
            );
            format!("{}{}", header(n, 1, &text), event(n))
        };
        let ordered = [one(1), one(2)];
        // Batches of two classes may come in either order.
        let turned = [one(2), one(1)];
        let faults = faults_of(&ordered, &[FIRST, FIRST], None);
        assert_eq!(faults.is_empty(), faults_of(&turned, &[FIRST, FIRST], None).is_empty());
        faults
    };
    let two = "[[\"sampled\",1,2]]";
    let moved = "[[\"sampled\",1,1],[\"sampled\",2,2]]";
    assert_eq!(reports([two, two], ["[]", "[]"]), Vec::<String>::new());
    assert_eq!(reports([two, "[[\"sampled\",1,3]]"], ["[]", "[]"]), Vec::<String>::new());
    assert!(reports([two, moved], ["[]", "[]"])[0].contains("sampled of class 1 falls"));
    let gone = reports(["[]", "[]"], ["[[\"expired\",0,1]]", "[[\"queue_full\",0,4]]"]);
    assert!(gone[0].contains("expired of class 0 falls"), "{gone:?}");
}

#[test]
fn the_last_report_has_reserved_what_it_admitted() {
    let last = |reserved: &str| {
        let report = report(2, 2, 2, 0).replace('}', &format!("{reserved},\"fin\":1}}"));
        faults_of(&[whole(), header(2, 0, &report)], &[FIRST, FIRST], None)
    };
    assert_eq!(last(",\"reserved\":256"), Vec::<String>::new());
    assert!(last(",\"reserved\":1")[0].contains("reserved 1 is below admitted 2"));
    assert!(last("")[0].contains("reserved 0 is below admitted 2"));
}

#[test]
fn the_balance_is_kept() {
    let stats = |acked: u32, held: u32, post: Value| {
        json!({"epoch": EPOCH, "tracked": 3, "admitted": 3, "acked": acked, "held": held,
               "pre": [], "post": post, "queue_bytes": 0})
    };
    let found = |stats: Value| faults_of(&[whole()], &[FIRST], Some(stats));
    assert!(found(stats(2, 1, json!([]))).is_empty());
    assert!(found(stats(0, 1, json!([["unconfirmed", 1, 2]]))).is_empty());
    // Two arrived: three cannot be acknowledged, and one more than was held is too many.
    assert!(found(stats(3, 0, json!([])))[0].contains("2 arrived, 3 acked"));
    assert!(found(stats(0, 1, json!([["expired", 1, 2]])))[0].contains("2 arrived, 0 acked"));
    let mut much = stats(2, 1, json!([]));
    much["queue_bytes"] = json!(1001);
    assert!(found(much)[0].contains("queue of 1001 bytes"));
}
