//! What was sealed before accounts had data keys, on a real SQLite file.

use sea_orm::ActiveModelTrait;

use super::*;
use crate::{
    domain::{
        account::{AccountFacts, change::Change},
        plan::{LimitOverrides, Plan},
        timestamp::Timestamp,
    },
    store::{Lease, Location},
    telemetry::Metrics,
};

const ATTEMPTS: u128 = 1_200;

async fn open(path: &std::path::Path, keys: &[[u8; 32]]) -> Store {
    let sealer = Sealer::new(keys).expect("a sealer");
    Store::open(&Location::Sqlite(path.to_owned()), Lease::of_nobody_else(), sealer, false, &Metrics::default())
        .await
        .expect("opens")
}

fn execution(of: u128) -> ExecutionUid {
    ExecutionUid::of_number(AccountUid(Uuid::from_u128(42)), i64::try_from(of).expect("fits"))
}

fn sealed_url(of: u128, sealer: &Sealer, account: Uuid) -> Vec<u8> {
    let place = attempt_context(account, execution(of).0);
    sealer.seal(place, format!("https://h.example/?key={of}").as_bytes()).expect("seals")
}

#[tokio::test]
async fn what_an_old_key_sealed_in_the_history_gets_the_data_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.db");
    let account = Uuid::from_u128(42);
    let store = open(&path, &[[1; 32]]).await;
    let mut change = Change::new(AccountUid(account), "42".parse().expect("an id"), None);
    change.facts = Some(AccountFacts {
        plan: Plan::Power,
        overrides: LimitOverrides::default(),
        ingest_identities: Vec::new(),
        run_out_limit: None,
        revision: 1,
        created_at: Timestamp(1),
        updated_at: Timestamp(1),
        deleted: false,
    });
    store.commit(&change, Timestamp(1)).await;
    store.close().await;
    // As it was before: no data key, and every URL sealed by the installation's.
    let other = sea_orm::Database::connect(format!("sqlite://{}", path.display())).await.expect("connects");
    other.execute_unprepared("UPDATE accounts SET sealed_data_key = NULL").await.expect("forgets");
    let old = Sealer::new(&[[1; 32]]).expect("a sealer");
    for of in 1..=ATTEMPTS {
        let number = i64::try_from(of).expect("fits");
        let account_no = account_key(AccountUid(account));
        let sql = format!(
            "INSERT INTO executions (account, id, source, event, admitted_window, changed_revision, created_at, run, \
             action_no, attempts, failed_actions, weight, source_kind, action, state, may_be_done, object, event_id, \
             entity_id) VALUES ({account_no}, {number}, 1, 1, -1, 1, 1, 0, 0, 1, 0, 1, 1, 2, 5, 0, 'deal', 'e{of}', '8')"
        );
        other.execute_unprepared(&sql).await.expect("inserts");
        let attempt = attempts::Model {
            account: account_no,
            execution: number,
            action_no: 0,
            number: 1,
            sealed_url: (of % 10 != 0).then(|| sealed_url(of, &old, account)),
            bytes: Vec::new(),
        };
        let attempt: attempts::ActiveModel = attempt.into();
        attempt.insert(&other).await.expect("inserts");
    }
    let sealed = ATTEMPTS - ATTEMPTS / 10;

    let store = open(&path, &[[2; 32], [1; 32]]).await;
    assert_eq!(store.sealed_by_others().await.expect("counts"), i64::try_from(sealed).expect("fits"));
    // It is cut off after two steps, and begins anew.
    let first = store.rotate_some(RotationCursor::default()).await.expect("a step");
    let second = store.rotate_some(first.next.expect("there is more")).await.expect("a step");
    assert_eq!((first.resealed, second.resealed), (500, 500));
    let (mut place, mut resealed) = (Some(RotationCursor::default()), 0);
    while let Some(from) = place {
        let step = store.rotate_some(from).await.expect("a step");
        resealed += step.resealed;
        place = step.next;
    }
    assert_eq!(u128::from(resealed), sealed - 1_000, "what is sealed already is passed over");
    assert_eq!(store.sealed_by_others().await.expect("counts"), 0);
    store.close().await;

    let store = open(&path, &[[2; 32]]).await;
    store.ensure_data_key(AccountUid(account)).await.expect("the data key");
    for row in attempts::Entity::find().all(&other).await.expect("reads") {
        let Some(sealed) = row.sealed_url else { continue };
        let of = u128::try_from(row.execution).expect("fits");
        let place = attempt_context(account, execution(of).0);
        let plain = store.sealer.open(place, &sealed).expect("opens without the old key");
        assert_eq!(plain, format!("https://h.example/?key={of}").as_bytes());
    }
    // Erasing the account takes its data key first: what is left meanwhile cannot be opened.
    other.execute_unprepared("UPDATE accounts SET deleted_at = 1").await.expect("deletes");
    store.erase_some(AccountUid(account)).await.expect("a step");
    let left: Option<accounts::Model> = accounts::Entity::find_by_id(account).one(&other).await.expect("reads");
    assert!(left.is_none_or(|account| account.sealed_data_key.is_none()));
    store.close().await;
}
