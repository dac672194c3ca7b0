//! Whatever bytes come to the front door, the answer is the protocol's, and never a 5xx.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::support::{Request, Response, Served, pack};

/// Cases of each property; one gateway serves them all.
const CASES: u32 = 200;

#[test]
fn any_bytes_get_an_answer_of_the_protocol() {
    let served = Served::start(|_| ());
    let mut runner = runner();
    let codings = prop::sample::select(vec!["", "gzip", "deflate", "zstd", "identity"]);
    let case = (bodies(), codings, 0u8..5, any::<bool>());
    runner
        .run(&case, |(plain, said, packed, chunked)| {
            let body = match packed {
                0 => pack::gzip(&plain),
                1 => pack::zstandard(&plain),
                2 => pack::zlib(&plain),
                _ => plain,
            };
            let mut request = Request::batch(body);
            if !said.is_empty() {
                request = request.header("Content-Encoding", said);
            }
            if chunked {
                request = request.chunked();
            }
            judge(&served.send(&request))
        })
        .unwrap();
}

#[test]
fn any_query_gets_an_answer_of_the_protocol() {
    let served = Served::start(|_| ());
    let mut runner = runner();
    // Bytes that no URI may hold are HTTP's own business, and answered by it.
    runner
        .run(&"[!$-;=?-~]{0,60}", |query| {
            judge(&served.send(&Request::post(&format!("/v1/batch?{query}"), r#"{"type":"a"}"#)))?;
            let pixel = served.send(&Request::get(&format!("/v1/pixel.gif?{query}")));
            prop_assert_eq!((pixel.status, pixel.body.len()), (200, 43));
            Ok(())
        })
        .unwrap();
}

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() })
}

/// Noise, and texts that are nearly a batch: pieces of one, glued together at random.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        r#"{"tidegate":1,"count":2}"#,
        r#"{"tidegate":1"#,
        r#""batch":"0198f0c0-a1b2-7cc3-8dd4-e5f60718293a""#,
        r#"{"type":"a"}"#,
        r#"{"type":"a","props":{"x":[1,2.5e3,null,true,"\u00e9\ud83d\ude00"]}}"#,
        r#"{"batch":["#,
        "\n",
        "\r\n",
        ",",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "\\",
        "\\ud800",
        " ",
        "\u{feff}",
        "\0",
        "é",
        "-1e400",
        r#""type":"#,
        r#""_tg":1"#,
        r#""ts":9007199254740993"#,
    ]);
    let glued =
        prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes());
    let noise = prop::collection::vec(any::<u8>(), 0..600);
    // A good batch with a few bytes replaced.
    let bent = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6).prop_map(
        |changes| {
            let mut body = super::support::batches::sealed("bent", 5).body;
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body
        },
    );
    prop_oneof![noise, glued, bent]
}

fn judge(reply: &Response) -> Result<(), TestCaseError> {
    let said = reply.json();
    prop_assert!(reply.status < 500, "{}: {said}", reply.status);
    if reply.status == 200 {
        let rejected = said["rejected"].as_array();
        let counts = said["accepted"].is_u64() && said["filtered"].is_u64() && rejected.is_some();
        prop_assert!(counts && said["batch"].is_string() && said["config"].is_u64(), "{said}");
    } else {
        prop_assert!(said["reason"].is_string() && said["error"].is_string(), "{said}");
    }
    Ok(())
}
