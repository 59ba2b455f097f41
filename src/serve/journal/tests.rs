//! The journal on real files: what was committed comes back, what is wrong is named.

use std::sync::Arc;

use serde_json::json;

use super::*;

fn object(name: &str, revision: u64) -> Arc<Object> {
    let json = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": name, "namespace": "shop", "uid": name, "resourceVersion": revision.to_string()}});
    Arc::new(Object::from_json(resources::CONFIG_MAPS, &json).unwrap())
}

fn change(kind: ChangeKind, name: &str, revision: u64) -> Change {
    Change {
        kind,
        object: object(name, revision),
        previous: None,
    }
}

fn names(restored: &Restored) -> Vec<String> {
    restored
        .objects
        .iter()
        .map(|object| format!("{}@{}", object.key.name, object.revision))
        .collect()
}

#[test]
fn committed_changes_come_back_and_revisions_never_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let (mut journal, restored) = Journal::open(&path).unwrap();
    assert!(restored.objects.is_empty());
    journal
        .commit(&[
            change(ChangeKind::Added, "one", 1),
            change(ChangeKind::Added, "two", 2),
            change(ChangeKind::Modified, "one", 3),
            change(ChangeKind::Deleted, "two", 4),
        ])
        .unwrap();
    drop(journal);
    let (journal, restored) = Journal::open(&path).unwrap();
    assert_eq!(names(&restored), ["one@3"]);
    assert!(restored.revision.0 >= RESERVE);
    let superseded: Vec<u64> = (journal.superseded.records.iter())
        .map(|(revision, _)| *revision)
        .collect();
    assert_eq!(superseded, [1, 2, 4]);
}

#[test]
fn the_last_changes_come_back_for_those_who_watched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let told = |restored: &Restored| -> Vec<String> {
        let told = |(kind, object): &(ChangeKind, Arc<Object>)| {
            format!("{kind:?} {}@{}", object.key.name, object.revision)
        };
        restored.history.records.iter().map(told).collect()
    };
    let (mut journal, restored) = Journal::open(&path).unwrap();
    assert_eq!(restored.history.since, Revision(0));
    journal
        .commit(&[
            change(ChangeKind::Added, "one", 1),
            change(ChangeKind::Modified, "one", 2),
            change(ChangeKind::Added, "two", 3),
            change(ChangeKind::Deleted, "one", 4),
        ])
        .unwrap();
    drop(journal);
    let (mut journal, restored) = Journal::open(&path).unwrap();
    let whole = [
        "Added one@1",
        "Modified one@2",
        "Added two@3",
        "Deleted one@4",
    ];
    assert_eq!(told(&restored), whole);
    assert_eq!(restored.history.since, Revision(0));

    // What is dropped is remembered, and what lies too far back is not read.
    journal.superseded.bytes += SUPERSEDED_BYTES_MAX;
    let first = 10;
    let many: Vec<Change> = (first..first + HISTORY_MAX)
        .map(|revision| change(ChangeKind::Added, &format!("n{revision}"), revision))
        .collect();
    journal.commit(&many).unwrap();
    assert_eq!(journal.dropped, 4);
    drop(journal);
    let (_, restored) = Journal::open(&path).unwrap();
    assert_eq!(restored.history.since, Revision(4));
    assert_eq!(told(&restored).len() as u64, HISTORY_MAX);
    assert_eq!(restored.objects.len() as u64, HISTORY_MAX + 1);
}

#[test]
fn leases_are_not_written_but_their_revisions_are_reserved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let (mut journal, _) = Journal::open(&path).unwrap();
    let lease = json!({"metadata": {"name": "n1", "resourceVersion": "250000"}});
    let lease = Change {
        kind: ChangeKind::Added,
        object: Arc::new(Object::from_json(resources::LEASES, &lease).unwrap()),
        previous: None,
    };
    journal.commit(&[lease]).unwrap();
    drop(journal);
    let (_, restored) = Journal::open(&path).unwrap();
    assert!(restored.objects.is_empty());
    assert!(restored.revision.0 > 250_000);
}

