//! Carries the rows over. What packs them is what packs new ones: what it has written once it reads for ever.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use sea_orm_migration::{
    prelude::{DbErr, Expr, Query, SchemaManagerConnection},
    sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, QueryResult, Statement, TransactionTrait, Value},
};
use uuid::Uuid;

use crate::{
    domain::id::{AccountUid, ExecutionUid},
    store::{
        constants::EVENT_KEY,
        rows::{
            StoredAttempt,
            keys::{EVENT_KEY_BYTES, EventHash, PartKind, key_of, part_key},
            outcome_bytes, packing, webhooks_bytes,
        },
        seal::DATA_KEY_ID,
    },
};

/// How many executions one transaction carries over.
const ROWS_MAX: i64 = 500;
/// How many bytes of events and requests one transaction carries over, but for one execution.
const BYTES_MAX: i64 = 8 * 1024 * 1024;
/// How large a part may be, packed, to stand in its execution's row.
const INLINE_BYTES_MAX: usize = 2_048;
/// What waited for the limit.
const LIMIT_KEY: i64 = 0;
/// How often it says how far it is, in executions.
const SAY_EVERY: u64 = 100_000;

fn malformed(error: impl std::fmt::Display) -> DbErr {
    DbErr::Migration(error.to_string())
}

fn statement<const VALUES: usize>(connection: &impl ConnectionTrait, sql: &str, values: [Value; VALUES]) -> Statement {
    Statement::from_sql_and_values(connection.get_database_backend(), sql, values)
}

/// What is made once for the database.
pub async fn constants(connection: &impl ConnectionTrait) -> Result<(), DbErr> {
    let mut key = [0_u8; EVENT_KEY_BYTES];
    getrandom::fill(&mut key).map_err(malformed)?;
    let sql = "INSERT INTO constants (name, bytes) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    connection.execute_raw(statement(connection, sql, [EVENT_KEY.into(), key.to_vec().into()])).await?;
    let sql = "INSERT INTO dictionaries (id, bytes) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    let values = [i16::from(packing::DICTIONARY_NO).into(), packing::DICTIONARY.to_vec().into()];
    connection.execute_raw(statement(connection, sql, values)).await?;
    Ok(())
}

async fn event_hash(connection: &impl ConnectionTrait) -> Result<EventHash, DbErr> {
    let sql = "SELECT bytes FROM constants WHERE name = $1";
    let row = connection.query_one_raw(statement(connection, sql, [EVENT_KEY.into()])).await?;
    let bytes: Vec<u8> = row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default();
    Ok(EventHash::new(bytes.try_into().map_err(|_| malformed("the key of the hashes of events is missing"))?))
}

/// Carries everything over.
pub async fn all(connection: &SchemaManagerConnection<'_>) -> Result<(), DbErr> {
    let hash = event_hash(connection).await?;
    let mut carried = 0;
    loop {
        let txn = connection.begin().await?;
        let count = some(&txn, hash).await?;
        txn.commit().await?;
        if count == 0 {
            return Ok(());
        }
        if (carried + count) / SAY_EVERY > carried / SAY_EVERY {
            tracing::info!(executions = carried + count, "the history is being carried over to its new form");
        }
        carried += count;
    }
}

/// Where the next part begins: on SQLite behind a row's place, which is the order in which they came; on PostgreSQL behind
/// an account's execution.
async fn cursor(txn: &DatabaseTransaction) -> Result<Vec<Value>, DbErr> {
    let sql = "SELECT place, account, uid FROM carried";
    let row = txn.query_one_raw(statement(txn, sql, [])).await?;
    let uuid = |text: String| text.parse::<Uuid>().map_err(malformed);
    Ok(match (txn.get_database_backend(), row) {
        (DbBackend::Sqlite, Some(row)) => vec![row.try_get_by_index::<i64>(0)?.into()],
        (DbBackend::Sqlite, None) => vec![i64::MIN.into()],
        (_, Some(row)) => vec![uuid(row.try_get_by_index(1)?)?.into(), uuid(row.try_get_by_index(2)?)?.into()],
        (_, None) => vec![Uuid::nil().into(), Uuid::nil().into()],
    })
}

