//! Every receipt of the journal, on a real SQLite file whose triggers refuse what the test wants refused.

use std::{collections::HashSet, sync::Arc};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, EntityTrait,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use uuid::Uuid;

use super::*;
use crate::{
    domain::{
        account::AccountFacts,
        event::Event,
        execution::{NewExecution, Progress, record::Record},
        id::{EventId, ExecutionUid},
        plan::{LimitOverrides, Plan},
        source::SourceKind,
    },
    store::{
        Lease, Location, Store,
        entities::{accounts, executions},
        read::CHANGED_SQL,
        together::{paused_sql, running_sql, waiting_sql},
        write::statements::known_events_sql,
    },
};

struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    other: DatabaseConnection,
}

/// A store, and another connection to its file.
async fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.db");
    let store = Store::open(
        &Location::Sqlite(path.clone()),
        Lease::of_nobody_else(),
        Sealer::new(&[[1; 32]]).expect("a sealer"),
        false,
        &Metrics::default(),
    )
    .await
    .expect("opens");
    let other = sea_orm::Database::connect(format!("sqlite://{}", path.display())).await.expect("connects");
    Bench { folder, store, other }
}

impl Bench {
    async fn sql(&self, sql: &str) {
        self.other.execute_unprepared(sql).await.expect(sql);
    }

    async fn commit(&self, change: &Change) -> Receipt {
        self.store.commit(change, Timestamp(1)).await
    }

    /// The ids of the stored events.
    async fn stored(&self) -> Vec<String> {
        let found = executions::Entity::find().all(&self.other).await.expect("reads");
        let mut ids: Vec<_> = found.into_iter().map(|event| event.event_id).collect();
        ids.sort();
        ids
    }
}

fn change(account: u128, expected: Option<i64>, events: &[&str]) -> Change {
    let id = format!("{account}").parse().expect("an id");
    let mut change = Change::new(AccountUid(Uuid::from_u128(account)), id, expected);
    if expected.is_none() {
        let (created_at, updated_at) = (Timestamp(1), Timestamp(1));
        change.facts = Some(AccountFacts {
            plan: Plan::Power,
            overrides: LimitOverrides::default(),
            ingest_identities: Vec::new(),
            run_out_limit: None,
            revision: 1,
            created_at,
            updated_at,
            deleted: false,
        });
    }
    for id in events {
        add(&mut change, id);
    }
    change
}

/// An event, and an execution that it causes.
fn add(change: &mut Change, id: &str) {
    let event = Arc::new(Event::sample(id));
    change.executions.push(NewExecution {
        uid: ExecutionUid::new(change.account, crate::clock::uuid()),
        source_kind: SourceKind::Automation,
        source: Uuid::from_u128(7),
        event_id: event.id.clone(),
        run: 0,
        object: event.object.clone(),
        action: event.action,
        entity_id: event.entity_id.clone(),
        acting_user: None,
        retry_of: None,
        is_caused: false,
        created_at: Timestamp(1),
        progress: Progress::begin(),
        record: Arc::new(Record::unreadable()),
        event: None,
    });
    change.events.push(event);
}

#[tokio::test]
async fn each_change_has_its_receipt() {
    let bench = bench().await;
    assert!(matches!(bench.commit(&change(1, None, &["a"])).await, Receipt::Committed));
    assert!(matches!(bench.commit(&change(1, None, &["b"])).await, Receipt::Stale), "the account exists");
    assert!(matches!(bench.commit(&change(1, Some(7), &["b"])).await, Receipt::Stale), "another revision");
    let duplicate = bench.commit(&change(1, Some(1), &["a", "b"])).await;
    assert!(matches!(duplicate, Receipt::Duplicate(known) if known.iter().map(EventId::as_str).eq(["a"])));
    assert_eq!(bench.stored().await, ["a"], "none of these wrote anything");
    assert!(matches!(bench.commit(&change(1, Some(1), &["b"])).await, Receipt::Committed));
    assert!(matches!(bench.commit(&change(1, Some(1), &["c"])).await, Receipt::Stale), "the revision has advanced");
    bench.store.journal.fence(AccountUid(Uuid::from_u128(1))).await.expect("fences");
    assert!(matches!(bench.commit(&change(1, Some(2), &["c"])).await, Receipt::Stale), "nothing lands past a fence");
    assert_eq!(bench.stored().await, ["a", "b"]);
}

