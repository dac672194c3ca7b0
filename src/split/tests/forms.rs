//! The forms of a body: which one it is, and that a bad event stays alone in each of them.

use super::{facts, found, run};
use crate::model::{Format, Reason};

#[test]
fn all_forms_give_the_same_events() {
    let events = [r#"{"type":"a","n":[1,{"x":"]},"}]}"#, r#"{ "id" : "i" , "type" : "b" }"#];
    let [a, b] = events;
    for (body, format) in [
        (format!("{{\"tidegate\":1}}\n{a}\n{b}\n"), Format::Lines),
        (format!(" {{\"tidegate\":1,\"count\":2}} \r\n\r\n{a}\r\n \n{b}"), Format::Lines),
        (format!("{a}\n{b}"), Format::BareLines),
        (format!("\n\r\n  {a} \n\n{b}\t\r\n\n"), Format::BareLines),
        (format!("[{a},{b}]"), Format::Array),
        (format!(" [\n {a} ,\n{b}\r\n]\n"), Format::Array),
        (format!("{{\"batch\":[{a},{b}]}}"), Format::Wrapper),
        (
            format!("{{\n \"batch\" : [\n{a},\n{b}\n], \"sent\": {{\"x\":[1]}} }}\n"),
            Format::Wrapper,
        ),
        (format!("{{\"b\\u0061tch\":[{a},{b}]}}"), Format::BareLines),
    ] {
        if body.contains("u0061") {
            // A wrapper is written plainly; this is an event without a type.
            assert_eq!(found(&body).2, [(0, Reason::NoType)]);
            continue;
        }
        let batch = run(&body).unwrap();
        assert_eq!(batch.format, format, "{body}");
        let spans: Vec<_> = batch
            .events
            .iter()
            .map(|event| std::str::from_utf8(event.span.of(body.as_bytes())).unwrap())
            .collect();
        assert_eq!(spans, events, "{body}");
        assert_eq!(batch.rejected, []);
        assert!(batch.id_made && batch.id == facts().batch);
    }
}

#[test]
fn one_object_is_one_event() {
    let a = vec!["a".to_owned()];
    assert_eq!(found("{\"type\":\"a\"}"), (Format::Object, a.clone(), vec![]));
    assert_eq!(found("\n{\"type\":\"a\"}\r\n"), (Format::Object, a.clone(), vec![]));
    let pretty = "{\n  \"type\": \"a\",\r\n  \"props\": {\n}\n}\n";
    assert_eq!(found(pretty), (Format::Object, a.clone(), vec![]));
    assert!(run(pretty).unwrap().events[0].broken);
    assert!(run("{\"type\":\r\"a\"}").unwrap().events[0].broken);
    assert!(!run("{\"type\": \"a\"}\r").unwrap().events[0].broken);
    assert_eq!(found("{\n\"x\":1\n}"), (Format::Object, vec![], vec![(0, Reason::NoType)]));
    let surrogate = "{\n\"type\":\"a\",\n\"x\":\"\\ud800\"\n}\n";
    assert_eq!(found(surrogate), (Format::Object, vec![], vec![(0, Reason::LoneSurrogate)]));
    // With a `type` it is an event that has a `batch`, whatever stands first.
    assert_eq!(found("{\"batch\":[{\"x\":1}],\"type\":\"a\"}").1, a);
    assert_eq!(found("{\"batch\":[\n1],\n\"type\":\"a\"}"), (Format::Object, a.clone(), vec![]));
    assert_eq!(found("{\"batch\":{},\"type\":\"a\"}"), (Format::Object, a, vec![]));
}

#[test]
fn bad_events_spare_their_neighbours() {
    use Reason::{InvalidJson, LoneSurrogate, NoType, NotObject, TooDeep};
    let a = "{\"type\":\"a\"}";
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    let kept = |count: usize| vec!["a".to_owned(); count];
    for (body, format, events, rejected) in [
        (format!("{a}\n{{\"type\":\n{a}"), Format::BareLines, 2, vec![(1, InvalidJson)]),
        (format!("{{\"type\":\n{a}\n{a}"), Format::BareLines, 2, vec![(0, InvalidJson)]),
        (format!("\u{feff}{a}\n{a}"), Format::BareLines, 1, vec![(0, InvalidJson)]),
        (
            format!("{a} x\n{a}{a}\n{a}"),
            Format::BareLines,
            1,
            vec![(0, InvalidJson), (1, InvalidJson)],
        ),
        (format!("1\n[{a}]\n{a}"), Format::BareLines, 1, vec![(0, NotObject), (1, NotObject)]),
        (
            format!("{a}\n\"\\ud800\"\n{deep}"),
            Format::BareLines,
            1,
            vec![(1, LoneSurrogate), (2, TooDeep)],
        ),
        (format!("[{a},nope,{a}]"), Format::Array, 2, vec![(1, InvalidJson)]),
        (format!("[{{\"x\":\"],\",\"y\":}},{a}]"), Format::Array, 1, vec![(0, InvalidJson)]),
        (format!("[{a},{deep},{a}]"), Format::Array, 2, vec![(1, TooDeep)]),
        (format!("[1,{a},{{}}]"), Format::Array, 1, vec![(0, NotObject), (2, NoType)]),
        (format!("[{a},,{a}]"), Format::Array, 2, vec![(1, InvalidJson)]),
        (format!("[{a},]"), Format::Array, 1, vec![(1, InvalidJson)]),
        (format!("[{a} {a},{a}]"), Format::Array, 1, vec![(0, InvalidJson)]),
        (format!("[{a}"), Format::Array, 1, vec![(1, InvalidJson)]),
        (format!("[{a},"), Format::Array, 1, vec![(1, InvalidJson)]),
        (format!("[{a},{{\"type\":\"b"), Format::Array, 1, vec![(1, InvalidJson)]),
        (format!("[{{\"type\":\"b\n}},{a}]"), Format::Array, 1, vec![(0, InvalidJson)]),
        (format!("[{a}] ,"), Format::Array, 1, vec![(1, InvalidJson)]),
        ("[".to_owned(), Format::Array, 0, vec![(0, InvalidJson)]),
        (
            format!("{{\"batch\":[{a},nope,{a}],\"x\":1}}"),
            Format::Wrapper,
            2,
            vec![(1, InvalidJson)],
        ),
        (format!("{{\"batch\":[{a},{{\"type\":\"b"), Format::Wrapper, 1, vec![(1, InvalidJson)]),
        (format!("{{\"batch\":[{a}]"), Format::Wrapper, 1, vec![(1, InvalidJson)]),
        (format!("{{\n\"batch\":[\n{a}]}}\n}}"), Format::Wrapper, 1, vec![(1, InvalidJson)]),
        (format!("{{\"batch\":[1]}}\n{a}"), Format::BareLines, 1, vec![(0, NoType)]),
        (format!("{{\"batch\":[1]\n{a}"), Format::BareLines, 1, vec![(0, InvalidJson)]),
    ] {
        assert_eq!(found(&body), (format, kept(events), rejected), "{body}");
    }
    let mut body = format!("{a}\n").into_bytes();
    body.extend_from_slice(b"{\"type\":\"\xff\"}\n{\"type\":\"a\",\"x\":\"\xc3\xa9\"}\n");
    assert_eq!(found(&body), (Format::BareLines, kept(2), vec![(1, Reason::InvalidUtf8)]));
}
