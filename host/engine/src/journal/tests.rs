use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentkube_contract::{
    Answer, Holder, Item, Ledger, Locator, Reference, References, Reservations, ServiceKey, State,
};

use super::{Journal, Options};
use crate::Error;
use crate::testing::clock;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

struct File {
    directory: tempfile::TempDir,
}

impl File {
    fn new() -> File {
        File { directory: tempfile::tempdir().unwrap() }
    }

    fn options() -> Options {
        let mut options = Options::new("dc1", clock());
        options.ranges.insert("ids".into(), "100-102".into());
        options
    }

    fn open(&self) -> Journal {
        self.open_with(File::options()).unwrap()
    }

    fn open_with(&self, options: Options) -> crate::Result<Journal> {
        Journal::open(&self.directory.path().join("journal"), options)
    }
}

fn holder(plugin: &str, service: Option<&str>) -> Holder {
    Holder {
        plugin: plugin.into(),
        digest: "sha256:1".into(),
        service: service.map(|service| ServiceKey { source: "core".into(), service: service.into() }),
    }
}

fn intend(journal: &Journal, holder: &Holder, name: &str) -> Item {
    block_on(journal.intend(holder, "machine", name, "{}")).unwrap()
}

fn code<T: std::fmt::Debug>(outcome: agentkube_contract::Result<T>) -> String {
    outcome.unwrap_err().code
}

#[test]
fn a_row_is_declared_once_lives_and_goes() {
    let file = File::new();
    let journal = file.open();
    let me = holder("iron", Some("s1"));
    let row = intend(&journal, &me, "a");
    assert_eq!((row.state, intend(&journal, &me, "a").entry), (State::Intended, row.entry));
    // The same name is another row for another plugin, and for another service.
    assert_ne!(intend(&journal, &holder("steel", Some("s1")), "a").entry, row.entry);
    assert_ne!(intend(&journal, &holder("iron", Some("s2")), "a").entry, row.entry);
    assert_ne!(intend(&journal, &holder("iron", None), "a").entry, row.entry);

    block_on(journal.note(&me, row.entry, b"task 7".to_vec())).unwrap();
    block_on(journal.created(&me, row.entry, "vm-1")).unwrap();
    block_on(journal.created(&me, row.entry, "vm-1")).unwrap();
    assert_eq!(code(block_on(journal.created(&me, row.entry, "vm-2"))), "OTHER_ID");
    let mine = block_on(journal.mine(&me, "machine")).unwrap();
    assert_eq!(mine.len(), 1);
    assert_eq!((mine[0].state, mine[0].external_id.as_deref()), (State::Live, Some("vm-1")));
    assert_eq!(mine[0].note.as_deref(), Some(&b"task 7"[..]));

    block_on(journal.gone(&me, row.entry)).unwrap();
    block_on(journal.gone(&me, row.entry)).unwrap();
    assert_eq!(block_on(journal.mine(&me, "machine")).unwrap(), []);
    assert_eq!(code(block_on(journal.created(&me, row.entry, "vm-1"))), "ENTRY_GONE");
    assert_eq!(code(block_on(journal.sent(&me, row.entry, "POST /"))), "ENTRY_GONE");
    let again = intend(&journal, &me, "a");
    assert_eq!((again.entry, again.state, again.external_id, again.note), (row.entry, State::Intended, None, None));
}

#[test]
fn a_row_is_its_holders_alone() {
    let file = File::new();
    let journal = file.open();
    let row = intend(&journal, &holder("iron", Some("s1")), "a");
    for other in [holder("steel", Some("s1")), holder("iron", Some("s2")), holder("iron", None)] {
        assert_eq!(code(block_on(journal.sent(&other, row.entry, "POST /"))), "NOT_YOUR_ENTRY");
        assert_eq!(code(block_on(journal.gone(&other, row.entry))), "NOT_YOUR_ENTRY");
        assert_eq!(code(block_on(journal.note(&other, row.entry, Vec::new()))), "NOT_YOUR_ENTRY");
        assert_eq!(code(block_on(journal.take(&other, "ids", row.entry))), "NOT_YOUR_ENTRY");
    }
}

