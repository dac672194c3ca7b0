//! Query strings, and what pixels carry in them.

use tidegate::admit::Query;
use tidegate::model::Parcel;
use tidegate::split;

/// Any query string: numbers stay in their ranges, and a pixel's body stays small.
pub fn query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(query) = Query::parse(&text) else { return };
    assert!(query.class.is_none_or(|class| class <= 2));
    assert!(query.sent_ms.is_none_or(|sent| (0..1 << 53).contains(&sent)));
    assert!(query.wait_ms.is_none_or(|wait| wait < 1 << 53));
    if let Ok(body) = query.pixel_body() {
        assert!(body.len() <= text.len() + 64, "{} bytes", body.len());
    }
}

/// Any bytes in a pixel's `d` come out as they are; with a type they become one event at most.
pub fn pixel(data: &[u8]) {
    let text = base64url(data);
    let plain = Query::parse(&format!("d={text}")).expect("a query of ours");
    assert_eq!(plain.pixel_body().expect("base64url of ours"), data);
    let typed = Query::parse(&format!("type=open&d={text}")).expect("a query of ours");
    let Ok(body) = typed.pixel_body() else {
        assert!(std::str::from_utf8(data).is_err(), "text is refused");
        return;
    };
    let facts = Parcel::empty().record.facts;
    let rules = split::Rules::compile(&[]).expect("no rules");
    let limits = split::Limits::default();
    // Whatever it is, it is text like any body: each event has one place.
    if let Ok(batch) = split::split(&body, &facts, None, &limits, &rules) {
        let places = batch.events.len() + batch.rejected.len();
        let event: Option<serde_json::Value> = serde_json::from_slice(data).ok();
        let props = event.is_some_and(|event| event.is_object() && event.get("type").is_none());
        if props && !data.contains(&b'\n') {
            assert_eq!(places, 1, "props became {places} events");
        }
    }
}

fn base64url(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in data.chunks(3) {
        let mut bits = 0_u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(three.get(at).copied().unwrap_or(0));
        }
        for digit in 0..=three.len() {
            let six = bits >> (18 - 6 * digit) & 63;
            text.push(char::from(DIGITS[six as usize]));
        }
    }
    text
}