/// An execution as it was, with its event.
struct Old {
    place: i64,
    account: Uuid,
    uid: Uuid,
    event_id: String,
    payload: Option<Vec<u8>>,
    /// Whether other executions have the same event.
    is_shared: bool,
    requests: Vec<u8>,
    row: QueryResult,
}

async fn old_rows(txn: &DatabaseTransaction) -> Result<Vec<Old>, DbErr> {
    let backend = txn.get_database_backend();
    let (place, after, order) = match backend {
        DbBackend::Sqlite => ("e.rowid", "e.rowid > $1", "e.rowid"),
        _ => ("CAST(0 AS bigint)", "(e.account_uid, e.uid) > ($1, $2)", "e.account_uid, e.uid"),
    };
    let from = "FROM executions e LEFT JOIN events v ON v.account_uid = e.account_uid AND v.event_id = e.event_id";
    let cursor = cursor(txn).await?;
    let sql = format!(
        "SELECT CAST(LENGTH(e.requests) + COALESCE(LENGTH(v.payload), 0) AS bigint) {from} WHERE {after} \
         ORDER BY {order} LIMIT {ROWS_MAX}"
    );
    let weights = txn.query_all_raw(Statement::from_sql_and_values(backend, sql, cursor.clone())).await?;
    let mut bytes = 0;
    let mut fitting = 0;
    for row in &weights {
        bytes += row.try_get_by_index::<i64>(0)?;
        if fitting > 0 && bytes > BYTES_MAX {
            break;
        }
        fitting += 1;
    }
    let sql = format!(
        "SELECT e.*, v.payload, {place} AS place, (SELECT COUNT(*) FROM (SELECT 1 FROM executions o \
         WHERE o.account_uid = e.account_uid AND o.event_id = e.event_id LIMIT 2) AS two) AS sharers \
         {from} WHERE {after} ORDER BY {order} LIMIT {fitting}"
    );
    let rows = txn.query_all_raw(Statement::from_sql_and_values(backend, sql, cursor)).await?;
    let old = |row: QueryResult| {
        Ok(Old {
            place: row.try_get("", "place")?,
            account: row.try_get("", "account_uid")?,
            uid: row.try_get("", "uid")?,
            event_id: row.try_get("", "event_id")?,
            payload: row.try_get("", "payload")?,
            is_shared: row.try_get::<i64>("", "sharers")? > 1,
            requests: row.try_get("", "requests")?,
            row,
        })
    };
    rows.into_iter().map(old).collect()
}

/// Carries some executions over; answers how many.
async fn some(txn: &DatabaseTransaction, hash: EventHash) -> Result<u64, DbErr> {
    let old = old_rows(txn).await?;
    let Some(last) = old.last() else { return Ok(0) };
    let (place, account, uid) = (last.place, last.account, last.uid);
    let numbers = numbers(txn, &old).await?;
    let mut attempts = attempts(txn, &old).await?;
    let mut insert = Query::insert();
    insert.into_table("new_executions").columns(COLUMNS);
    let mut others = Vec::new();
    let mut shared = HashMap::new();
    for (old, number) in old.iter().zip(&numbers) {
        let (first, more) = split_first(attempts.remove(&(old.account, old.uid)).unwrap_or_default());
        others.extend(more.into_iter().map(|one| (key_of(old.account), *number, one)));
        let event_part = event_part(txn, hash, old, *number, &mut shared).await?;
        let values = new_row(txn, hash, old, *number, event_part, first).await?;
        insert.values(values.into_iter().map(Expr::value)).map_err(malformed)?;
    }
    txn.execute(&insert).await?;
    for (account, number, one) in others {
        let sql = "INSERT INTO new_attempts (account, execution, action_no, number, sealed_url, bytes) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let values = [
            account.into(),
            number.into(),
            one.action_no.into(),
            one.number.into(),
            one.foreign_seal.into(),
            one.bytes.into(),
        ];
        txn.execute_raw(statement(txn, sql, values)).await?;
    }
    txn.execute_unprepared("DELETE FROM carried").await?;
    let sql = "INSERT INTO carried (place, account, uid) VALUES ($1, $2, $3)";
    txn.execute_raw(statement(txn, sql, [place.into(), account.to_string().into(), uid.to_string().into()])).await?;
    Ok(numbers.len() as u64)
}

