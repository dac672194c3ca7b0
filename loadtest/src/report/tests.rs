//! The verdict and its words.

use std::time::Duration;

use super::*;
use crate::judge::Duplicated;
use crate::record::Recorder;

fn report() -> Report {
    let recorder = Recorder::default();
    for ms in 1..=100 {
        recorder.attempt(Phase::Before, 1, "200", Some(Duration::from_millis(ms)));
    }
    recorder.add(|totals| totals.accepted = 4900);
    recorder.add(|totals| totals.filtered = 100);
    let begun = Instant::now();
    let ended = begun + Duration::from_secs(2);
    let mut report = Report::new(&Settings::default(), &recorder.snapshot(), begun, ended);
    report.costs.gateway.cpu_s = 0.01;
    report.tier1 = Some(Tier::default());
    report
}

#[test]
fn figures_are_per_second_and_per_event() {
    let report = report();
    assert!((report.requests_per_s - 50.0).abs() < 1e-6);
    assert!((report.events_per_s - 2450.0).abs() < 1e-6);
    assert!((report.cpu_ns_per_event() - 2000.0).abs() < 1e-6);
    let reply = report.phases[0].reply;
    assert!((49.0..=51.0).contains(&reply.p50_ms) && (99.0..=101.0).contains(&reply.max_ms));
}

#[test]
fn any_fault_makes_the_verdict_unclean() {
    let clean = report();
    assert!(clean.is_clean());
    assert_eq!(clean.verdict(), "verdict: missing 0, alien 0, corrupted 0, duplicated 0");
    assert!(clean.to_string().ends_with(&clean.verdict()));
    let faults: [fn(&mut Report); 5] = [
        |report| report.tier2.missing = 1,
        |report| report.tier1.as_mut().unwrap().alien = [("never sent", 1)].into(),
        |report| report.tier2.corrupted = [("bytes", 1)].into(),
        |report| report.totals.miscounted = 1,
        |report| report.stop_error = Some("killed".to_owned()),
    ];
    for fault in faults {
        let mut report = report();
        fault(&mut report);
        assert!(!report.is_clean(), "{report}");
        assert_eq!(report.to_json()["clean"], false);
    }
}

#[test]
fn only_the_embedded_store_must_not_duplicate_by_itself() {
    let mut report = report();
    report.tier2.duplicated = Duplicated { by_us: 1, after_refusal: 2, by_retry: 3 };
    assert!(report.is_clean());
    assert!(report.verdict().ends_with("duplicated 6"));
    report.tier1 = None;
    assert!(!report.is_clean());
}
