//! Every commit and every call is a place to die: before it and after it, and again during the recovery.

use std::sync::Arc;

use super::{Cloud, JobState, Kill, Life};

/// What is wrong at the end of a create that died at the given points, one life each.
pub(crate) fn create(points: &[usize]) -> (bool, Vec<String>) {
    let cloud = Cloud::with_create(2);
    let life = Life::new(Arc::clone(&cloud));
    let mut labels = Vec::new();
    let mut all_struck = true;
    for point in points {
        let kill = Kill::at(*point);
        all_struck &= !life.run(&kill, |engine| life.settled(engine, "j1"));
        labels.push(format!("{point} ({})", kill.label.lock().unwrap()));
    }
    life.until_settled("j1");
    let mut flaws = cloud.flaws_standing(2);
    let job = cloud.job("j1");
    if job.state != JobState::Completed || job.settled != 1 {
        flaws.push(format!("job: {:?} {} times, {:?}", job.state, job.settled, job.settlement));
    }
    let rows = life.journal().ledger_live().unwrap();
    if rows.len() != 3 || rows.iter().any(|row| row.external_id.is_none()) {
        flaws.push(format!("ledger: {rows:?}"));
    }
    (all_struck, flaws.into_iter().map(|flaw| format!("killed at {}: {flaw}", labels.join(", "))).collect())
}

/// A create dies, its job is timed out by the queue, and a delete comes instead, which dies too.
pub(crate) fn replaced_by_delete(points: &[usize]) -> (bool, Vec<String>) {
    let cloud = Cloud::with_create(2);
    let life = Life::new(Arc::clone(&cloud));
    let kill = Kill::at(points[0]);
    let struck = !life.run(&kill, |engine| life.settled(engine, "j1"));
    cloud.time_out("j1");
    cloud.ask("j2", "s1", "delete", None);
    for point in &points[1..] {
        life.run(&Kill::at(*point), |engine| life.settled(engine, "j2"));
    }
    life.until_settled("j2");
    let mut flaws = cloud.flaws_empty();
    if cloud.job("j2").state != JobState::Completed {
        flaws.push(format!("job: {:?}", cloud.job("j2")));
    }
    let rows = life.journal().ledger_live().unwrap();
    if !rows.is_empty() {
        flaws.push(format!("ledger: {rows:?}"));
    }
    (struck, flaws.into_iter().map(|flaw| format!("killed at {points:?}: {flaw}")).collect())
}

/// A create fails for good, is undone, and dies on the way.
pub(crate) fn undone(points: &[usize]) -> (bool, Vec<String>) {
    let cloud = Cloud::with_create(2);
    let fault = agentkube_contract::Fault::invalid("BROKEN", "it will never join");
    cloud.fail("addons-healthy", u32::MAX, fault);
    let life = Life::new(Arc::clone(&cloud));
    let mut struck = true;
    for point in points {
        struck &= !life.run(&Kill::at(*point), |engine| life.settled(engine, "j1"));
    }
    life.until_settled("j1");
    let mut flaws = cloud.flaws_empty();
    let job = cloud.job("j1");
    if job.state != JobState::Failed || job.settled != 1 {
        flaws.push(format!("job: {job:?}"));
    }
    if !life.journal().ledger_live().unwrap().is_empty() {
        flaws.push("ledger rows are left".to_owned());
    }
    (struck, flaws.into_iter().map(|flaw| format!("killed at {points:?}: {flaw}")).collect())
}

/// Runs a scenario with every first point, until one lies beyond its end.
pub(crate) fn every_point(scenario: impl Fn(&[usize]) -> (bool, Vec<String>)) -> (usize, Vec<String>) {
    let mut flaws = Vec::new();
    for point in 1.. {
        let (struck, found) = scenario(&[point]);
        flaws.extend(found);
        if !struck {
            return (point - 1, flaws);
        }
    }
    (0, flaws)
}

#[cfg(not(any(feature = "sabotage-find", feature = "sabotage-intent", feature = "sabotage-undo")))]
mod tests {
    use super::*;

    fn assert_whole(what: &str, (points, flaws): (usize, Vec<String>), least: usize) {
        println!("{what}: {points} points");
        assert!(points >= least, "{what}: only {points} points were tried");
        assert!(flaws.is_empty(), "{what}:\n{}", flaws.join("\n"));
    }

    #[test]
    fn a_create_that_dies_anywhere_ends_with_each_machine_once() {
        assert_whole("create", every_point(create), 100);
    }

    #[test]
    fn a_create_that_dies_anywhere_and_is_deleted_leaves_nothing() {
        assert_whole("delete", every_point(replaced_by_delete), 100);
    }

    #[test]
    fn an_undo_that_dies_anywhere_leaves_nothing() {
        assert_whole("undo", every_point(undone), 100);
    }

    #[test]
    fn dying_again_during_the_recovery_changes_nothing() {
        for first in (1..120).step_by(9) {
            for second in [1, 4, 7, 10, 15, 21, 30] {
                let flaws: Vec<String> = [create(&[first, second]), replaced_by_delete(&[first, second, second + 3])]
                    .into_iter()
                    .chain([undone(&[first, second])])
                    .flat_map(|(_, flaws)| flaws)
                    .collect();
                assert!(flaws.is_empty(), "{}", flaws.join("\n"));
            }
        }
    }
}