#[test]
fn superseded_records_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let (mut journal, _) = Journal::open(&path).unwrap();
    let mut revision = 0;
    for _ in 0..3 {
        let batch: Vec<Change> = (0..SUPERSEDED_MAX / 2)
            .map(|_| {
                revision += 1;
                change(ChangeKind::Modified, "busy", revision)
            })
            .collect();
        journal.commit(&batch).unwrap();
    }
    assert_eq!(journal.superseded.records.len(), SUPERSEDED_MAX);
    drop(journal);
    let (journal, restored) = Journal::open(&path).unwrap();
    assert_eq!(names(&restored), [format!("busy@{revision}")]);
    assert_eq!(journal.superseded.records.len(), SUPERSEDED_MAX);
}

#[test]
fn large_superseded_records_are_few_and_the_file_is_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let (mut journal, _) = Journal::open(&path).unwrap();
    let text = "x".repeat(1 << 20);
    let large = |revision: u64| {
        let json = json!({"metadata": {"name": "large", "resourceVersion": revision.to_string()},
            "data": {"text": text}});
        Change {
            kind: ChangeKind::Modified,
            object: Arc::new(Object::from_json(resources::CONFIG_MAPS, &json).unwrap()),
            previous: None,
        }
    };
    let batch: Vec<Change> = (1..=90).map(large).collect();
    journal.commit(&batch).unwrap();
    assert_eq!(journal.superseded.records.len(), 15);
    assert_eq!(
        journal.bytes,
        journal.superseded.bytes + length(&Record::of(&batch[89]).encode())
    );
    let size = || std::fs::metadata(&path).unwrap().len();
    let before = size();
    assert!(before > COMPACT_ABOVE_BYTES, "{before}");
    journal.compact_if_worth_it();
    assert!(size() < before / 2, "{before} → {}", size());
    journal.commit(&[large(91)]).unwrap();
    let bytes = journal.bytes;
    drop(journal);
    let (journal, restored) = Journal::open(&path).unwrap();
    assert_eq!(names(&restored), ["large@91"]);
    assert_eq!(journal.bytes, bytes);
}

#[test]
fn newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    drop(Journal::open(&path).unwrap());
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(META)
        .unwrap()
        .insert(FORMAT_KEY, 99)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Journal::open(&path).err().unwrap();
    assert!(
        matches!(error, JournalError::Newer { found: 99, .. }),
        "{error}"
    );
}

#[track_caller]
fn check_refused_unchanged(contents: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    std::fs::write(&path, contents).unwrap();
    let error = Journal::open(&path).err().unwrap();
    assert!(matches!(error, JournalError::Corrupt { .. }), "{error}");
    assert!(!error.to_string().contains('\n'));
    assert_eq!(std::fs::read(&path).unwrap(), contents);
}

#[test]
fn foreign_and_torn_files_are_refused_and_left_alone() {
    check_refused_unchanged(b"this is no store");
    check_refused_unchanged(&[0; 8192]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    drop(Journal::open(&path).unwrap());
    let whole = std::fs::read(&path).unwrap();
    check_refused_unchanged(&whole[..whole.len() / 2]);
}

#[test]
fn record_with_a_flipped_bit_is_noticed() {
    let change = change(ChangeKind::Added, "one", 1);
    let mut record = Record::of(&change).encode();
    assert!(Record::decode(&record).is_ok());
    let last = record.len() - 3;
    record[last] ^= 1;
    assert!(Record::decode(&record).is_err());
    assert!(Record::decode(&record[..3]).is_err());
}

#[test]
fn holder_is_named_when_the_store_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let holder = holder::Holder {
        pid: 4711,
        command: "bayplan serve".into(),
        server: None,
    };
    holder::write(folder.path(), &holder);
    let _open = Journal::open(&path).unwrap();
    let error = Journal::open(&path).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("is in use by process 4711 (bayplan serve);"),
        "{error}"
    );
}
