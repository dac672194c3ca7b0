//! Rules from their text to their verdicts.

use uuid::Uuid;

use super::super::tests::facts;
use super::super::{Limits, Rules, split};
use super::{CONDITIONS, Error, Settings};
use crate::model::{Batch, Facts, Reason};

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Written {
    rules: Vec<Settings>,
}

fn read(text: &str) -> Result<Written, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

fn compile(text: &str) -> Rules {
    Rules::compile(&read(text).unwrap().rules).unwrap()
}

fn run(rules: &Rules, facts: &Facts, body: &str) -> Batch {
    split(body.as_bytes(), facts, None, &Limits::default(), rules).unwrap()
}

/// Whether one rule with these conditions matches one event.
fn holds(conditions: &str, event: &str) -> bool {
    let text = format!("[[rules]]\nname = \"r\"\naction = \"filter\"\n{conditions}");
    let batch = run(&compile(&text), &facts(), event);
    assert_eq!(batch.rejected, [], "{event}");
    batch.events[0].filtered_by == Some(0)
}

#[test]
fn conditions_are_named_once_and_documented() {
    let mut names: Vec<_> = CONDITIONS.iter().map(|condition| condition.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CONDITIONS.len());
    assert!(CONDITIONS.iter().all(|condition| condition.doc.len() > 20));
}

#[test]
fn each_condition_decides() {
    let event = concat!(
        r#"{"type":"page.view","ts":1767225590000,"props":{"country":"N\u004c","n":5,"f":2.50,"#,
        r#""big":9007199254740993,"yes":true,"none":null,"list":[1],"deep":{"x":"a\"b"}}}"#
    );
    for (conditions, expected) in [
        ("", true),
        ("apps = [\"other\", \"demo\"]", true),
        ("apps = [\"other\"]", false),
        ("classes = [1]", true),
        ("classes = [0, 2]", false),
        ("types = [\"click\", \"page.*\"]", true),
        ("types = [\"click\"]", false),
        ("bytes = { min = 10, max = 1000 }", true),
        ("bytes = { min = 1000 }", false),
        ("age_ms = { min = 10000, max = 10000 }", true),
        ("age_ms = { max = 9999 }", false),
        ("where = [{ field = \"type\", equals = \"page.view\" }]", true),
        ("where = [{ field = \"props.country\", equals = \"NL\" }]", true),
        ("where = [{ field = \"props.country\", equals = \"N\" }]", false),
        ("where = [{ field = \"props.country\", in = [\"BE\", \"NL\"] }]", true),
        ("where = [{ field = \"props.country\", in = [\"BE\", 5] }]", false),
        ("where = [{ field = \"props.n\", in = [\"BE\", 5] }]", true),
        ("where = [{ field = \"props.n\", equals = \"5\" }]", false),
        ("where = [{ field = \"props.n\", equals = 5.0 }]", true),
        ("where = [{ field = \"props.f\", equals = 2.5 }]", true),
        ("where = [{ field = \"props.f\", equals = 2 }]", false),
        ("where = [{ field = \"props.big\", equals = 9007199254740993 }]", true),
        ("where = [{ field = \"props.big\", equals = 9007199254740992 }]", false),
        ("where = [{ field = \"props.yes\", equals = true }]", true),
        ("where = [{ field = \"props.yes\", equals = false }]", false),
        ("where = [{ field = \"props.country\", prefix = \"N\" }]", true),
        ("where = [{ field = \"props.country\", prefix = \"L\" }]", false),
        ("where = [{ field = \"props.n\", prefix = \"5\" }]", false),
        ("where = [{ field = \"props.deep.x\", regex = \"^a.b$\" }]", true),
        ("where = [{ field = \"props.deep.x\", regex = \"^b\" }]", false),
        ("where = [{ field = \"props.f\", min = 2, max = 2.5 }]", true),
        ("where = [{ field = \"props.f\", max = 2.4 }]", false),
        ("where = [{ field = \"props.country\", min = 0 }]", false),
        ("where = [{ field = \"props.n\", present = true }]", true),
        ("where = [{ field = \"props.n\", present = false }]", false),
        ("where = [{ field = \"props.none\", present = false }]", true),
        ("where = [{ field = \"props.gone.x\", present = false }]", true),
        ("where = [{ field = \"props.gone\", present = true }]", false),
        ("where = [{ field = \"props.gone\", equals = \"\" }]", false),
        ("where = [{ field = \"props.list\", equals = 1 }]", false),
        (
            "where = [{ field = \"props.n\", min = 1 }, { field = \"props.yes\", equals = true }]",
            true,
        ),
        (
            "where = [{ field = \"props.n\", min = 1 }, { field = \"props.yes\", equals = 1 }]",
            false,
        ),
        ("types = [\"page.*\"]\nclasses = [1]\nbytes = { min = 1000 }", false),
    ] {
        assert_eq!(holds(conditions, event), expected, "{conditions}");
    }
}

