//! The journal's wide statements: one a table for a whole group of changes.

use std::collections::{HashMap, HashSet};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Statement,
    Value,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::{
    prepared::{ExpiredKeys, Prepared},
    wide::{Cell, Kind, Wide, WideTask},
    writer::Writer,
};
use crate::{
    domain::id::{AccountUid, EventId},
    store::{
        entities::{
            accounts, activations, answers, attempts, audit, automations, catalogue, executions, jobs, notices, parts,
            webhooks,
        },
        numbers::{KEYS_MAX, numbers_of, padded, places},
        rows::{
            ExecutionRow,
            keys::{PartKind, RowKey, account_key, key_of, part_key},
        },
    },
};

/// Looks up so many hashes of events.
pub fn known_events_sql(backend: DbBackend, hashes: usize) -> String {
    format!("SELECT account, event_id FROM executions WHERE event IN ({})", places(backend, 0, hashes))
}

/// Which of the changes' events are stored already, by account.
pub async fn known_events(txn: &Writer, changes: &[Box<Prepared>]) -> Result<HashMap<Uuid, HashSet<EventId>>, DbErr> {
    let hashes: Vec<i64> = changes.iter().flat_map(|change| &change.events).map(|(hash, _)| *hash).collect();
    let mut found: Vec<(i64, String)> = Vec::new();
    for chunk in hashes.chunks(KEYS_MAX) {
        let chunk = padded(chunk);
        let sql = known_events_sql(txn.get_database_backend(), chunk.len());
        let values: Vec<Value> = chunk.into_iter().map(Value::from).collect();
        let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
        for row in txn.query_all_raw(statement).await? {
            found.push((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        }
    }
    // Another event may have the same hash.
    let found: HashSet<(i64, &str)> = found.iter().map(|(account, event)| (*account, event.as_str())).collect();
    let mut known: HashMap<Uuid, HashSet<EventId>> = HashMap::new();
    for change in changes.iter().filter(|_| !found.is_empty()) {
        let account = account_key(change.account);
        let is_found = |id: &&String| found.contains(&(account, id.as_str()));
        for id in change.events.iter().map(|(_, id)| id).filter(is_found) {
            known.entry(change.account.0).or_default().extend(id.parse::<EventId>().ok());
        }
    }
    Ok(known)
}

static ADVANCE: Wide = Wide::new(
    &[
        ("uid", Kind::Uuid),
        ("revision", Kind::Long),
        ("revision", Kind::Long),
        ("window_no", Kind::Long),
        ("window_start", Kind::Long),
        ("window_used", Kind::Long),
        ("next_due_at", Kind::Long),
        ("paused", Kind::Long),
        ("counts", Kind::Text),
        ("expires_at", Kind::Long),
        ("expired_revision", Kind::Long),
    ],
    WideTask::Update { table: "accounts", keys: 2, kept: &[], returning: Some("uid") },
);

/// Creates accounts, and compares and advances the revisions of the others. Answers which were as expected.
pub async fn advance_accounts(txn: &Writer, changes: &[&Prepared]) -> Result<HashSet<Uuid>, DbErr> {
    let mut advanced = HashSet::new();
    for created in changes.iter().filter_map(|change| change.created.as_ref()) {
        let insert = accounts::Entity::insert(created.clone().into_active_model())
            .on_conflict(OnConflict::new().do_nothing().to_owned());
        if insert.exec_without_returning(txn).await? == 1 {
            advanced.insert(created.uid);
        }
    }
    let mut cells = Vec::with_capacity(changes.len() * ADVANCE.columns.len());
    for (change, expected) in changes.iter().filter_map(|change| Some((change, change.expected?))) {
        let step = &change.change;
        cells.extend([
            Cell::Uuid(Some(change.account.0)),
            expected.into(),
            step.revision.into(),
            step.window_no.into(),
            step.window_start.into(),
            step.window_used.into(),
            Cell::Long(step.next_due_at),
            step.paused.into(),
            step.counts.as_str().into(),
            Cell::Long(step.expires_at),
            step.expired_revision.into(),
        ]);
    }
    advanced.extend(txn.run_wide(&ADVANCE, &cells).await?);
    Ok(advanced)
}

/// Writes what commands change: rare, so one statement a thing.
pub async fn write_own_things(txn: &Writer, changes: &[&Prepared]) -> Result<(), DbErr> {
    for change in changes {
        if let Some(facts) = &change.facts {
            let row = accounts::ActiveModel {
                uid: Set(change.account.0),
                plan: Set(facts.plan.clone()),
                limits: Set(facts.limits.clone()),
                ingest_identities: Set(facts.ingest_identities.clone()),
                facts_revision: Set(facts.revision),
                updated_at: Set(facts.updated_at),
                deleted_at: Set(facts.deleted_at),
                ..Default::default()
            };
            accounts::Entity::update(row).exec(txn).await?;
        }
        for webhook in &change.webhooks {
            use webhooks::Column as C;
            let replaced = [
                C::DisplayName,
                C::Status,
                C::OwnerUserId,
                C::MaskedUrl,
                C::SealedUrl,
                C::SealedCredentials,
                C::SealedSecrets,
                C::Policy,
                C::Revision,
                C::UpdatedAt,
                C::DeletedAt,
            ];
            let upsert = OnConflict::columns([C::AccountUid, C::Uid]).update_columns(replaced).to_owned();
            let insert = webhooks::Entity::insert(webhook.clone().into_active_model()).on_conflict(upsert);
            insert.exec_without_returning(txn).await?;
        }
        let health = change.health.iter().map(|(webhook, bytes)| (webhooks::Column::Health, webhook, bytes));
        let traffic = change.traffic.iter().map(|(webhook, bytes)| (webhooks::Column::Traffic, webhook, bytes));
        for (column, webhook, bytes) in health.chain(traffic) {
            webhooks::Entity::update_many()
                .col_expr(column, Expr::value(bytes.clone()))
                .filter(webhooks::Column::AccountUid.eq(change.account.0))
                .filter(webhooks::Column::Uid.eq(*webhook))
                .exec(txn)
                .await?;
        }
        for automation in &change.automations {
            use automations::Column as C;
            let replaced =
                [C::DisplayName, C::OwnerUserId, C::Enabled, C::Spec, C::Revision, C::UpdatedAt, C::DeletedAt];
            let upsert = OnConflict::columns([C::AccountUid, C::Uid]).update_columns(replaced).to_owned();
            let insert = automations::Entity::insert(automation.clone().into_active_model()).on_conflict(upsert);
            insert.exec_without_returning(txn).await?;
            activations::Entity::delete_many()
                .filter(activations::Column::AccountUid.eq(change.account.0))
                .filter(activations::Column::AutomationUid.eq(automation.uid))
                .exec(txn)
                .await?;
        }
        activations::Entity::insert_many(active(&change.activations)).exec_without_returning(txn).await?;
        if let Some((uid, time)) = change.deleted_automation {
            automations::Entity::update_many()
                .col_expr(automations::Column::DeletedAt, Expr::value(time))
                .filter(automations::Column::AccountUid.eq(change.account.0))
                .filter(automations::Column::Uid.eq(uid))
                .exec(txn)
                .await?;
        }
        if let Some(row) = &change.catalogue {
            use catalogue::Column as C;
            let upsert = OnConflict::columns([C::AccountUid, C::Object]).update_column(C::Fields).to_owned();
            let insert = catalogue::Entity::insert(row.clone().into_active_model()).on_conflict(upsert);
            insert.exec_without_returning(txn).await?;
        }
        audit::Entity::insert_many(active(&change.audit)).exec_without_returning(txn).await?;
        notices::Entity::insert_many(active(&change.notices)).exec_without_returning(txn).await?;
        for job in &change.jobs {
            use jobs::Column as C;
            let upsert = OnConflict::columns([C::AccountUid, C::Uid])
                .update_columns([C::State, C::Cursor, C::UpdatedAt])
                .to_owned();
            let insert = jobs::Entity::insert(job.clone().into_active_model()).on_conflict(upsert);
            insert.exec_without_returning(txn).await?;
        }
        if let Some(expired) = &change.expired {
            delete_expired(txn, change.account, expired).await?;
        }
        if let Some(answer) = &change.answer {
            use answers::Column as C;
            let replace = OnConflict::columns([C::AccountUid, C::RequestId])
                .update_columns([C::AccountId, C::Fingerprint, C::Answer, C::CreatedAt])
                .to_owned();
            let insert = answers::Entity::insert(answer.clone().into_active_model()).on_conflict(replace);
            insert.exec_without_returning(txn).await?;
        }
    }
    Ok(())
}

/// What of an account is gone for good once nothing names it any more.
const DELETED_SQL: [&str; 3] = [
    "DELETE FROM notices WHERE account_uid = $1 AND created_at < $2 AND revision <= (SELECT expired_revision \
     FROM accounts WHERE uid = $1)",
    "DELETE FROM jobs WHERE account_uid = $1 AND updated_at < $2 AND state <> 'RUNNING'",
    "DELETE FROM activations WHERE account_uid = $1 AND $2 > 0 AND NOT EXISTS (SELECT 1 FROM automations a \
     WHERE a.account_uid = activations.account_uid AND a.uid = activations.automation_uid)",
];

/// Deletes executions with their attempts and parts, and each shared event with its last execution.
pub async fn delete_executions(txn: &Writer, account: i64, numbers: &[i64]) -> Result<(), DbErr> {
    use executions::Column as C;
    for numbers in numbers.chunks(KEYS_MAX) {
        let numbers = numbers.to_vec();
        let of_numbers = executions::Entity::find().filter(C::Account.eq(account)).filter(C::Id.is_in(numbers.clone()));
        let shared = of_numbers.select_only().column(C::EventPart).filter(C::EventPart.is_not_null()).distinct();
        let shared: Vec<i64> = shared.into_tuple::<i64>().all(txn).await?;
        let of_them = attempts::Entity::delete_many().filter(attempts::Column::Account.eq(account));
        of_them.filter(attempts::Column::Execution.is_in(numbers.clone())).exec(txn).await?;
        let they = executions::Entity::delete_many().filter(C::Account.eq(account));
        they.filter(C::Id.is_in(numbers.clone())).exec(txn).await?;
        let own: Vec<_> = numbers.into_iter().map(|number| part_key(number, PartKind::Own)).collect();
        let theirs = parts::Entity::delete_many().filter(parts::Column::Account.eq(account));
        theirs.filter(parts::Column::Id.is_in(own)).exec(txn).await?;
        if !shared.is_empty() {
            let is_named =
                "EXISTS (SELECT 1 FROM executions e WHERE e.account = parts.account AND e.event_part = parts.id)";
            let unnamed = parts::Entity::delete_many().filter(parts::Column::Account.eq(account));
            let unnamed = unnamed.filter(parts::Column::Id.is_in(shared));
            unnamed.filter(Expr::cust(format!("NOT {is_named}"))).exec(txn).await?;
        }
    }
    Ok(())
}

/// Deletes executions, and what was deleted for callers so long ago that nothing names it any more.
async fn delete_expired(txn: &Writer, account: AccountUid, expired: &ExpiredKeys) -> Result<(), DbErr> {
    let found = numbers_of(txn, expired.executions.iter().map(|key| (account, *key)).collect()).await?;
    let numbers: Vec<_> = found.into_values().collect();
    delete_executions(txn, account_key(account), &numbers).await?;
    let Some(deleted_before) = expired.deleted_before else { return Ok(()) };
    delete_unnamed(txn, account, deleted_before).await?;
    for sql in DELETED_SQL {
        let values = [Value::from(account.0), deleted_before.into()];
        txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    }
    Ok(())
}

/// Webhooks that nothing waits for, and automations of which there is no execution any more.
async fn delete_unnamed(txn: &Writer, account: AccountUid, deleted_before: i64) -> Result<(), DbErr> {
    use executions::Column as C;
    let of_account = executions::Entity::find().select_only().column(C::Id).filter(C::Account.eq(account_key(account)));
    let webhooks: Vec<Uuid> = webhooks::Entity::find()
        .select_only()
        .column(webhooks::Column::Uid)
        .filter(webhooks::Column::AccountUid.eq(account.0))
        .filter(webhooks::Column::DeletedAt.lt(deleted_before))
        .into_tuple()
        .all(txn)
        .await?;
    for uid in webhooks {
        let waiting = of_account.clone().filter(C::WaitsFor.eq(key_of(uid))).filter(C::DueAt.is_not_null()).limit(1);
        if waiting.into_tuple::<i64>().one(txn).await?.is_none() {
            webhooks::Entity::delete_by_id((account.0, uid)).exec(txn).await?;
        }
    }
    let automations: Vec<Uuid> = automations::Entity::find()
        .select_only()
        .column(automations::Column::Uid)
        .filter(automations::Column::AccountUid.eq(account.0))
        .filter(automations::Column::DeletedAt.lt(deleted_before))
        .into_tuple()
        .all(txn)
        .await?;
    for uid in automations {
        let named = of_account.clone().filter(C::Source.eq(key_of(uid))).limit(1);
        if named.into_tuple::<i64>().one(txn).await?.is_none() {
            automations::Entity::delete_by_id((account.0, uid)).exec(txn).await?;
        }
    }
    Ok(())
}

fn active<M: IntoActiveModel<A> + Clone, A: sea_orm::ActiveModelTrait>(rows: &[M]) -> Vec<A> {
    rows.iter().map(|row| row.clone().into_active_model()).collect()
}

static INSERT_EXECUTIONS: Wide = Wide::new(
    &[
        ("account", Kind::Long),
        ("id", Kind::Long),
        ("source", Kind::Long),
        ("event", Kind::Long),
        ("due_at", Kind::Long),
        ("waits_for", Kind::Long),
        ("admitted_window", Kind::Long),
        ("changed_revision", Kind::Long),
        ("created_at", Kind::Long),
        ("ended_at", Kind::Long),
        ("event_part", Kind::Long),
        ("retry_of", Kind::Uuid),
        ("run", Kind::Int),
        ("action_no", Kind::Int),
        ("attempts", Kind::Int),
        ("failed_actions", Kind::Int),
        ("weight", Kind::Int),
        ("source_kind", Kind::Small),
        ("action", Kind::Small),
        ("state", Kind::Small),
        ("may_be_done", Kind::Small),
        ("object", Kind::Text),
        ("event_id", Kind::Text),
        ("entity_id", Kind::Text),
        ("acting_user", Kind::Text),
        ("reason", Kind::Text),
        ("webhooks", Kind::Bytes),
        ("part", Kind::Bytes),
    ],
    WideTask::Insert("executions"),
);

static INSERT_PARTS: Wide =
    Wide::new(&[("account", Kind::Long), ("id", Kind::Long), ("bytes", Kind::Bytes)], WideTask::Insert("parts"));

static INSERT_ATTEMPTS: Wide = Wide::new(
    &[
        ("account", Kind::Long),
        ("execution", Kind::Long),
        ("action_no", Kind::Int),
        ("number", Kind::Int),
        ("sealed_url", Kind::Bytes),
        ("bytes", Kind::Bytes),
    ],
    WideTask::Insert("attempts"),
);

static STEP: Wide = Wide::new(
    &[
        ("account", Kind::Long),
        ("id", Kind::Long),
        ("due_at", Kind::Long),
        ("waits_for", Kind::Long),
        ("admitted_window", Kind::Long),
        ("changed_revision", Kind::Long),
        ("ended_at", Kind::Long),
        ("action_no", Kind::Int),
        ("attempts", Kind::Int),
        ("failed_actions", Kind::Int),
        ("state", Kind::Small),
        ("may_be_done", Kind::Small),
        ("reason", Kind::Text),
        ("outcome", Kind::Bytes),
    ],
    WideTask::Update { table: "executions", keys: 2, kept: &["outcome"], returning: None },
);

/// Writes executions, their steps, attempts and parts of the whole group in wide statements.
pub async fn write_rows(txn: &Writer, changes: &[&Prepared]) -> Result<(), DbErr> {
    let (mut executions, mut parts) = (Vec::new(), Vec::new());
    for change in changes {
        let account = account_key(change.account);
        for row in &change.executions {
            executions.extend(execution_cells(account, row));
        }
        for part in &change.parts {
            parts.extend([account.into(), part.id.into(), Cell::Bytes(Some(&part.bytes))]);
        }
    }
    txn.run_wide(&INSERT_EXECUTIONS, &executions).await?;
    txn.run_wide(&INSERT_PARTS, &parts).await?;
    write_steps(txn, changes).await
}

fn execution_cells(account: i64, row: &ExecutionRow) -> [Cell<'_>; 28] {
    [
        account.into(),
        row.id.into(),
        row.source.into(),
        row.event.into(),
        Cell::Long(row.due_at),
        Cell::Long(row.waits_for),
        row.admitted_window.into(),
        row.changed_revision.into(),
        row.created_at.into(),
        Cell::Long(row.ended_at),
        Cell::Long(row.event_part),
        Cell::Uuid(row.retry_of),
        Cell::Int(row.run),
        Cell::Int(row.action_no),
        Cell::Int(row.attempts),
        Cell::Int(row.failed_actions),
        Cell::Int(row.weight),
        Cell::Small(row.source_kind),
        Cell::Small(row.action),
        Cell::Small(row.state),
        Cell::Small(row.may_be_done),
        row.object.as_str().into(),
        row.event_id.as_str().into(),
        row.entity_id.as_str().into(),
        Cell::Text(row.acting_user.as_deref()),
        Cell::Text(row.reason),
        Cell::Bytes(Some(&row.webhooks)),
        Cell::Bytes(row.part.as_deref()),
    ]
}

async fn write_steps(txn: &Writer, changes: &[&Prepared]) -> Result<(), DbErr> {
    let mut named = Vec::new();
    for change in changes {
        named.extend(change.steps.iter().map(|step| (change.account, step.key)));
        named.extend(change.attempts.iter().map(|(key, _)| (change.account, *key)));
    }
    let numbers = numbers_of(txn, named).await?;
    let (mut steps, mut attempts) = (Vec::new(), Vec::new());
    for change in changes {
        let account = account_key(change.account);
        let number = |key: RowKey| numbers.get(&(change.account, key)).copied();
        for step in &change.steps {
            let Some(number) = number(step.key) else { continue };
            steps.extend([
                Cell::from(account),
                number.into(),
                Cell::Long(step.due_at),
                Cell::Long(step.waits_for),
                step.admitted_window.into(),
                change.change.revision.into(),
                Cell::Long(step.ended_at),
                Cell::Int(step.action_no),
                Cell::Int(step.attempts),
                Cell::Int(step.failed_actions),
                Cell::Small(step.state),
                Cell::Small(step.may_be_done),
                Cell::Text(step.reason),
                Cell::Bytes(step.outcome.as_deref()),
            ]);
        }
        for (key, attempt) in &change.attempts {
            let Some(number) = number(*key) else { continue };
            attempts.extend([
                Cell::from(account),
                number.into(),
                Cell::Int(attempt.action_no),
                Cell::Int(attempt.number),
                Cell::Bytes(attempt.sealed_url.as_deref()),
                Cell::Bytes(Some(&attempt.bytes)),
            ]);
        }
    }
    txn.run_wide(&INSERT_ATTEMPTS, &attempts).await?;
    txn.run_wide(&STEP, &steps).await.map(drop)
}
