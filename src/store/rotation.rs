//! Changes the installation's sealing key while the service runs: step by step, every value that another key has sealed is
//! sealed by the current one. Each is compared before it is written, so that nothing newer is lost, and a step that was cut
//! off is simply done again.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement, Value,
};
use uuid::Uuid;

use super::{
    Store, StoreError,
    entities::{accounts, attempts, executions, webhooks},
    rows::{attempt_context, keys::account_key, uid_of},
    seal::{DATA_KEY_ID, SealContext, Sealer},
};
use crate::domain::id::{AccountUid, ExecutionUid};

/// How many accounts, and how many sealed attempts, one step looks at.
const ACCOUNTS_OF_STEP_MAX: u64 = 50;
const ATTEMPTS_OF_STEP_MAX: u64 = 500;

/// Where a rotation stands: accounts up to this one are done; of the next one, attempts up to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RotationCursor {
    /// The account.
    pub account: Uuid,
    /// The number of the execution, the action and the number of its last attempt that was looked at; none where the account
    /// is done.
    pub attempt: Option<(i64, i32, i32)>,
}

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// How many values were sealed anew.
    pub resealed: u64,
    /// Where the next step begins; none after the last.
    pub next: Option<RotationCursor>,
}

impl Store {
    /// Seals some more values anew.
    pub async fn rotate_some(&self, from: RotationCursor) -> Result<Rotated, StoreError> {
        let after = match from.attempt {
            Some(_) => accounts::Column::Uid.gte(from.account),
            None => accounts::Column::Uid.gt(from.account),
        };
        let found = accounts::Entity::find()
            .filter(after)
            .order_by_asc(accounts::Column::Uid)
            .limit(ACCOUNTS_OF_STEP_MAX)
            .all(&self.reader)
            .await?;
        let is_last = (found.len() as u64) < ACCOUNTS_OF_STEP_MAX;
        let (mut resealed, mut looked_at) = (0, 0);
        let mut cursor = from;
        for account in found {
            let begun = from.attempt.filter(|_| account.uid == from.account);
            if begun.is_none() {
                resealed += self.reseal_configuration(&account).await?;
            }
            let (count, sealed, last) = self.reseal_attempts(AccountUid(account.uid), begun).await?;
            looked_at += sealed;
            resealed += count;
            cursor = RotationCursor { account: account.uid, attempt: last };
            if last.is_some() || looked_at >= ATTEMPTS_OF_STEP_MAX {
                return Ok(Rotated { resealed, next: Some(cursor) });
            }
        }
        Ok(Rotated { resealed, next: (!is_last).then_some(cursor) })
    }

    /// An account's data key, and its webhooks, also deleted ones.
    async fn reseal_configuration(&self, account: &accounts::Model) -> Result<u64, StoreError> {
        let mut updates = Vec::new();
        let uid = account.uid;
        if let Some(sealed) = &account.sealed_data_key
            && let Some(new) = self.resealed(SealContext::of_data_key(uid), sealed)
        {
            let sql = "UPDATE accounts SET sealed_data_key = $1 WHERE uid = $2 AND sealed_data_key = $3";
            updates.push(self.statement(sql, [new.into(), uid.into(), sealed.clone().into()]));
        }
        let rows = webhooks::Entity::find().filter(webhooks::Column::AccountUid.eq(uid)).all(&self.reader).await?;
        for row in rows {
            let fields = [
                ("sealed_url", "url", Some(&row.sealed_url)),
                ("sealed_credentials", "credentials", row.sealed_credentials.as_ref()),
                ("sealed_secrets", "secrets", Some(&row.sealed_secrets)),
            ];
            for (column, field, sealed) in fields {
                let Some(sealed) = sealed else { continue };
                let context = SealContext { account: uid, webhook: row.uid, field };
                if let Some(new) = self.resealed(context, sealed) {
                    let sql = format!(
                        "UPDATE webhooks SET {column} = $1 WHERE account_uid = $2 AND uid = $3 AND {column} = $4"
                    );
                    updates.push(self.statement(&sql, [new.into(), uid.into(), row.uid.into(), sealed.clone().into()]));
                }
            }
        }
        self.journal.run(AccountUid(uid), updates).await
    }