#[test]
fn the_first_matching_rule_decides() {
    let rules = compile(
        r#"
        rules = [
            { name = "vip", where = [{ field = "props.v", equals = 1 }], action = "keep" },
            { name = "no-a", types = ["a"], action = "filter" },
            { name = "no-b", types = ["b"], action = "reject", reason = "b_is_over" },
            { name = "rest", action = "keep" },
            { name = "never", action = "filter" },
        ]
        "#,
    );
    let body = concat!(
        "{\"type\":\"a\"}\n{\"type\":\"a\",\"props\":{\"v\":1}}\n",
        "{\"type\":\"b\"}\n{\"type\":\"c\"}"
    );
    let batch = run(&rules, &facts(), body);
    let verdicts: Vec<_> =
        batch.events.iter().map(|event| (event.index, event.filtered_by)).collect();
    assert_eq!(verdicts, [(0, Some(1)), (1, None), (3, None)]);
    assert_eq!(batch.rejected, [(2, Reason::Rule(2))]);
    assert_eq!((rules.name(1), rules.reason(2), rules.name(9)), ("no-a", "b_is_over", ""));

    let bare = run(&Rules::default(), &facts(), body);
    let matched: Vec<_> = bare
        .events
        .iter()
        .map(|event| rules.matched(&facts(), &bare, event, body.as_bytes()))
        .collect();
    assert_eq!(matched, [Some(1), Some(0), Some(2), Some(3)]);
    assert_eq!(Rules::default().matched(&facts(), &bare, &bare.events[0], body.as_bytes()), None);
    assert!(Rules::default().is_empty() && !rules.is_empty());
}

#[test]
fn the_class_of_the_header_counts_before_that_of_the_facts() {
    let rules = compile("[[rules]]\nname = \"bulk\"\nclasses = [2]\naction = \"filter\"");
    let bulk = Facts { class: 2, ..facts() };
    for (facts, body, expected) in [
        (&facts(), "{\"tidegate\":1,\"class\":2}\n{\"type\":\"a\"}", Some(0)),
        (&bulk, "{\"tidegate\":1,\"class\":0}\n{\"type\":\"a\"}", None),
        (&bulk, "{\"tidegate\":1}\n{\"type\":\"a\"}", Some(0)),
        (&bulk, "{\"type\":\"a\"}", Some(0)),
    ] {
        assert_eq!(run(&rules, facts, body).events[0].filtered_by, expected, "{body}");
    }
}

#[test]
fn samples_are_the_same_on_every_run_and_weights_multiply() {
    let rules =
        compile("[[rules]]\nname = \"few\"\ntypes = [\"a\"]\naction = \"sample\"\nrate = 0.25");
    let three = |at| {
        let told = format!("{{\"type\":\"a\",\"weight\":2,\"id\":\"id-{at}\"}}");
        [told, "{\"type\":\"a\"}".to_owned(), "{\"type\":\"b\"}".to_owned()].join("\n")
    };
    let body = (0..400).map(three).collect::<Vec<_>>().join("\n");
    let first = run(&rules, &facts(), &body);
    let again = run(&rules, &facts(), &body);
    let kept = |batch: &Batch| -> Vec<u32> {
        batch.events.iter().filter(|e| e.filtered_by.is_none()).map(|e| e.index).collect()
    };
    assert_eq!(kept(&first), kept(&again));
    let other = run(&rules, &Facts { batch: Uuid::from_u128(8), ..facts() }, &body);
    assert_ne!(kept(&first), kept(&other), "made ids depend on the batch");
    for (kind, expected) in [(0, 8.0), (1, 4.0), (2, 1.0)] {
        let of_kind: Vec<_> = first.events.iter().filter(|e| e.index % 3 == kind).collect();
        let kept = of_kind.iter().filter(|e| e.filtered_by.is_none());
        let weights: Vec<_> = kept.map(|event| event.weight).collect();
        assert!(weights.iter().all(|weight| weight.total_cmp(&expected).is_eq()));
        let range = if kind == 2 { 400..401 } else { 70..130 };
        assert!(range.contains(&weights.len()), "{kind}: {}", weights.len());
    }
}

