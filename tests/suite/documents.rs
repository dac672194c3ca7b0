//! The config centre as SDKs meet it.

use std::fs;

use tidegate::admit::documents::Content;

use super::support::{Binary, Client, Request, Response, root};

const KEYS: &str = "watch_ms = 0\n\
    [[keys]]\nkey = \"wk_shop\"\napp = \"shop\"\nkind = \"public\"\n\
    [[keys]]\nkey = \"wk_game\"\napp = \"game\"\nkind = \"public\"\n";

/// A gateway with a folder of documents.
fn served(files: &[(&str, &str)]) -> Binary {
    let mut binary = Binary::prepare(KEYS);
    let mut folder = None;
    for (name, text) in files {
        let path = binary.write(&format!("apps/{name}"), text);
        folder = path.parent().map(|folder| folder.display().to_string());
    }
    binary.set("TIDEGATE__SDK__DOCUMENTS", &folder.expect("a folder"));
    binary.run();
    binary
}

fn fetch(binary: &Binary, key: &str, tag: Option<&str>) -> Response {
    let request = Request::get(&format!("/v1/config?key={key}"));
    let request = match tag {
        Some(tag) => request.header("If-None-Match", tag),
        None => request,
    };
    Client::connect(binary.address()).send(&request)
}

fn reload(binary: &Binary) -> Response {
    Client::connect(binary.admin()).send(&Request::post("/admin/reload", ""))
}

#[test]
fn each_app_has_its_document_with_a_tag() {
    let binary = served(&[
        ("default.toml", "version = 3\nttl_s = 100\n"),
        ("shop.toml", "version = 4\n[sample]\nscroll = 0.1\n"),
    ]);
    let shop = fetch(&binary, "wk_shop", None);
    assert_eq!((shop.status, shop.json()["version"].as_u64()), (200, Some(7)));
    assert_eq!(shop.json()["sample"], serde_json::json!({ "*": 1.0, "scroll": 0.1 }));
    assert_eq!(
        (shop.json()["ttl_s"].as_u64(), shop.json()["off_ms"].as_u64()),
        (Some(100), Some(0))
    );
    assert_eq!(shop.json()["limits"]["body_bytes"], 921_600);
    assert_eq!(shop.json()["degrade"][2]["pause"], serde_json::json!([1, 2]));
    assert_eq!(shop.header("cache-control").as_deref(), Some("no-cache"));
    let game = fetch(&binary, "wk_game", None);
    assert_eq!(game.json()["version"], 3);
    let tag = shop.header("etag").expect("a tag");
    assert_ne!(game.header("etag").as_ref(), Some(&tag));
    let known = fetch(&binary, "wk_shop", Some(&tag));
    assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, Some(tag.clone())));
    let head = Request::new("HEAD", "/v1/config?key=wk_shop");
    let head = Client::connect(binary.address()).send(&head);
    assert_eq!((head.status, head.header("etag")), (200, Some(tag)));
    assert_eq!(head.header("content-length"), Some(shop.body.len().to_string()));
    assert_eq!(fetch(&binary, "wk_nobody", None).status, 401);
    for (key, version) in [("wk_shop", 7), ("wk_game", 3)] {
        let batch = Request::post(&format!("/v1/batch?key={key}"), r#"{"type":"a"}"#);
        let reply = Client::connect(binary.address()).send(&batch);
        assert_eq!(reply.json()["config"], version, "replies announce it");
    }
}

#[test]
fn a_kill_is_told_with_its_end_and_needs_a_higher_version() {
    let binary = served(&[("shop.toml", "version = 1\n")]);
    let calm = fetch(&binary, "wk_shop", None);
    let tag = calm.header("etag").expect("a tag");
    assert_eq!(fetch(&binary, "wk_game", None).json()["reason"], "no_document");
    let soon = time::OffsetDateTime::now_utc() + time::Duration::hours(2);
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:00Z");
    let soon = soon.format(&format).expect("a time");
    let kill =
        |version: u64| format!("version = {version}\noff_until = \"{soon}\"\npurge = true\n");
    binary.write("apps/shop.toml", &kill(1));
    let refused = reload(&binary);
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("still 1"), "{}", refused.text());
    assert_eq!(fetch(&binary, "wk_shop", Some(&tag)).status, 304, "the old one stays");
    binary.write("apps/shop.toml", &kill(2));
    assert_eq!(reload(&binary).status, 200);
    let killed = fetch(&binary, "wk_shop", Some(&tag));
    let off_ms = killed.json()["off_ms"].as_i64().expect("a number");
    assert!((3_600_000..=7_200_000).contains(&off_ms), "{off_ms}");
    assert_eq!((killed.status, killed.json()["purge"].as_bool()), (200, Some(true)));
    // A time that has passed is no kill any more.
    binary.write("apps/shop.toml", "version = 3\noff_until = \"2026-01-01T00:00:00Z\"\n");
    assert_eq!(reload(&binary).status, 200);
    let over = fetch(&binary, "wk_shop", None).json();
    assert_eq!((over["off_ms"].as_u64(), over["purge"].as_bool()), (Some(0), Some(false)));
}

#[test]
fn a_mistake_in_a_document_keeps_all_of_the_old_configuration() {
    let binary = served(&[("shop.toml", "version = 1\n")]);
    binary.write("apps/shop.toml", "version = 2\n[batch]\nevents = 0\n");
    let more = format!("{KEYS}[[keys]]\nkey = \"wk_more\"\napp = \"more\"\nkind = \"public\"\n");
    binary.configure_anew(&more);
    let refused = reload(&binary);
    let said = refused.text();
    assert_eq!(refused.status, 422, "{said}");
    assert!(said.contains("shop.toml: line 3, key batch.events: 0 must be 1 to 5000"), "{said}");
    assert_eq!(fetch(&binary, "wk_shop", None).json()["version"], 1);
    assert_eq!(fetch(&binary, "wk_more", None).status, 401, "the key does not count either");
    binary.write("apps/shop.toml", "version = 2\n[batch]\nevents = 1\n");
    assert_eq!(reload(&binary).status, 200);
    assert_eq!(fetch(&binary, "wk_shop", None).json()["batch"]["events"], 1);
    assert_eq!(fetch(&binary, "wk_more", None).json()["reason"], "no_document");
}

#[test]
fn the_example_says_the_defaults_and_explains_every_key() {
    let text = fs::read_to_string(root().join("config/apps/default.toml")).expect("the example");
    let said: Content = toml::from_str(&text).expect("a document");
    assert_eq!(said, Content::default());
    let all = toml::Table::try_from(Content::default()).expect("TOML");
    let said: toml::Table = text.parse().expect("TOML");
    let names = |table: &toml::Table| {
        let mut names = Vec::new();
        for (key, value) in table {
            names.push(key.clone());
            if let toml::Value::Table(inner) = value {
                names.extend(inner.keys().map(|inner| format!("{key}.{inner}")));
            }
        }
        names
    };
    assert_eq!(names(&said), names(&all));
    let lines: Vec<_> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        assert!(line.chars().count() <= 100, "line {}: longer than 100 columns", at + 1);
        let is_key = !line.starts_with('#') && line.contains(" = ") || line.starts_with('[');
        let above = at.checked_sub(1).and_then(|above| lines.get(above)).copied().unwrap_or("");
        // Within `[[degrade]]` the comment stands above the table.
        let inside = lines[..at].iter().rev().take(3).any(|line| *line == "[[degrade]]");
        assert!(!is_key || above.starts_with('#') || inside, "line {}: {line}", at + 1);
    }
}