#[test]
fn a_doubt_stays_until_its_own_answer_over_a_restart_too() {
    let file = File::new();
    let me = holder("iron", Some("s1"));
    let answer = |request: &str| Answer { request: request.into(), status: 200, body: vec![b'x'; 70_000], at: 5 };
    let entry = {
        let journal = file.open();
        let entry = intend(&journal, &me, "a").entry;
        block_on(journal.sent(&me, entry, "POST /clone")).unwrap();
        block_on(journal.sent(&me, entry, "PUT /config")).unwrap();
        block_on(journal.answered(&me, entry, answer("PUT /config"))).unwrap();
        entry
    };
    let journal = file.open();
    let row = intend(&journal, &me, "a");
    assert_eq!(row.in_doubt.as_deref(), Some("POST /clone"));
    let last = row.last_answer.unwrap();
    assert_eq!((last.request.as_str(), last.status, last.body.len()), ("PUT /config", 200, Answer::LIMIT));
    // A request that never left is no doubt; an answer ends one; a known id ends all.
    block_on(journal.unsent(&me, entry, "POST /clone")).unwrap();
    assert_eq!(intend(&journal, &me, "a").in_doubt, None);
    block_on(journal.sent(&me, entry, "POST /clone")).unwrap();
    block_on(journal.created(&me, entry, "vm-1")).unwrap();
    assert_eq!(intend(&journal, &me, "a").in_doubt, None);
    assert_eq!(journal.counts().unwrap().in_doubt, 0);
}

#[test]
fn reservations_are_idempotent_burn_and_run_out() {
    let file = File::new();
    let journal = file.open();
    let me = holder("iron", Some("s1"));
    let take = |entry| block_on(journal.take(&me, "ids", entry));
    let (a, b, c) = (intend(&journal, &me, "a"), intend(&journal, &me, "b"), intend(&journal, &me, "c"));
    assert_eq!((take(a.entry).unwrap(), take(a.entry).unwrap()), ("100".into(), "100".into()));
    assert_eq!(take(b.entry).unwrap(), "101");
    block_on(journal.reject(&me, "ids", a.entry, "100")).unwrap();
    assert_eq!(take(a.entry).unwrap(), "102");
    assert_eq!(code(take(c.entry)), "RANGE_EXHAUSTED");
    block_on(journal.gone(&me, b.entry)).unwrap();
    assert_eq!(take(c.entry).unwrap(), "101");
    assert_eq!(code(take(b.entry)), "ENTRY_GONE");
    assert_eq!(code(block_on(journal.take(&me, "addresses", a.entry))), "UNKNOWN_RANGE");
}

#[test]
fn references_name_locators_of_their_service_alone() {
    let file = File::new();
    let me = holder("cp", Some("s1"));
    let locator = Locator::KubeSecret {
        connection: "admin".into(),
        namespace: "n".into(),
        name: "kubeconfig".into(),
        key: "admin.conf".into(),
    };
    let reference = block_on(file.open().put(&me, &locator)).unwrap();
    let journal = file.open();
    assert_eq!(block_on(journal.put(&me, &locator)).unwrap(), reference);
    // Another plugin may use it, where the grants say so: it is told whose it is.
    let found = block_on(journal.get(&holder("iron", Some("s1")), &reference)).unwrap();
    assert_eq!(found, Some(("cp".to_owned(), locator.clone())));
    assert_eq!(block_on(journal.get(&holder("cp", Some("s2")), &reference)).unwrap(), None);
    assert_eq!(block_on(journal.get(&holder("cp", None), &reference)).unwrap(), None);
    assert_eq!(block_on(journal.get(&me, &Reference("ref-x".into()))).unwrap(), None);
    assert_ne!(block_on(journal.put(&holder("cp", Some("s2")), &locator)).unwrap(), reference);
}

#[test]
fn a_file_of_another_installation_or_a_newer_version_is_refused() {
    let file = File::new();
    drop(file.open());
    let other = Options::new("dc2", clock());
    assert!(matches!(file.open_with(other), Err(Error::Installation { found, .. }) if found == "dc1"));
    drop(file.open());
    let raw = rusqlite::Connection::open(file.directory.path().join("journal")).unwrap();
    raw.execute("UPDATE meta SET value = '999' WHERE key = 'schema'", []).unwrap();
    assert!(matches!(file.open_with(File::options()), Err(Error::Schema { found: 999, .. })));
}

#[test]
fn a_change_to_the_past_shows_in_the_audit() {
    let file = File::new();
    let journal = file.open();
    let me = holder("iron", Some("s1"));
    for name in ["a", "b", "c"] {
        let entry = intend(&journal, &me, name).entry;
        block_on(journal.created(&me, entry, name)).unwrap();
    }
    assert_eq!(journal.audit().unwrap().len(), 3);
    assert_eq!(journal.audit_broken_at().unwrap(), None);
    let raw = rusqlite::Connection::open(file.directory.path().join("journal")).unwrap();
    raw.execute("UPDATE audit SET detail = 'machine b = z' WHERE id = 2", []).unwrap();
    assert_eq!(journal.audit_broken_at().unwrap(), Some(2));
    raw.execute("DELETE FROM audit WHERE id = 2", []).unwrap();
    assert_eq!(journal.audit_broken_at().unwrap(), Some(3));
}