/// The numbers that executions get: those that their ids begin with, or the next that are free.
async fn numbers(txn: &DatabaseTransaction, old: &[Old]) -> Result<Vec<i64>, DbErr> {
    // On PostgreSQL each account has its own; on SQLite a number is a row's place in the table.
    let is_sqlite = txn.get_database_backend() == DbBackend::Sqlite;
    let scope = |old: &Old| if is_sqlite { 0 } else { key_of(old.account) };
    let first = |old: &Old| ExecutionUid(old.uid).leading_number();
    let place = |at: usize| if is_sqlite { "?".to_owned() } else { format!("${at}") };
    let places: Vec<_> = (1..=old.len()).map(place).collect();
    let sql = format!("SELECT account, id FROM new_executions WHERE id IN ({})", places.join(", "));
    let values = old.iter().map(|old| Value::from(first(old)));
    let found = txn.query_all_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    let mut taken = HashSet::new();
    for row in found {
        let (account, id): (i64, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        taken.insert((if is_sqlite { 0 } else { account }, id));
    }
    let mut numbers = Vec::with_capacity(old.len());
    for old in old {
        let mut number = first(old);
        while taken.contains(&(scope(old), number))
            || (number != first(old) && is_taken(txn, scope(old), number).await?)
        {
            number += 1;
        }
        taken.insert((scope(old), number));
        numbers.push(number);
    }
    Ok(numbers)
}

async fn is_taken(txn: &DatabaseTransaction, scope: i64, number: i64) -> Result<bool, DbErr> {
    let sql = "SELECT 1 FROM new_executions WHERE id = $1 AND (account = $2 OR $2 = 0)";
    Ok(txn.query_one_raw(statement(txn, sql, [number.into(), scope.into()])).await?.is_some())
}

/// The part of an event that executions share; made with the first of them.
async fn event_part(
    txn: &DatabaseTransaction,
    hash: EventHash,
    old: &Old,
    number: i64,
    shared: &mut HashMap<(i64, String), i64>,
) -> Result<Option<i64>, DbErr> {
    let Some(payload) = old.payload.as_ref().filter(|_| old.is_shared) else { return Ok(None) };
    let account = key_of(old.account);
    let sql = "SELECT event_part FROM new_executions WHERE event = $1 AND account = $2 AND event_id = $3 \
               AND event_part IS NOT NULL LIMIT 1";
    let values = [hash.of(account, &old.event_id).into(), account.into(), old.event_id.clone().into()];
    let known = shared.get(&(account, old.event_id.clone())).copied();
    let written = match known {
        Some(part) => Some(part),
        None => {
            let row = txn.query_one_raw(statement(txn, sql, values)).await?;
            row.map(|row| row.try_get_by_index(0)).transpose()?
        }
    };
    let part = written.unwrap_or(part_key(number, PartKind::Event));
    if written.is_none() {
        insert_part(txn, account, part, packing::pack(payload)).await?;
    }
    shared.insert((account, old.event_id.clone()), part);
    Ok(Some(part))
}

async fn insert_part(txn: &DatabaseTransaction, account: i64, id: i64, bytes: Vec<u8>) -> Result<(), DbErr> {
    let sql = "INSERT INTO parts (account, id, bytes) VALUES ($1, $2, $3)";
    txn.execute_raw(statement(txn, sql, [account.into(), id.into(), bytes.into()])).await.map(drop)
}

/// An attempt in its new form.
struct NewAttempt {
    action_no: i32,
    number: i32,
    /// The real URL, where the installation's key has sealed it.
    foreign_seal: Option<Vec<u8>>,
    bytes: Vec<u8>,
}

/// The attempts of executions, by their accounts and ids.
async fn attempts(txn: &DatabaseTransaction, old: &[Old]) -> Result<HashMap<(Uuid, Uuid), Vec<NewAttempt>>, DbErr> {
    let place = |at: usize| match txn.get_database_backend() {
        DbBackend::Sqlite => "?".to_owned(),
        _ => format!("${at}"),
    };
    let rows: Vec<_> = (0..old.len()).map(|row| format!("({}, {})", place(row * 2 + 1), place(row * 2 + 2))).collect();
    // The order of the join is given: SQLite would read the whole table.
    let sql = format!(
        "SELECT a.* FROM (VALUES {}) AS v CROSS JOIN attempts a WHERE a.account_uid = v.column1 \
         AND a.execution_uid = v.column2 ORDER BY a.action_no, a.number",
        rows.join(", ")
    );
    let values = old.iter().flat_map(|old| [Value::from(old.account), old.uid.into()]);
    let found = txn.query_all_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    let mut attempts: HashMap<_, Vec<_>> = HashMap::new();
    for row in found {
        let key: (Uuid, Uuid) = (row.try_get("", "account_uid")?, row.try_get("", "execution_uid")?);
        attempts.entry(key).or_default().push(new_attempt(&row)?);
    }
    Ok(attempts)
}

fn new_attempt(row: &QueryResult) -> Result<NewAttempt, DbErr> {
    let (action_no, number) = (row.try_get("", "action_no")?, row.try_get("", "number")?);
    let sealed: Option<Vec<u8>> = row.try_get("", "sealed_url")?;
    let (own_seal, foreign_seal) = match sealed {
        Some(sealed) if sealed.starts_with(&DATA_KEY_ID) => (Some(STANDARD_NO_PAD.encode(sealed)), None),
        other => (None, other),
    };
    let headers: Option<Vec<u8>> = row.try_get("", "headers")?;
    let excerpt: Option<Vec<u8>> = row.try_get("", "excerpt")?;
    let text = |column: &str| Ok::<_, DbErr>(row.try_get::<Option<String>>("", column)?.map(Cow::Owned));
    let stored = StoredAttempt {
        v: 1,
        action_no,
        number,
        started_at: row.try_get("", "started_at")?,
        duration_us: row.try_get("", "duration_us")?,
        url: text("url")?,
        sealed_url: own_seal.map(Cow::Owned),
        status: row.try_get("", "status")?,
        headers: headers.and_then(|headers| serde_json::from_slice(&headers).ok()).unwrap_or_default(),
        error: text("error_kind")?,
        message: text("error_message")?,
        fate: row.try_get("", "fate")?,
        success: None,
        truncated: row.try_get::<i16>("", "truncated")? != 0,
    };
    let bytes = outcome_bytes(&stored, excerpt.as_deref().unwrap_or_default()).map_err(malformed)?;
    Ok(NewAttempt { action_no, number, foreign_seal, bytes })
}

/// The first attempt of an execution, where it may stand in its row, and the others.
fn split_first(mut attempts: Vec<NewAttempt>) -> (Option<Vec<u8>>, Vec<NewAttempt>) {
    let fits =
        |first: &NewAttempt| first.number == 1 && first.foreign_seal.is_none() && first.bytes.len() <= INLINE_BYTES_MAX;
    if !attempts.first().is_some_and(fits) {
        return (None, attempts);
    }
    let first = attempts.remove(0);
    (Some(first.bytes), attempts)
}

const COLUMNS: [&str; 30] = [
    "account",
    "id",
    "source",
    "event",
    "due_at",
    "waits_for",
    "admitted_window",
    "changed_revision",
    "created_at",
    "ended_at",
    "event_part",
    "uid",
    "retry_of",
    "run",
    "action_no",
    "attempts",
    "failed_actions",
    "weight",
    "source_kind",
    "action",
    "state",
    "may_be_done",
    "object",
    "event_id",
    "entity_id",
    "acting_user",
    "reason",
    "webhooks",
    "part",
    "outcome",
];

/// The new row of an execution; its part where that is too large for it.
async fn new_row(
    txn: &DatabaseTransaction,
    hash: EventHash,
    old: &Old,
    number: i64,
    event_part: Option<i64>,
    outcome: Option<Vec<u8>>,
) -> Result<[Value; COLUMNS.len()], DbErr> {
    let account = key_of(old.account);
    let own_event = old.payload.as_deref().filter(|_| event_part.is_none());
    let shared_bytes = old.payload.as_ref().filter(|_| event_part.is_some()).map_or(0, Vec::len);
    let append = |bytes: Option<&[u8]>, out: &mut Vec<u8>| {
        out.extend_from_slice(bytes.unwrap_or_default());
        Ok::<_, DbErr>(())
    };
    let (packed, plain_bytes) = packing::pack_written(|out| {
        packing::write_contents(out, |out| append(own_event, out), |out| append(Some(&old.requests), out))
    })?;
    let part = if packed.len() > INLINE_BYTES_MAX {
        insert_part(txn, account, part_key(number, PartKind::Own), packed).await?;
        None
    } else {
        Some(packed)
    };
    let weight = i32::try_from(plain_bytes + shared_bytes).unwrap_or(i32::MAX);
    let key = |uid: Uuid| if uid.is_nil() { LIMIT_KEY } else { key_of(uid) };
    let get = |column: &str| -> Result<i64, DbErr> { old.row.try_get("", column) };
    let waits_for: Option<Uuid> = old.row.try_get("", "next_webhook")?;
    let source: Uuid = old.row.try_get("", "source_uid")?;
    let webhooks: Option<Vec<u8>> = old.row.try_get("", "webhooks")?;
    let webhooks = webhooks.map(|bytes| {
        let uuids = bytes.chunks_exact(size_of::<Uuid>()).filter_map(|one| Uuid::from_slice(one).ok());
        webhooks_bytes(uuids.collect::<Vec<_>>().into_iter())
    });
    let long = |column: &str| Ok::<Value, DbErr>(old.row.try_get::<Option<i64>>("", column)?.into());
    let int = |column: &str| Ok::<Value, DbErr>(old.row.try_get::<i32>("", column)?.into());
    let small = |column: &str| Ok::<Value, DbErr>(old.row.try_get::<i16>("", column)?.into());
    let text = |column: &str| Ok::<Value, DbErr>(old.row.try_get::<Option<String>>("", column)?.into());
    Ok([
        account.into(),
        number.into(),
        key_of(source).into(),
        hash.of(account, &old.event_id).into(),
        long("due_at")?,
        waits_for.map(key).into(),
        get("admitted_window")?.into(),
        get("changed_revision")?.into(),
        get("created_at")?.into(),
        long("ended_at")?,
        event_part.into(),
        carried_uid(old, number).into(),
        old.row.try_get::<Option<Uuid>>("", "retry_of")?.into(),
        int("run")?,
        int("action_no")?,
        int("attempts")?,
        int("failed_actions")?,
        weight.into(),
        small("source_kind")?,
        small("action")?,
        small("state")?,
        small("may_be_done")?,
        text("object")?,
        text("event_id")?,
        text("entity_id")?,
        text("acting_user")?,
        text("reason")?,
        webhooks.into(),
        part.into(),
        outcome.into(),
    ])
}

/// The id that an execution had, unless its number tells it.
fn carried_uid(old: &Old, number: i64) -> Option<Uuid> {
    let made = ExecutionUid::of_number(AccountUid(old.account), number);
    (made.0 != old.uid).then_some(old.uid)
}
