//! A batch as the bytes of an HTTP request, composed before anything is measured.

use bytes::Bytes;
use loadtest::batch::APPS;
use tidegate::model::Record;

use crate::load::USER_AGENT;

/// Head and body of `POST /v1/batch`, as an SDK sends it.
pub(crate) fn compose(record: &Record) -> Bytes {
    let facts = &record.facts;
    let app = APPS.iter().find(|app| *app.name == *facts.app).unwrap_or(&APPS[0]);
    let (key, authorization) = if app.secret {
        (String::new(), format!("authorization: Bearer {}\r\n", app.key))
    } else {
        (format!("key={}&", app.key), String::new())
    };
    let (class, sent_ms) = (facts.class, facts.sent_ms.unwrap_or_default());
    let (wait_ms, length) = (facts.wait_ms.unwrap_or_default(), record.body.len());
    let head = format!(
        "POST /v1/batch?{key}class={class}&attempt=1&sent={sent_ms}&wait={wait_ms} HTTP/1.1\r\n\
         host: gateway.example.com\r\nuser-agent: {USER_AGENT}\r\n{authorization}\
         content-type: application/x-ndjson\r\ncontent-encoding: gzip\r\n\
         content-length: {length}\r\n\r\n"
    );
    Bytes::from([head.as_bytes(), &record.body].concat())
}

/// What a gzipped body says of its inflated size.
pub(crate) fn plain_bytes(body: &[u8]) -> u64 {
    body.last_chunk::<4>().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)))
}
