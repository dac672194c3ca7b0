//! A folder of documents as operators write it.

use std::fs;

use super::*;

const NOW_MS: i64 = 1_767_225_600_000;
const ANNOUNCED: Announced = Announced {
    body_bytes: 921_600,
    inflated_bytes: 8_388_608,
    events: 5_000,
    event_bytes: 262_144,
    context_bytes: 4_096,
    dedupe_s: 600,
};

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).expect("room for a file");
    }

    fn open(&self) -> Result<Documents, String> {
        let source = Source { document: Path::new(""), documents: self.0.path() };
        Documents::open(source, &ANNOUNCED, NOW_MS).map_err(|error| error.to_string())
    }
}

fn text(documents: &Documents, app: &str) -> String {
    let text = documents.of(app).expect("a document").text(NOW_MS, 0);
    String::from_utf8(text.body.to_vec()).expect("UTF-8")
}

#[test]
fn apps_inherit_key_by_key_and_versions_add_up() {
    let folder = Folder::with(&[
        ("default.toml", "version = 3\nttl_s = 100\n[sample]\nscroll = 0.5\n[rate]\nper_s = 7\n"),
        ("shop.toml", "version = 4\n[sample]\nclick = 0.1\n[rate]\nburst = 9\n"),
        ("notes.txt", "not ours"),
    ]);
    let documents = folder.open().expect("valid");
    assert_eq!((documents.version("shop"), documents.version("other")), (7, 3));
    let shop = text(&documents, "shop");
    assert!(shop.contains(r#""sample":{"click":0.1,"scroll":0.5}"#), "{shop}");
    assert!(shop.contains(r#""rate":{"per_s":7,"burst":9}"#), "{shop}");
    assert!(shop.contains(r#""ttl_s":100"#), "{shop}");
    assert!(text(&documents, "other").contains(r#""rate":{"per_s":7,"burst":200}"#));
}

#[test]
fn without_a_default_other_apps_have_none() {
    let documents = Folder::with(&[("shop.toml", "version = 4\n")]).open().expect("valid");
    assert_eq!((documents.version("shop"), documents.version("other")), (4, 0));
    assert!(documents.of("other").is_none());
}

#[test]
fn mistakes_are_told_with_file_line_and_key() {
    for (text, line, key) in [
        ("ttl_s = 60\n", "line 1", "version"),
        ("version = 1\n\n[batch]\nevents = 0\n", "line 4", "batch.events: 0 must be 1 to 5000"),
        ("version = 1\n[sample]\n\"*\" = 1.5\n", "line 3", "sample.*"),
        ("version = 1\n[sample]\n\"a b\" = 1\n", "line 3", "a b"),
        ("version = 1\n[classes]\nerror = 3\n", "line 3", "classes.error"),
        ("version = 1\nttl = 60\n", "line 2", "ttl"),
        ("version = 1\n[retry]\nbase_ms = 60000\ncap_ms = 1000\n", "line 4", "retry.cap_ms"),
        ("version = 1\n[queue]\nfloors = [1, 2, 9000000]\n", "line 3", "queue.floors"),
        ("version = 1\noff_until = \"soon\"\n", "line 2", "off_until"),
        ("version = 1\noff_until = \"2026-01-02T00:00:01Z\"\n", "line 2", "24 hours"),
        ("version = 1\n[[degrade]]\npressure = 4\nclasses = {}\n", "line 2", "degrade"),
        ("version = 1\n[[degrade]]\npressure = 1\nclasses = { 0 = 0.5 }\n", "line 2", "critical"),
        ("version = 1\nsample_by = \"day\"\n", "line 2", "sample_by"),
    ] {
        let error = Folder::with(&[("shop.toml", text)]).open().expect_err(text);
        let told = error.contains("shop.toml") && error.contains(line) && error.contains(key);
        assert!(told, "{text}: {error}");
    }
}

#[test]
fn the_time_of_a_kill_is_in_the_past_or_near() {
    let at = |until: &str| {
        let text = format!("version = 1\noff_until = \"{until}\"\n");
        let documents = Folder::with(&[("shop.toml", &text)]).open().expect("valid");
        self::text(&documents, "shop")
    };
    assert!(at("2026-01-02T00:00:00Z").contains(r#""off_ms":86400000,"#));
    assert!(at("2026-01-01T01:00:30+01:00").contains(r#""off_ms":30000,"#));
    assert!(at("2020-01-01T00:00:00Z").contains(r#""off_ms":0,"#));
}

#[test]
fn a_changed_document_needs_a_higher_version() {
    let folder = Folder::with(&[("default.toml", "version = 3\n"), ("shop.toml", "version = 4\n")]);
    let first = folder.open().expect("valid");
    assert!(folder.open().expect("valid").may_follow(&first).is_ok(), "nothing has changed");
    let refused = |folder: &Folder| {
        folder.open().expect("valid").may_follow(&first).map_err(|error| error.to_string())
    };
    folder.write("shop.toml", "version = 4\nttl_s = 61\n");
    let error = refused(&folder).expect_err("the same version");
    assert!(error.contains("shop") && error.contains("still 7"), "{error}");
    folder.write("shop.toml", "version = 3\n");
    assert!(refused(&folder).expect_err("a lower one").contains("from version 7 to 6"));
    folder.write("shop.toml", "version = 5\nttl_s = 61\n");
    assert_eq!(refused(&folder), Ok(()));
    // What apps inherit changes all of them, and so does default.toml's version.
    folder.write("default.toml", "version = 3\nttl_s = 62\n");
    assert!(refused(&folder).is_err());
    folder.write("default.toml", "version = 4\nttl_s = 62\n");
    assert_eq!(refused(&folder), Ok(()));
    fs::remove_file(folder.0.path().join("shop.toml")).expect("removed");
    assert!(refused(&folder).expect_err("it falls").contains("from version 7 to 4"));
    folder.write("default.toml", "version = 9\nttl_s = 62\n");
    assert_eq!(refused(&folder), Ok(()));
}

#[test]
fn one_json_file_is_sent_as_it_is() {
    let folder = Folder::with(&[("sdk.json", r#"{"version":7}"#)]);
    let path = folder.0.path().join("sdk.json");
    let open = || {
        let source = Source { document: &path, documents: Path::new("") };
        Documents::open(source, &ANNOUNCED, NOW_MS).map_err(|error| error.to_string())
    };
    let one = open().expect("valid");
    assert_eq!((text(&one, "any").as_str(), one.version("any")), (r#"{"version":7}"#, 7));
    folder.write("sdk.json", r#"{"version":7,"off_ms":0}"#);
    let two = open().expect("valid");
    assert_ne!(one.of("a").map(|it| it.text(0, 0).tag), two.of("a").map(|it| it.text(0, 0).tag));
    assert!(two.may_follow(&one).is_err(), "changed under the same version");
    folder.write("sdk.json", "[]");
    assert!(open().expect_err("no version").contains("\"version\""));
    let both = Source { document: &path, documents: folder.0.path() };
    assert!(matches!(Documents::open(both, &ANNOUNCED, NOW_MS), Err(Error::Both)));
}
