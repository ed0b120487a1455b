//! Every receipt of the journal, on a real SQLite file whose triggers refuse what the test wants refused.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseConnection};
use uuid::Uuid;

use super::*;
use crate::{
    domain::{
        account::AccountFacts,
        event::Event,
        plan::{LimitOverrides, Plan},
    },
    store::{Location, Store, changes::CHANGED_SQL, load::RUNNING_SQL, statements::known_events_sql},
};

struct Bench {
    _folder: tempfile::TempDir,
    store: Store,
    other: DatabaseConnection,
}

/// A store, and another connection to its file.
async fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.db");
    let store =
        Store::open(&Location::Sqlite(path.clone()), Sealer::new(&[[1; 32]]).expect("a sealer"), &Metrics::default())
            .await
            .expect("opens");
    let other = sea_orm::Database::connect(format!("sqlite://{}", path.display())).await.expect("connects");
    Bench { _folder: folder, store, other }
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
        let found = events::Entity::find().all(&self.other).await.expect("reads");
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
            run_out_limit: None,
            revision: 1,
            created_at,
            updated_at,
            deleted: false,
        });
    }
    change.events = events.iter().map(|id| Arc::new(Event::sample(id))).collect();
    change
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

/// Statements that run with every commit or load must find what they need by an index, however much there is.
#[tokio::test]
async fn hot_statements_never_read_whole_tables() {
    let bench = bench().await;
    for (sql, index) in [
        (known_events_sql(sea_orm::DbBackend::Sqlite, 3), "sqlite_autoindex_events_1 (account_uid=? AND event_id=?)"),
        (CHANGED_SQL.to_owned(), "executions_changed (account_uid=? AND changed_revision>? AND changed_revision<?)"),
        (RUNNING_SQL.to_owned(), "executions_due (account_uid=? AND next_webhook=? AND due_at=?)"),
    ] {
        let explain = Statement::from_string(sea_orm::DbBackend::Sqlite, format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = bench.other.query_all_raw(explain).await.expect("explains");
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").expect("text")).collect();
        assert!(plan.iter().any(|step| step.contains(index)), "{sql}: {plan:?}");
        let is_slow = |step: &String| step.starts_with("SCAN e") || step.contains("TEMP B-TREE FOR ORDER BY");
        assert!(!plan.iter().any(is_slow) || sql == RUNNING_SQL, "{sql}: {plan:?}");
    }
}

#[tokio::test]
async fn one_bad_change_never_fails_its_group() {
    let bench = bench().await;
    bench
        .sql("CREATE TRIGGER poison BEFORE INSERT ON events WHEN NEW.event_id = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END")
        .await;
    // On this one thread the journal sees all three before it writes: they are one group.
    let (first, bad, last) = (change(1, None, &["a"]), change(2, None, &["poison"]), change(3, None, &["b"]));
    let receipts = tokio::join!(bench.commit(&first), bench.commit(&bad), bench.commit(&last));
    assert!(
        matches!(receipts, (Receipt::Committed, Receipt::Failed(_), Receipt::Committed)),
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
    bench.sql("CREATE TRIGGER doubt AFTER INSERT ON events BEGIN INSERT INTO child VALUES (1); END").await;
    assert!(matches!(bench.commit(&change(1, None, &["a"])).await, Receipt::Unknown(_)));
    bench.sql("DROP TRIGGER doubt").await;
    assert!(matches!(bench.commit(&change(1, None, &["a"])).await, Receipt::Committed));
    assert_eq!(bench.stored().await, ["a"]);
}