/// Whoever loads an account of which anything may be unfinished takes a revision of its own first.
#[tokio::test]
async fn nothing_decided_before_lands_after_a_load() {
    let bench = bench().await;
    let id = "1".parse().expect("an id");
    let load = async |in_doubt: bool| {
        let read = bench.store.load_account(&id, &HashSet::new(), in_doubt).await.expect("reads").expect("an account");
        read.loaded.revision
    };
    assert!(matches!(bench.commit(&change(1, None, &[])).await, Receipt::Committed));
    assert_eq!(load(false).await, 1, "nothing is unfinished");
    bench.sql("UPDATE accounts SET next_due_at = 5").await;
    assert_eq!(load(false).await, 2);
    assert!(matches!(bench.commit(&change(1, Some(1), &["a"])).await, Receipt::Stale), "it was decided before");
    bench.sql("UPDATE accounts SET next_due_at = NULL").await;
    assert_eq!(load(true).await, 3, "a doubt is left");
    assert!(matches!(bench.commit(&change(1, Some(2), &["a"])).await, Receipt::Stale));
    assert!(matches!(bench.commit(&change(1, Some(3), &["a"])).await, Receipt::Committed));
}

/// An account is in a group once: its second change is decided on the first.
#[tokio::test]
async fn two_changes_of_an_account_are_never_in_one_group() {
    let bench = bench().await;
    assert!(matches!(bench.commit(&change(1, None, &[])).await, Receipt::Committed));
    let (first, second) = (change(1, Some(1), &["a"]), change(1, Some(1), &["b"]));
    let receipts = tokio::join!(bench.commit(&first), bench.commit(&second));
    assert!(matches!(receipts, (Receipt::Committed, Receipt::Stale)), "{receipts:?}");
    assert_eq!(bench.stored().await, ["a"]);
}

/// Statements that run with every commit or load must find what they need by an index, however much there is.
#[tokio::test]
async fn hot_statements_never_read_whole_tables() {
    let bench = bench().await;
    let sqlite = sea_orm::DbBackend::Sqlite;
    for (sql, index) in [
        (known_events_sql(sqlite, 3), "executions_event_hash (event=?)"),
        (CHANGED_SQL.to_owned(), "executions_changed (account=? AND changed_revision>? AND changed_revision<?)"),
        (waiting_sql(sqlite, 2), "executions_due (account=? AND waits_for=? AND due_at>?)"),
        (paused_sql(sqlite, 2), "executions_due (account=? AND waits_for=? AND due_at>?)"),
        (paused_sql(sqlite, 2), "executions_account (account=?)"),
        (running_sql(sqlite, 2), "executions_due (account=? AND waits_for=? AND due_at=?)"),
    ] {
        let explain = Statement::from_string(sea_orm::DbBackend::Sqlite, format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = bench.other.query_all_raw(explain).await.expect("explains");
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").expect("text")).collect();
        assert!(plan.iter().any(|step| step.contains(index)), "{sql}: {plan:?}");
        let is_slow = |step: &String| step.starts_with("SCAN e") || step.contains("TEMP B-TREE FOR ORDER BY");
        assert!(!plan.iter().any(is_slow), "{sql}: {plan:?}");
    }
}

#[tokio::test]
async fn one_bad_change_never_fails_its_group() {
    let bench = bench().await;
    bench
        .sql("CREATE TRIGGER poison BEFORE INSERT ON executions WHEN NEW.event_id = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END")
        .await;
    // On this one thread the journal sees all three before it writes: they are one group.
    let (first, bad, last) = (change(1, None, &["a"]), change(2, None, &["poison"]), change(3, None, &["b"]));
    let receipts = tokio::join!(bench.commit(&first), bench.commit(&bad), bench.commit(&last));
    assert!(
        matches!(receipts, (Receipt::Committed, Receipt::Refused(_), Receipt::Committed)),
        "each for itself: {receipts:?}"
    );
    assert_eq!(bench.stored().await, ["a", "b"]);
    assert_eq!(accounts::Entity::find().all(&bench.other).await.expect("reads").len(), 2);
}

#[tokio::test]
async fn a_commit_that_fails_at_its_end_leaves_a_doubt_and_no_open_transaction() {
    let bench = bench().await;
    bench.sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)").await;
    bench.sql("CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)").await;
    bench.sql("CREATE TRIGGER doubt AFTER INSERT ON executions BEGIN INSERT INTO child VALUES (1); END").await;
    assert!(matches!(bench.commit(&change(1, None, &["a"])).await, Receipt::Unknown(_)));
    bench.sql("DROP TRIGGER doubt").await;
    assert!(matches!(bench.commit(&change(1, None, &["a"])).await, Receipt::Committed));
    assert_eq!(bench.stored().await, ["a"]);
}

