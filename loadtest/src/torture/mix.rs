//! Random rounds: two or three cases at once, their steps interleaved in an order that the seed
//! decides.
//!
//! In: the cases that may be mixed, a seed. Out: a case like any other. The order of each one's own
//! steps stays, so that whatever they break they also mend.

use super::case::{Case, Expect, Place};
use super::step::{Span, Step};
use crate::batch::Random;
use crate::run::Mode;

/// Draws a round; its name says what is in it.
pub fn draw(all: &[(String, Case)], seed: u64) -> (String, Case) {
    let mut random = Random::new(seed ^ 0x6d69_7865_6421_0000);
    let mode = random.choose([Mode::Embedded, Mode::Kafka, Mode::Kafka]);
    let mut fit: Vec<_> =
        all.iter().filter(|(_, case)| case.mix && case.stage.mode == mode).collect();
    let wanted = 2 + usize::from(random.below(2) == 0);
    let mut chosen: Vec<&(String, Case)> = Vec::new();
    while chosen.len() < wanted && !fit.is_empty() {
        let at = usize::try_from(random.below(fit.len() as u64)).unwrap_or_default();
        let (name, case) = fit.swap_remove(at.min(fit.len() - 1));
        if chosen.iter().all(|(_, other)| agree(case, other)) {
            chosen.extend(all.iter().find(|(known, _)| known == name));
        }
    }
    let names: Vec<_> = chosen.iter().map(|(name, _)| name.as_str()).collect();
    let cases: Vec<_> = chosen.iter().map(|(_, case)| case).collect();
    (names.join("+"), interleave(&cases, &mut random))
}

/// Two cases can share a stage if each can live with the larger one.
fn agree(one: &Case, other: &Case) -> bool {
    let (one, other) = (&one.stage, &other.stage);
    let disks = one.disk == other.disk || [one.disk, other.disk].contains(&Place::Folder);
    disks && one.replication == other.replication && one.partitions == other.partitions
}

fn interleave(cases: &[&Case], random: &mut Random) -> Case {
    let mut mixed = Case {
        goal: "a random interleaving of cases".to_owned(),
        mix: false,
        quick: None,
        stage: cases.first().map(|case| case.stage.clone()).unwrap_or_default(),
        load: cases.first().map(|case| case.load.clone()).unwrap_or_default(),
        // Limits of single cases do not hold for several at once; losses never do.
        expect: Expect { buried_max: u64::MAX >> 12, ..Expect::default() },
        gateway: toml::Table::new(),
        steps: Vec::new(),
    };
    for case in cases {
        let stage = &case.stage;
        mixed.stage.brokers = mixed.stage.brokers.max(stage.brokers);
        mixed.stage.authorizer |= stage.authorizer;
        mixed.stage.proxy |= stage.proxy;
        mixed.stage.sync_faults |= stage.sync_faults;
        mixed.stage.clock_faults |= stage.clock_faults;
        if stage.disk != Place::Folder {
            mixed.stage.disk = stage.disk;
            mixed.stage.disk_mib = mixed.stage.disk_mib.max(stage.disk_mib);
        }
        mixed.load.rude_clients = mixed.load.rude_clients.max(case.load.rude_clients);
        crate::gateway::configuration::merge(&mut mixed.gateway, case.gateway.clone());
    }
    let mut queues: Vec<std::collections::VecDeque<Step>> =
        cases.iter().map(|case| case.steps.iter().flat_map(split).collect()).collect();
    while queues.iter().any(|queue| !queue.is_empty()) {
        let at = usize::try_from(random.below(queues.len() as u64)).unwrap_or_default();
        mixed.steps.extend(queues.get_mut(at).and_then(std::collections::VecDeque::pop_front));
    }
    mixed
}

/// Many kills become a few short series, so that they fall between the other's steps; waits for
/// what only one case would bring about are left out.
fn split(step: &Step) -> Vec<Step> {
    match step {
        Step::KillGateway { times, every_ms } => {
            let series = Step::KillGateway { times: (*times).min(4), every_ms: *every_ms };
            vec![series; 3]
        }
        Step::AwaitRefused { .. } | Step::AwaitTaken { .. } => {
            vec![Step::Wait { ms: Span::Between([500, 2000]) }]
        }
        step => vec![step.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::super::case;
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_round_and_no_step_is_lost() {
        let all = case::all(&case::dir()).unwrap();
        for seed in 0..50 {
            let (name, mixed) = draw(&all, seed);
            assert_eq!((name.clone(), mixed.clone()), draw(&all, seed));
            let parts: Vec<_> = name.split('+').collect();
            let expected: usize = parts
                .iter()
                .map(|part| {
                    let (_, case) = all.iter().find(|(known, _)| known == part).unwrap();
                    case.steps.iter().flat_map(split).count()
                })
                .sum();
            assert_eq!(mixed.steps.len(), expected, "{name}");
            assert!(!mixed.steps.is_empty());
        }
    }
}
