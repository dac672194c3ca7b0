//! `config/openapi.json` against the code: every path with its methods, every status, and every
//! reason under the status that it is sent with.
//!
//! The code's lists are read from its source, as `tidy` does: what somebody adds there and not in
//! the document fails here by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use tidegate::model::Reason;

use super::support::{Request, Served, root};

/// Statuses that HTTP itself answers with, before there is a request.
const OF_HTTP: [&str; 2] = ["414", "431"];

fn document() -> Value {
    let text = fs::read_to_string(root().join("config/openapi.json")).expect("the document");
    serde_json::from_str(&text).expect("JSON")
}

fn source(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a source")
}

/// Names of refusals by their status, as `Refusal::name` and `Refusal::status` have them.
fn refusals() -> BTreeMap<String, BTreeSet<String>> {
    let text = source("src/model/reason.rs");
    let text = text.split("impl Refusal").nth(1).expect("the refusals");
    let names = text.split("pub fn name").nth(1).and_then(|text| text.split("pub fn").next());
    let statuses = text.split("pub fn status").nth(1).and_then(|text| text.split("pub fn").next());
    let (names, statuses) = (arms(names.expect("names")), arms(statuses.expect("statuses")));
    assert_eq!(names.keys().collect::<Vec<_>>(), statuses.keys().collect::<Vec<_>>());
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (variant, name) in names {
        found.entry(statuses[&variant].clone()).or_default().insert(name);
    }
    found
}

/// `Self::One | Self::Two(_) => value` as variant and value.
fn arms(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut variants: Vec<String> = Vec::new();
    for line in text.lines() {
        let (pattern, value) = match line.split_once("=>") {
            Some((pattern, value)) => (pattern, Some(value)),
            None => (line, None),
        };
        for part in pattern.split("Self::").skip(1) {
            let end = part.find(|c: char| !c.is_alphanumeric()).unwrap_or(part.len());
            variants.push(part[..end].to_owned());
        }
        if let Some(value) = value {
            let value = value.trim().trim_end_matches(',').trim_matches('"');
            found.extend(variants.drain(..).map(|variant| (variant, value.to_owned())));
        }
    }
    found
}

/// Every operation as path, method and the object itself.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let methods = ["get", "head", "post", "put", "delete", "options"];
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in methods {
            if let Some(operation) = item.get(method) {
                found.push((path.clone(), method.to_uppercase(), operation.clone()));
            }
        }
    }
    found
}

#[test]
fn every_reason_stands_under_its_status() {
    let document = document();
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // The operators' pages have a few reasons of their own, which are no refusals of batches.
    let ours = operations(&document).into_iter().filter(|(path, ..)| path.starts_with("/v1/"));
    for (path, method, operation) in ours {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let schema = &response["content"]["application/json"]["schema"];
            let reasons = schema["allOf"][1]["properties"]["reason"]["enum"].as_array();
            for reason in reasons.into_iter().flatten() {
                let reason = reason.as_str().expect("a reason").to_owned();
                told.entry(status.clone()).or_default().insert(reason);
            }
            let known = reasons.is_some() || status.starts_with(['2', '3']);
            let bare = method == "HEAD" || OF_HTTP.contains(&status.as_str());
            assert!(known || bare, "{method} {path} {status}: no reasons");
        }
    }
    assert_eq!(told, refusals());
}

#[test]
fn every_rejection_is_listed() {
    let document = document();
    let listed = &document["components"]["schemas"]["Rejection"]["anyOf"][0]["enum"];
    let listed: Vec<_> = listed.as_array().expect("a list").iter().collect();
    let known = Reason::ALL.map(|reason| Value::from(reason.name()));
    assert_eq!(listed, known.iter().collect::<Vec<_>>());
}

#[test]
fn paths_and_methods_are_those_of_the_route_table_and_the_admin_pages() {
    let document = document();
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in operations(&document) {
        told.entry(path).or_default().insert(method);
    }
    let known: BTreeMap<_, _> = table(&source("src/admit/routes.rs"), 4)
        .into_iter()
        .chain(table(&source("src/admin/mod.rs"), 3))
        .collect();
    assert!(known.contains_key("/v1/batch") && known.contains_key("/metrics"), "{known:?}");
    assert_eq!(told, known);
}

/// Paths and methods of a table of so many columns: the first one, and the last.
fn table(text: &str, columns: usize) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        let row = line.strip_prefix("(\"/").and_then(|line| line.strip_suffix("\"),"));
        let Some(row) = row else { continue };
        // Methods are one column, with commas in it.
        let (front, methods) = row.rsplit_once(", \"").expect("methods");
        let path = front.split('"').next().unwrap_or_default();
        assert_eq!(front.split(", ").count() + 1, columns, "{line}");
        let methods = methods.split(", ").map(str::to_owned);
        found.insert(format!("/{path}"), methods.collect());
    }
    found
}

#[test]
fn the_pages_answer_as_the_document_says() {
    let served = Served::start(|_| ());
    let document = document();
    for (path, method, operation) in operations(&document) {
        let admin = document["paths"][&path]["servers"].is_array();
        if method == "POST" && admin {
            continue;
        }
        let address = if admin { served.admin() } else { served.address() };
        let request = Request::new(&method, &path);
        let response = super::support::Client::connect(address).send(&request);
        let status = response.status.to_string();
        let told = &operation["responses"][&status];
        assert!(told.is_object(), "{method} {path} answers {status}");
        if let Some(kinds) = told["content"].as_object().filter(|_| method != "HEAD") {
            let kind = response.header("content-type").unwrap_or_default();
            let plain = kind.split(';').next().unwrap_or_default();
            assert!(kinds.contains_key(plain), "{method} {path} {status}: {kind}");
        }
    }
}
