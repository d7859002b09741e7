//! The crash suite must be able to fail: with a safeguard switched off by a test-only feature it reports violations.

#[cfg(feature = "sabotage-find")]
#[test]
fn without_find_before_create_machines_are_made_twice() {
    let (_, flaws) = super::crash::every_point(super::crash::create);
    assert!(flaws.iter().any(|flaw| flaw.contains("machines twice")), "the suite saw nothing: {flaws:?}");
}

#[cfg(feature = "sabotage-intent")]
#[test]
fn without_a_row_before_the_call_machines_are_left_behind() {
    let (_, flaws) = super::crash::every_point(super::crash::replaced_by_delete);
    assert!(flaws.iter().any(|flaw| flaw.contains("machines left")), "the suite saw nothing: {flaws:?}");
}

#[cfg(feature = "sabotage-undo")]
#[test]
fn without_the_undo_of_machines_machines_are_left_behind() {
    let (_, flaws) = super::crash::every_point(super::crash::undone);
    assert!(flaws.iter().any(|flaw| flaw.contains("machines left")), "the suite saw nothing: {flaws:?}");
}