#[test]
fn more_types_than_are_remembered_are_judged_alike() {
    let rules = compile("[[rules]]\nname = \"odd\"\ntypes = [\"*1\", \"*3\"]\naction = \"filter\"");
    let event = |at| format!("{{\"type\":\"t{}\"}}", at % 150);
    let body = (0..300).map(event).collect::<Vec<_>>().join("\n");
    for event in run(&rules, &facts(), &body).events {
        let expected = [1, 3].contains(&(event.index % 150 % 10));
        assert_eq!(event.filtered_by.is_some(), expected, "{}", event.index);
    }
}

#[test]
fn settings_survive_being_written() {
    let text = r#"
        rules = [
            { name = "a", action = "sample", rate = 0.5, types = ["x.*"], age_ms = { min = 1 } },
            { name = "b", action = "reject", reason = "no", where = [{ field = "p", in = ["x"] }] },
        ]
    "#;
    let written = read(text).unwrap();
    assert_eq!(written.rules[0].conditions.len(), 2);
    let again = read(&toml::to_string(&written).unwrap()).unwrap();
    assert_eq!(written.rules, again.rules);
    let json = serde_json::to_string(&written.rules).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Settings>>(&json).unwrap(), written.rules);
}

#[test]
fn errors_name_the_rule_and_what_is_wrong() {
    for (fields, expected) in [
        ("name = \"\"\naction = \"keep\"", "rule \"\": name must be"),
        ("name = \"a b\"\naction = \"keep\"", "rule \"a b\": name must be"),
        ("name = \"a\"", "missing field `action`"),
        ("name = \"a\"\naction = \"drop\"", "unknown variant `drop`"),
        ("name = \"a\"\naction = \"keep\"\ntype = [\"x\"]", "rule \"a\": unknown key \"type\""),
        ("name = \"a\"\naction = \"reject\"", "rule \"a\": reason must be"),
        ("name = \"a\"\naction = \"reject\"\nreason = \"No\"", "rule \"a\": reason must be"),
        ("name = \"a\"\naction = \"sample\"", "rule \"a\": rate must be"),
        ("name = \"a\"\naction = \"sample\"\nrate = 1.5", "rule \"a\": rate must be"),
        ("name = \"a\"\naction = \"keep\"\nrate = 0.5", "rule \"a\": rate must be"),
        ("name = \"a\"\naction = \"keep\"\napps = []", "rule \"a\": apps: must name"),
        ("name = \"a\"\naction = \"keep\"\nclasses = [3]", "rule \"a\": classes: 3 is no class"),
        ("name = \"a\"\naction = \"keep\"\ntypes = [\"a b\"]", "rule \"a\": types: type pattern"),
        ("name = \"a\"\naction = \"keep\"\nbytes = {}", "rule \"a\": bytes: needs min"),
        ("name = \"a\"\naction = \"keep\"\nage_ms = { mn = 1 }", "rule \"a\": age_ms: unknown"),
        (
            "name = \"a\"\naction = \"keep\"\nwhere = [{ field = \"a..b\", present = true }]",
            "rule \"a\": where: field \"a..b\" must be keys",
        ),
        (
            "name = \"a\"\naction = \"keep\"\nwhere = [{ field = \"a\" }]",
            "rule \"a\": where: field \"a\" needs one of",
        ),
        (
            "name = \"a\"\naction = \"keep\"\nwhere = [{ field = \"a\", equals = 1, min = 1 }]",
            "rule \"a\": where: field \"a\" needs one of",
        ),
        (
            "name = \"a\"\naction = \"keep\"\nwhere = [{ field = \"a\", in = [] }]",
            "rule \"a\": where: in must list",
        ),
        (
            "name = \"a\"\naction = \"keep\"\nwhere = [{ field = \"a\", regex = \"(\" }]",
            "rule \"a\": where: regex parse error",
        ),
    ] {
        let error = read(&format!("[[rules]]\n{fields}")).unwrap_err();
        assert!(error.contains(expected), "{fields}\n{error}");
    }
    let twice =
        read("rules = [{ name = \"a\", action = \"keep\" }, { name = \"a\", action = \"keep\" }]");
    let error = Rules::compile(&twice.unwrap().rules).unwrap_err();
    assert_eq!(error, Error::Repeated("a".to_owned()));
    let one = read("[[rules]]\nname = \"a\"\naction = \"keep\"").unwrap().rules.remove(0);
    assert_eq!(Rules::compile(&vec![one; 1_001]).unwrap_err(), Error::TooMany(1_001));
}
