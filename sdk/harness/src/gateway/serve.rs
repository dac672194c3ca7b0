//! One connection of the scripted gateway, from its first byte to its end.
//!
//! In: a socket and the shared state. Out: the scripted reply, and a note of what came. The state
//! is never locked while a socket is waited for.

use std::io;
use std::net::TcpStream;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use super::http::{self, Head};
use super::record::Sent;
use super::script::{Asked, Fault, Form, Reply};
use super::{Shared, lock};

/// Serves one request.
pub(super) fn serve(mut stream: TcpStream, state: &Shared) -> io::Result<()> {
    let head = match http::head(&mut stream) {
        Ok(head) => head,
        Err(error) => {
            // A probe that wakes the listener sends nothing at all and is not a request.
            if error.kind() != io::ErrorKind::UnexpectedEof {
                lock(state).record.broken += 1;
            }
            return Err(error);
        }
    };
    if head.method == "OPTIONS" {
        lock(state).record.preflights += 1;
        let allow = [
            ("access-control-allow-methods".to_owned(), "*".to_owned()),
            ("access-control-allow-headers".to_owned(), "*".to_owned()),
        ];
        return http::answer(&mut stream, 204, &allow, b"", 0);
    }
    if head.path.ends_with("/v1/batch") {
        return batch(&mut stream, &head, state);
    }
    if head.path.ends_with("/v1/config") {
        return config(&mut stream, &head, state);
    }
    let shown = json!({"method": head.method, "path": head.path});
    lock(state).record.others.push(shown);
    http::answer(&mut stream, 404, &[], b"{}", 2)
}

fn batch(stream: &mut TcpStream, head: &Head, state: &Shared) -> io::Result<()> {
    let number = |name: &str| head.query.get(name).and_then(Value::as_u64);
    let mut asked = Asked { class: number("class"), attempt: number("attempt"), count: None };
    let early = lock(state).script.early(asked);
    if matches!(early, Some(Fault::ResetBefore | Fault::ResetMid)) {
        lock(state).record.broken += 1;
        if early == Some(Fault::ResetMid) {
            head.body(stream, head.length / 2, false)?;
        }
        return http::reset(stream);
    }
    let raw = match head.body(stream, usize::MAX, early == Some(Fault::SlowRead)) {
        Ok(raw) => raw,
        Err(error) => {
            lock(state).record.broken += 1;
            return Err(error);
        }
    };
    let (reply, sent) = {
        let mut state = lock(state);
        let sent = Sent::new(head, raw, state.now_ms);
        asked.count = Some(sent.count());
        let reply = state.script.next(asked).unwrap_or_default();
        state.record.sends.push(sent.clone());
        (reply, sent)
    };
    if !wait(stream, &reply, state) {
        return Ok(());
    }
    let fault = reply.fault;
    let takes = reply.status == 200 && reply.json.is_none() && reply.text.is_none();
    let takes = takes || reply.json.as_ref().is_some_and(|body| body.contains_key("unchecked"));
    let takes = takes && !matches!(fault, Some(Fault::Foreign | Fault::WrongBatch));
    if takes {
        let mut state = lock(state);
        state.record.take(&reply.node, &sent, false);
        if fault == Some(Fault::Again) {
            state.record.take(&reply.node, &sent, true);
        }
    }
    if fault == Some(Fault::Lost) {
        return http::reset(stream);
    }
    write(stream, &reply, &body(&reply, Some(&sent)), state)
}

fn config(stream: &mut TcpStream, head: &Head, state: &Shared) -> io::Result<()> {
    let reply = {
        let mut state = lock(state);
        let shown = json!({
            "at_ms": state.now_ms, "path": head.path, "query": head.query, "headers": head.headers,
        });
        state.record.configs.push(shown);
        state.config.next(Asked::default())
    };
    let missing = Reply { status: 404, reason: Some("no_document".to_owned()), ..Reply::default() };
    let reply = reply.unwrap_or(missing);
    if !wait(stream, &reply, state) {
        return Ok(());
    }
    if reply.fault == Some(Fault::Lost) {
        return http::reset(stream);
    }
    write(stream, &reply, &body(&reply, None), state)
}