    /// Attempts that an installation's key has sealed get their account's data key. Answers how many were sealed anew, how
    /// many were looked at, and the last one where there may be more.
    async fn reseal_attempts(
        &self,
        account: AccountUid,
        after: Option<(i64, i32, i32)>,
    ) -> Result<(u64, u64, Option<(i64, i32, i32)>), StoreError> {
        use attempts::Column as C;
        let mut query =
            attempts::Entity::find().filter(C::Account.eq(account_key(account))).filter(C::SealedUrl.is_not_null());
        if let Some((execution, action, number)) = after {
            let later_number = Condition::all().add(C::ActionNo.eq(action)).add(C::Number.gt(number));
            let later_action = Condition::any().add(C::ActionNo.gt(action)).add(later_number);
            let same = Condition::all().add(C::Execution.eq(execution)).add(later_action);
            query = query.filter(Condition::any().add(C::Execution.gt(execution)).add(same));
        }
        let rows = query
            .order_by_asc(C::Execution)
            .order_by_asc(C::ActionNo)
            .order_by_asc(C::Number)
            .limit(ATTEMPTS_OF_STEP_MAX)
            .all(&self.reader)
            .await?;
        let looked_at = rows.len() as u64;
        let last = rows.last().filter(|_| looked_at == ATTEMPTS_OF_STEP_MAX);
        let last = last.map(|row| (row.execution, row.action_no, row.number));
        let left = rows.iter().filter_map(|row| Some((row, row.sealed_url.as_ref()?)));
        let left: Vec<_> = left.filter(|(_, sealed)| !sealed.starts_with(&DATA_KEY_ID)).collect();
        let uids = self.uids_of_numbers(account, left.iter().map(|(row, _)| row.execution)).await?;
        let mut updates = Vec::new();
        for (row, sealed) in left {
            self.ensure_data_key(account).await?;
            let Some(execution) = uids.get(&row.execution) else { continue };
            let context = attempt_context(account.0, execution.0);
            let Some(plain) = self.opened(context, sealed) else { continue };
            let new = self.sealer.seal_history(context, &plain)?;
            let sql = "UPDATE attempts SET sealed_url = $1 WHERE account = $2 AND execution = $3 \
                       AND action_no = $4 AND number = $5 AND sealed_url = $6";
            updates.push(self.statement(
                sql,
                [
                    new.into(),
                    row.account.into(),
                    row.execution.into(),
                    row.action_no.into(),
                    row.number.into(),
                    sealed.clone().into(),
                ],
            ));
        }
        Ok((self.journal.run(account, updates).await?, looked_at, last))
    }