/// How many pages the writer of the test below may use.
const PAGES_MAX: u32 = 400;

/// A disk that is full makes SQLite end the transaction by itself. Whatever follows is in the file if it is acknowledged.
#[tokio::test]
async fn nothing_that_is_acknowledged_after_a_full_disk_is_lost() {
    let bench = bench().await;
    let options = SqliteConnectOptions::new().filename(bench.folder.path().join("test.db"));
    let options = options.journal_mode(SqliteJournalMode::Wal).pragma("max_page_count", PAGES_MAX.to_string());
    // Some changes are larger than the cache, so that the transaction is in the log already when the disk is full.
    let options = options.pragma("cache_size", "20");
    let sealer = Arc::new(Sealer::new(&[[1; 32]]).expect("a sealer"));
    let journal = Journal::start(vec![WriterOptions::Sqlite(options)], sealer, bench.store.hash, &Metrics::default());
    bench.sql("CREATE TABLE ballast (bytes BLOB)").await;
    let mut committed = Vec::new();
    let mut revisions = [None::<i64>; 4];
    let (mut full, mut at) = (0, 0);
    for round in 0..24_u32 {
        if round % 8 == 4 {
            bench.sql("INSERT INTO ballast VALUES (zeroblob(2000000))").await;
        } else if round % 8 == 0 {
            bench.sql("DELETE FROM ballast").await;
        }
        for (account, known) in (1_u128..).zip(&mut revisions) {
            at += 1;
            let id = format!("e{at}");
            let mut change = change(account, *known, &[&id]);
            if account % 2 == 0 {
                let many: Vec<_> = (0..200).map(|no| format!("{id}-{no}-{}", "x".repeat(150))).collect();
                many.iter().for_each(|id| add(&mut change, id));
            }
            let ids: Vec<_> = change.events.iter().map(|event| event.id.to_string()).collect();
            match journal.commit(&change, Timestamp(1)).await {
                Receipt::Committed => {
                    committed.extend(ids);
                    *known = Some(change.revision);
                }
                Receipt::Failed(_) | Receipt::Unknown(_) => {
                    full += 1;
                    if let Some(revision) = known
                        && journal.fence(change.account).await.is_ok()
                    {
                        *revision += 1;
                    }
                }
                other => panic!("round {round}: {other:?}"),
            }
        }
        let stored = bench.stored().await;
        assert!(committed.iter().all(|id| stored.contains(id)), "round {round}: what is acknowledged is in the file");
    }
    assert!(full >= 8, "the disk was full: {full}");
    let whole = revisions.iter().all(Option::is_some);
    assert!(whole && committed.len() > 1_000, "and it went on by itself: {}", committed.len());
}