/// Waits while the reply is held back; false if the peer went away.
fn wait(stream: &TcpStream, reply: &Reply, state: &Shared) -> bool {
    if !reply.hold && reply.hold_ms.is_none() {
        return true;
    }
    let number = {
        let mut state = lock(state);
        let number = state.next_hold;
        state.next_hold += 1;
        let until = reply.hold_ms.map(|ms| state.now_ms + ms);
        state.holds.push((number, until));
        number
    };
    loop {
        let gone = http::gone(stream);
        let mut state = lock(state);
        let held = state.holds.iter().any(|(known, _)| *known == number);
        if gone {
            state.holds.retain(|(known, _)| *known != number);
            return false;
        }
        if !held {
            return true;
        }
    }
}

/// The text of a reply's body.
fn body(reply: &Reply, sent: Option<&Sent>) -> Vec<u8> {
    let mut text = match (&reply.text, &reply.json) {
        (Some(text), _) => text.clone(),
        (None, Some(given)) => {
            let mut given = given.clone();
            if given.get("batch") == Some(&json!("$batch")) {
                given.insert("batch".to_owned(), json!(sent.map(Sent::batch)));
            }
            Value::Object(given).to_string()
        }
        (None, None) => usual(reply, sent).to_string(),
    };
    if reply.fault == Some(Fault::Foreign) {
        "<html><body>Welcome to our network</body></html>".clone_into(&mut text);
    }
    text.extend(std::iter::repeat_n(' ', reply.pad_bytes));
    text.into_bytes()
}

/// What a real gateway would say with this status.
fn usual(reply: &Reply, sent: Option<&Sent>) -> Value {
    let mut body = json!({});
    if let (200, Some(sent)) = (reply.status, sent) {
        let count = sent.count() as u64;
        let left_over = reply.rejected.len() as u64 + reply.filtered;
        let wrong = u64::from(reply.fault == Some(Fault::WrongSum));
        let other = "01980000-0000-7000-8000-00000000ffff";
        let wrong_batch = reply.fault == Some(Fault::WrongBatch);
        let batch = if wrong_batch { other } else { sent.batch() };
        body = json!({
            "batch": batch, "accepted": count.saturating_sub(left_over) + wrong,
            "filtered": reply.filtered, "rejected": reply.rejected,
        });
    } else if reply.status != 200 {
        body["error"] = json!("scripted");
    }
    let further = [
        ("config", reply.config.clone()),
        ("limits", reply.limits.clone()),
        ("pressure", reply.pressure.clone()),
        ("retry_ms", reply.retry_ms.clone()),
        ("reason", reply.reason.clone().map(Value::from)),
    ];
    for (name, value) in further {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    body
}

fn write(stream: &mut TcpStream, reply: &Reply, body: &[u8], state: &Shared) -> io::Result<()> {
    let mut headers: Vec<(String, String)> =
        reply.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(text) = &reply.retry_after {
        headers.push(("retry-after".to_owned(), text.clone()));
    }
    if let Some(ahead) = reply.retry_after_in_s {
        let wall_s = lock(state).wall_ms.div_euclid(1000);
        headers.push(("retry-after".to_owned(), date(wall_s + ahead, reply.form)));
    }
    if reply.fault == Some(Fault::Foreign) {
        headers.push(("content-type".to_owned(), "text/html".to_owned()));
    }
    let truncated = reply.fault == Some(Fault::Truncate);
    let shown = if truncated { body.len() / 2 } else { body.len() };
    http::answer(stream, reply.status, &headers, body, shown)
}

fn date(unix_s: i64, form: Form) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(unix_s).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let imf = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let rfc850 = format_description!(
        "[weekday], [day]-[month repr:short]-[year repr:last_two] [hour]:[minute]:[second] GMT"
    );
    let asctime = format_description!(
        "[weekday repr:short] [month repr:short] [day padding:space] \
         [hour]:[minute]:[second] [year]"
    );
    let text = match form {
        Form::Imf => moment.format(&imf),
        Form::Rfc850 => moment.format(&rfc850),
        Form::Asctime => moment.format(&asctime),
    };
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_forms_of_the_rfc() {
        // The three examples of RFC 9110 section 5.6.7.
        let at = 784_111_777;
        assert_eq!(date(at, Form::Imf), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(at, Form::Rfc850), "Sunday, 06-Nov-94 08:49:37 GMT");
        assert_eq!(date(at, Form::Asctime), "Sun Nov  6 08:49:37 1994");
    }
}
