//! The journal's wide statements: one a table for a whole group of changes.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, IntoActiveModel, QueryFilter, Statement, Value,
    sea_query::{Expr, ExprTrait as _, OnConflict, Query},
};
use uuid::Uuid;

use super::{
    entities::{
        accounts, activations, answers, attempts, audit, automations, catalogue, events, executions, jobs, notices,
        webhooks,
    },
    prepared::{ExpiredKeys, Prepared},
    writer::Writer,
};
use crate::domain::id::EventId;

/// How many bind parameters one statement has; SQLite allows 32,766.
const PARAMETERS_MAX: usize = 30_000;

/// `($1, $2), ($3, $4)` for rows of so many columns. SQLite takes `$1` for a name and searches its list of names at
/// each binding, so that a wide statement would cost the square of its width; it gets `?`.
fn tuples(backend: DbBackend, rows: usize, columns: usize) -> String {
    let mut sql = String::with_capacity(rows * columns * 5);
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            let separator = if column == 0 { "" } else { ", " };
            let _ = match backend {
                DbBackend::Sqlite => write!(sql, "{separator}?"),
                _ => write!(sql, "{separator}${}", row * columns + column + 1),
            };
        }
        sql.push(')');
    }
    sql
}

/// Looks up so many keys of events. Written as a join whose order is given: SQLite would read the whole table for
/// `(…) IN (VALUES …)`.
pub fn known_events_sql(backend: DbBackend, keys: usize) -> String {
    format!(
        "SELECT e.account_uid, e.event_id FROM (VALUES {}) AS v CROSS JOIN events e \
         WHERE e.account_uid = v.column1 AND e.event_id = v.column2",
        tuples(backend, keys, 2)
    )
}

/// Which of the changes' events are stored already, by account.
pub async fn known_events(txn: &Writer, changes: &[Box<Prepared>]) -> Result<HashMap<Uuid, HashSet<EventId>>, DbErr> {
    let mut known: HashMap<Uuid, HashSet<EventId>> = HashMap::new();
    let keys: Vec<_> = changes.iter().flat_map(|change| &change.events).collect();
    for chunk in keys.chunks(PARAMETERS_MAX / 2) {
        let sql = known_events_sql(txn.get_database_backend(), chunk.len());
        let values = chunk.iter().flat_map(|event| [Value::from(event.account_uid), event.event_id.clone().into()]);
        let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
        for row in txn.query_all_raw(statement).await? {
            let account: Uuid = row.try_get_by_index(0)?;
            let event: String = row.try_get_by_index(1)?;
            if let Ok(event) = event.parse() {
                known.entry(account).or_default().insert(event);
            }
        }
    }
    Ok(known)
}

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
    const COLUMNS: usize = 11;
    let existing: Vec<_> = changes.iter().filter_map(|change| Some((change, change.expected?))).collect();
    for chunk in existing.chunks(PARAMETERS_MAX / COLUMNS) {
        let sql = format!(
            "UPDATE accounts SET revision = v.column3, window_no = v.column4, window_start = v.column5, \
             window_used = v.column6, next_due_at = v.column7, paused = v.column8, counts = v.column9, \
             expires_at = v.column10, expired_revision = v.column11 FROM (VALUES {}) AS v \
             WHERE accounts.uid = v.column1 AND accounts.revision = v.column2 RETURNING accounts.uid",
            tuples(txn.get_database_backend(), chunk.len(), COLUMNS)
        );
        let values = chunk.iter().flat_map(|(change, expected)| {
            let step = &change.change;
            [
                Value::from(change.account.0),
                (*expected).into(),
                step.revision.into(),
                step.window_no.into(),
                step.window_start.into(),
                step.window_used.into(),
                step.next_due_at.into(),
                step.paused.into(),
                step.counts.clone().into(),
                step.expires_at.into(),
                step.expired_revision.into(),
            ]
        });
        let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
        for row in txn.query_all_raw(statement).await? {
            advanced.insert(row.try_get_by_index(0)?);
        }
    }
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
            delete_expired(txn, change.account.0, expired).await?;
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
const DELETED_SQL: [&str; 5] = [
    "DELETE FROM notices WHERE account_uid = $1 AND created_at < $2 AND revision <= (SELECT expired_revision \
     FROM accounts WHERE uid = $1)",
    "DELETE FROM jobs WHERE account_uid = $1 AND updated_at < $2 AND state <> 'RUNNING'",
    "DELETE FROM webhooks WHERE account_uid = $1 AND deleted_at < $2 AND NOT EXISTS (SELECT 1 FROM executions e \
     WHERE e.account_uid = webhooks.account_uid AND e.next_webhook = webhooks.uid AND e.due_at IS NOT NULL)",
    "DELETE FROM automations WHERE account_uid = $1 AND deleted_at < $2 AND NOT EXISTS (SELECT 1 FROM executions e \
     WHERE e.account_uid = automations.account_uid AND e.source_uid = automations.uid)",
    "DELETE FROM activations WHERE account_uid = $1 AND $2 > 0 AND NOT EXISTS (SELECT 1 FROM automations a \
     WHERE a.account_uid = activations.account_uid AND a.uid = activations.automation_uid)",
];

