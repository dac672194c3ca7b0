//! A marker in every option that holds a secret is found nowhere that anybody looks.

use std::process::Output;

use super::support::certificates::Authority;
use super::support::{Binary, Client, Request, Response, eventually};

const MARKER: &str = "hunter2-MARKER";

/// A configuration in which every secret is the marker with a number of its own.
fn configuration(authority: &Authority, key_file: &str) -> String {
    let pair = authority.client("gateway", 7);
    let (ca, cert, key) = (authority.root(), pair.cert, pair.key);
    format!(
        r#"
watch_ms = 0
[log]
level = "trace"
[admin]
token = "{MARKER}-1"
[kafka]
brokers = "127.0.0.1:1"
divert_ms = 50
[kafka.security]
protocol = "sasl_ssl"
ca = "{}"
cert = "{}"
key = "{}"
key_password = "{MARKER}-2"
username = "tidegate"
password = "{MARKER}-3"
[kafka.properties]
debug = "all"
"sasl.oauthbearer.config" = "principal={MARKER}-4"
"ssl.keystore.password" = "{MARKER}-5"
[kafka.second.security]
protocol = "sasl_ssl"
key = "{}"
cert = "{}"
key_password = "{MARKER}-9"
username = "tidegate"
password = "{MARKER}-10"
[kafka.second.properties]
"sasl.password" = "{MARKER}-6"
[[keys]]
key = "{MARKER}-7"
app = "shop"
kind = "secret"
[[keys]]
key_file = "{key_file}"
app = "game"
kind = "public"
"#,
        ca.display(),
        cert.display(),
        key.display(),
        key.display(),
        cert.display(),
    )
}

fn said(output: &Output) -> String {
    let bytes = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn clean(what: &str, text: &str) {
    let at = text.lines().find(|line| line.contains(MARKER) || line.contains("hunter2"));
    assert!(at.is_none(), "{what}: {at:?}");
}

#[test]
fn secrets_are_shown_nowhere() {
    let authority = Authority::new();
    let mut binary = Binary::prepare("");
    let key_file = binary.write("key", &format!("{MARKER}-8\n"));
    let text = configuration(&authority, &key_file.display().to_string());
    binary.configure_anew(&text);
    let check = binary.command(&["check"]);
    assert!(check.status.success(), "{}", said(&check));
    assert!(said(&check).contains("password = \"***\""), "{}", said(&check));
    clean("check", &said(&check));
    clean("topics plan", &said(&binary.command(&["topics", "plan"])));
    clean("explain", &said(&binary.command(&["explain", "{\"type\":\"a\"}"])));
    binary.run();
    let ask = |request: Request| -> Response {
        let request = request.header("Authorization", &format!("Bearer {MARKER}-1"));
        Client::connect(binary.admin()).send(&request)
    };
    // Both keys work, whether they stand in the file or in one of their own.
    let bearer = format!("Bearer {MARKER}-7");
    let batch = Request::batch(r#"{"type":"a"}"#).header("Authorization", &bearer);
    assert_eq!(Client::connect(binary.address()).send(&batch).status, 200);
    let batch = Request::post(&format!("/v1/batch?key={MARKER}-8"), r#"{"type":"a"}"#);
    assert_eq!(Client::connect(binary.address()).send(&batch).status, 200);
    let wrong = Request::post("/v1/batch?key=hunter2-unknown", r#"{"type":"a"}"#);
    clean("a reply", &Client::connect(binary.address()).send(&wrong).text());
    // A reload that fails on the very line of a secret.
    for (broken, instead) in [
        (format!("token = \"{MARKER}-1\""), format!("token = {MARKER}-1")),
        (format!("password = \"{MARKER}-3\""), format!("passwort = \"{MARKER}-3\"")),
        (format!("\"sasl.password\" = \"{MARKER}-6\""), format!("brokers = [\"{MARKER}-6\"]")),
        (format!("key = \"{MARKER}-7\""), format!("class = \"{MARKER}-7\"")),
    ] {
        assert!(text.contains(&broken));
        binary.configure_anew(&text.replace(&broken, &instead));
        let refused = ask(Request::post("/admin/reload", ""));
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains("tidegate.toml: line "), "{}", refused.text());
        clean("a refused reload", &refused.text());
        clean("check of a mistake", &said(&binary.command(&["check"])));
    }
    let state = ask(Request::get("/admin/state"));
    assert_eq!(state.status, 200, "{}", state.text());
    assert!(state.text().contains("***") && state.text().contains("rejected"), "{}", state.text());
    clean("/admin/state", &state.text());
    let metrics = ask(Request::get("/metrics"));
    assert!(metrics.text().contains("tidegate_config_rejected 1"), "{}", metrics.text());
    clean("/metrics", &metrics.text());
    let trouble = eventually("kafka's client complains", || {
        let ready = ask(Request::get("/readyz"));
        ready.json()["clusters"][0]["trouble"].as_str().map(str::to_owned)
    });
    clean("/readyz", &trouble);
    clean("the log", &binary.log());
    assert!(binary.log().contains("refused"), "the log was looked at");
}

#[test]
fn a_secret_comes_from_a_file_or_the_environment_and_not_from_both() {
    let mut binary = Binary::prepare("");
    let file = binary.write("token", &format!("{MARKER}\n")).display().to_string();
    binary.set("TIDEGATE__ADMIN__TOKEN_FILE", &file);
    binary.run();
    let state = |token: &str| {
        let request =
            Request::get("/admin/state").header("Authorization", &format!("Bearer {token}"));
        Client::connect(binary.admin()).send(&request).status
    };
    assert_eq!((state(MARKER), state("hunter2")), (200, 401));
    assert_eq!(binary.stop().code(), Some(0));
    binary.set("TIDEGATE__ADMIN__TOKEN", MARKER);
    let both = binary.command(&["check"]);
    assert_eq!(both.status.code(), Some(64));
    assert!(said(&both).contains("admin.token and admin.token_file"), "{}", said(&both));
    clean("check", &said(&both));
    binary.set("TIDEGATE__ADMIN__TOKEN", "");
    binary.set("TIDEGATE__ADMIN__TOKEN_FILE", "/no/such/file");
    let missing = binary.command(&["check"]);
    assert_eq!(missing.status.code(), Some(64));
    assert!(said(&missing).contains("admin.token_file /no/such/file"), "{}", said(&missing));
}