    /// The ids of executions, by their numbers.
    async fn uids_of_numbers(
        &self,
        account: AccountUid,
        numbers: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, ExecutionUid>, StoreError> {
        let found: Vec<(i64, Option<Uuid>)> = executions::Entity::find()
            .select_only()
            .columns([executions::Column::Id, executions::Column::Uid])
            .filter(executions::Column::Account.eq(account_key(account)))
            .filter(executions::Column::Id.is_in(numbers))
            .into_tuple()
            .all(&self.reader)
            .await?;
        Ok(found.into_iter().map(|(number, uid)| (number, uid_of(account, number, uid))).collect())
    }

    /// A value sealed anew; none where there is nothing to do, or where no key opens it: that stays, and is counted.
    fn resealed(&self, context: SealContext, sealed: &[u8]) -> Option<Vec<u8>> {
        let done = self.sealer.resealed(context, sealed);
        let told = |error: &StoreError| tracing::error!(account.uid = %context.account, error = %error, "cannot be sealed anew");
        done.inspect_err(told).ok().flatten()
    }

    fn opened(&self, context: SealContext, sealed: &[u8]) -> Option<Vec<u8>> {
        let told = |error: &StoreError| tracing::error!(account.uid = %context.account, error = %error, "cannot be sealed anew");
        self.sealer.open(context, sealed).inspect_err(told).ok()
    }

    fn statement<const VALUES: usize>(&self, sql: &str, values: [Value; VALUES]) -> Statement {
        Statement::from_sql_and_values(self.reader.get_database_backend(), sql, values)
    }

    /// Has an account's data key in use; makes one where there is none.
    pub(super) async fn ensure_data_key(&self, account: AccountUid) -> Result<(), StoreError> {
        self.use_data_key(account, None).await
    }

    /// The same, where what is stored may be known already.
    pub(super) async fn use_data_key(&self, account: AccountUid, known: Option<&[u8]>) -> Result<(), StoreError> {
        if self.sealer.has_data_key(account.0) {
            return Ok(());
        }
        if let Some(sealed) = known {
            return self.sealer.take_data_key(account.0, sealed);
        }
        let stored = || async {
            let row = accounts::Entity::find_by_id(account.0).one(&self.reader).await?;
            Ok::<_, StoreError>(row.and_then(|row| row.sealed_data_key))
        };
        if stored().await?.is_none() {
            let made = self.sealer.new_data_key(account.0)?;
            let sql = "UPDATE accounts SET sealed_data_key = $1 WHERE uid = $2 AND sealed_data_key IS NULL \
                       AND deleted_at IS NULL";
            self.journal.run(account, vec![self.statement(sql, [made.into(), account.0.into()])]).await?;
        }
        // Whoever was first, the one that is stored is used.
        match stored().await? {
            Some(sealed) => self.sealer.take_data_key(account.0, &sealed),
            None => Ok(()),
        }
    }

    /// How many values another key than the current one has sealed.
    pub async fn sealed_by_others(&self) -> Result<i64, StoreError> {
        sealed_by_others(&self.reader, &self.sealer).await
    }
}

/// How many values another key than the current one has sealed.
pub async fn sealed_by_others(connection: &DatabaseConnection, sealer: &Sealer) -> Result<i64, StoreError> {
    let mut left = 0;
    for (table, column) in [
        ("accounts", "sealed_data_key"),
        ("webhooks", "sealed_url"),
        ("webhooks", "sealed_credentials"),
        ("webhooks", "sealed_secrets"),
        ("attempts", "sealed_url"),
    ] {
        let sql = format!(
            "SELECT COUNT(*) FROM {table} WHERE {column} IS NOT NULL AND substr({column}, 1, 4) <> $1 \
             AND substr({column}, 1, 4) <> $2"
        );
        let values = [Value::from(sealer.current_id().to_vec()), DATA_KEY_ID.to_vec().into()];
        let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
        let row = connection.query_one_raw(statement).await?;
        left += row.map(|row| row.try_get_by_index::<i64>(0)).transpose()?.unwrap_or_default();
    }
    Ok(left)
}

/// Keys the fingerprints of answers that were stored before fingerprints had a key.
pub async fn key_fingerprints(connection: &DatabaseConnection, sealer: &Sealer) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT account_uid, request_id, fingerprint FROM answers WHERE length(fingerprint) <> {} LIMIT 1000",
        super::seal::FINGERPRINT_BYTES
    );
    let backend = connection.get_database_backend();
    loop {
        let rows = connection.query_all_raw(Statement::from_string(backend, sql.clone())).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            let (account, request): (Uuid, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let plain: Vec<u8> = row.try_get_by_index(2)?;
            let values = [sealer.fingerprint(account, &plain)?.into(), account.into(), request.into()];
            let update = "UPDATE answers SET fingerprint = $1 WHERE account_uid = $2 AND request_id = $3";
            connection.execute_raw(Statement::from_sql_and_values(backend, update, values)).await?;
        }
    }
}

#[cfg(test)]
#[path = "tests/rotation.rs"]
mod tests;