/// Deletes executions with their attempts, and each event with its last execution.
async fn delete_expired(txn: &Writer, account: Uuid, expired: &ExpiredKeys) -> Result<(), DbErr> {
    if !expired.executions.is_empty() {
        attempts::Entity::delete_many()
            .filter(attempts::Column::AccountUid.eq(account))
            .filter(attempts::Column::ExecutionUid.is_in(expired.executions.iter().copied()))
            .exec(txn)
            .await?;
        executions::Entity::delete_many()
            .filter(executions::Column::AccountUid.eq(account))
            .filter(executions::Column::Uid.is_in(expired.executions.iter().copied()))
            .exec(txn)
            .await?;
        let still_named = Query::select()
            .expr(Expr::val(1))
            .from(executions::Entity)
            .and_where(executions::Column::AccountUid.eq(account))
            .and_where(
                Expr::col((executions::Entity, executions::Column::EventId))
                    .equals((events::Entity, events::Column::EventId)),
            )
            .to_owned();
        events::Entity::delete_many()
            .filter(events::Column::AccountUid.eq(account))
            .filter(events::Column::EventId.is_in(expired.events.iter().map(String::as_str)))
            .filter(Expr::exists(still_named).not())
            .exec(txn)
            .await?;
    }
    let Some(deleted_before) = expired.deleted_before else { return Ok(()) };
    for sql in DELETED_SQL {
        let values = [Value::from(account), deleted_before.into()];
        txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    }
    Ok(())
}

fn active<M: IntoActiveModel<A> + Clone, A: sea_orm::ActiveModelTrait>(rows: &[M]) -> Vec<A> {
    rows.iter().map(|row| row.clone().into_active_model()).collect()
}

const EVENT_COLUMNS: usize = 4;
const EXECUTION_COLUMNS: usize = 26;
const ATTEMPT_COLUMNS: usize = 15;

/// Writes events, executions, their steps and attempts of the whole group in wide statements.
pub async fn write_rows(txn: &Writer, changes: &[&Prepared]) -> Result<(), DbErr> {
    let events: Vec<events::ActiveModel> = changes.iter().flat_map(|change| active(&change.events)).collect();
    for chunk in events.chunks(PARAMETERS_MAX / EVENT_COLUMNS) {
        events::Entity::insert_many(chunk.iter().cloned()).exec_without_returning(txn).await?;
    }
    let executions: Vec<executions::ActiveModel> =
        changes.iter().flat_map(|change| active(&change.executions)).collect();
    for chunk in executions.chunks(PARAMETERS_MAX / EXECUTION_COLUMNS) {
        executions::Entity::insert_many(chunk.iter().cloned()).exec_without_returning(txn).await?;
    }
    let attempts: Vec<attempts::ActiveModel> = changes.iter().flat_map(|change| active(&change.attempts)).collect();
    for chunk in attempts.chunks(PARAMETERS_MAX / ATTEMPT_COLUMNS) {
        attempts::Entity::insert_many(chunk.iter().cloned()).exec_without_returning(txn).await?;
    }
    write_steps(txn, changes).await
}

async fn write_steps(txn: &Writer, changes: &[&Prepared]) -> Result<(), DbErr> {
    const COLUMNS: usize = 13;
    let steps: Vec<_> = changes.iter().flat_map(|change| change.steps.iter().map(move |step| (change, step))).collect();
    for chunk in steps.chunks(PARAMETERS_MAX / COLUMNS) {
        let sql = format!(
            "UPDATE executions SET state = v.column3, reason = v.column4, due_at = v.column5, next_webhook = v.column6, \
             action_no = v.column7, attempts = v.column8, failed_actions = v.column9, ended_at = v.column10, \
             changed_revision = v.column11, admitted_window = v.column12, may_be_done = v.column13 FROM (VALUES {}) AS v \
             WHERE executions.account_uid = v.column1 AND executions.uid = v.column2",
            tuples(txn.get_database_backend(), chunk.len(), COLUMNS)
        );
        let values = chunk.iter().flat_map(|(change, step)| {
            [
                Value::from(change.account.0),
                step.uid.into(),
                step.state.into(),
                step.reason.clone().into(),
                step.due_at.into(),
                step.next_webhook.into(),
                step.action_no.into(),
                step.attempts.into(),
                step.failed_actions.into(),
                step.ended_at.into(),
                change.change.revision.into(),
                step.admitted_window.into(),
                step.may_be_done.into(),
            ]
        });
        txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    }
    Ok(())
}