#[test]
fn requests_share_commits_and_one_that_fails_spoils_no_other() {
    let commits = Arc::new(AtomicUsize::new(0));
    let file = File::new();
    let mut options = File::options();
    let count = Arc::clone(&commits);
    options.hook = Some(Arc::new(move |label| {
        if label == "before commit" {
            count.fetch_add(1, Ordering::SeqCst);
            // Long enough for the others to queue up behind the first.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        true
    }));
    let journal = file.open_with(options).unwrap();
    let me = holder("iron", Some("s1"));
    let wishes = (0..200).map(|n| {
        let (journal, me) = (journal.clone(), me.clone());
        async move {
            match n {
                100 => journal.gone(&me, 4711).await.map(|()| 0),
                _ => journal.intend(&me, "machine", &format!("m{n}"), "").await.map(|row| row.entry),
            }
        }
    });
    let outcomes = block_on(futures::future::join_all(wishes));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);
    assert!(commits.load(Ordering::SeqCst) < 20, "{commits:?} commits");
    drop(journal);
    assert_eq!(block_on(file.open().mine(&me, "machine")).unwrap().len(), 199);
}

#[test]
fn what_was_answered_is_there_after_the_writer_died() {
    for death in 1..12 {
        let file = File::new();
        let mut options = File::options();
        options.batch = 1;
        let passed = AtomicUsize::new(0);
        options.hook = Some(Arc::new(move |_| passed.fetch_add(1, Ordering::SeqCst) + 1 < death));
        let journal = file.open_with(options).unwrap();
        let me = holder("iron", Some("s1"));
        let answered: Vec<bool> =
            (0..8).map(|n| block_on(journal.intend(&me, "machine", &format!("m{n}"), "")).is_ok()).collect();
        drop(journal);
        let stored = block_on(file.open().mine(&me, "machine")).unwrap().len();
        let acknowledged = answered.iter().filter(|ok| **ok).count();
        assert!(stored == acknowledged || stored == acknowledged + 1, "{stored} stored, {acknowledged} answered");
    }
}

#[test]
fn the_file_is_flushed_at_every_commit() {
    let file = File::new();
    let journal = file.open();
    let pragma = |name: &str| -> String {
        journal
            .read(|connection| {
                Ok(connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))?)
            })
            .map(|value| format!("{value:?}"))
            .unwrap()
    };
    assert_eq!(pragma("journal_mode"), r#"Text("wal")"#);
    assert_eq!(pragma("synchronous"), "Integer(2)");
}

#[test]
fn a_journal_has_one_process() {
    let file = File::new();
    let journal = file.open();
    assert!(matches!(file.open_with(File::options()), Err(Error::Locked(_))));
    drop(journal);
    file.open();
}

#[test]
fn a_damaged_file_is_refused_with_its_code() {
    let file = File::new();
    let path = file.directory.path().join("journal");
    let me = holder("iron", Some("s1"));
    let journal = file.open();
    for n in 0..200 {
        intend(&journal, &me, &format!("machine-{n}"));
    }
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    let mut scribbled = whole.clone();
    scribbled[4096..8192].fill(0xa5);
    for (what, bytes) in [
        ("another file", b"not a database, but long enough to be taken for one: ".repeat(100)),
        ("cut off", whole[..whole.len() / 2].to_vec()),
        ("scribbled over", scribbled),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = file.open_with(File::options()).err().unwrap_or_else(|| panic!("{what} was opened"));
        assert_eq!(error.code(), "JOURNAL_BROKEN", "{what}: {error}");
        assert!(error.to_string().contains("is damaged: "), "{error}");
    }
    std::fs::write(&path, whole).unwrap();
    file.open();
}

#[test]
fn a_file_that_is_not_in_its_place_takes_no_writes() {
    let file = File::new();
    let journal = file.open();
    let me = holder("iron", Some("s1"));
    let before = intend(&journal, &me, "a");
    let (here, away) = (file.directory.path().join("journal"), file.directory.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    assert_eq!(journal.trouble().unwrap().code(), "JOURNAL_GONE");
    assert_eq!(code(block_on(journal.intend(&me, "machine", "b", "{}"))), "JOURNAL_GONE");
    // Another file in its place is not it.
    std::fs::copy(&away, &here).unwrap();
    assert_eq!(code(block_on(journal.intend(&me, "machine", "b", "{}"))), "JOURNAL_GONE");
    std::fs::rename(&away, &here).unwrap();
    assert!(journal.trouble().is_none());
    assert_eq!(intend(&journal, &me, "a").entry, before.entry);
    intend(&journal, &me, "b");
}
