//! Reads an account as its actor needs it, and what is due.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
};

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement, Value,
};
use uuid::Uuid;

use super::{
    contents::Opened,
    history::{AccountView, one_more},
    jobs::unfinished_jobs,
    weights::{READ_ROWS_MIN, how_many_fit},
};
use crate::{
    clock,
    domain::{
        account::{
            Account, Loaded,
            due::{DueRows, Expiring, RowsWanted},
            history::{ExpiredExecutions, ExpiredRow, HistorySummary},
            limits::Backlog,
        },
        automation::{Automation, UnreadableAutomation, catalogue::Catalogue},
        execution::{State, Unfinished, Unreadable, WaitsFor},
        id::{AccountId, AccountUid, ExecutionUid, RequestId, WebhookUid},
        timestamp::Timestamp,
        webhook::Webhook,
    },
    store::{
        Store, StoreError,
        entities::{accounts, activations, automations, catalogue, executions, webhooks},
        numbers::numbers_of,
        rows::{
            self, Beginnings, DUE_RUNNING,
            keys::{RowKey, account_key, key_of, waits_for_key},
        },
        together::paused_sql,
    },
    telemetry::chain,
};

/// How many rows are looked at for executions to delete.
const EXPIRED_SCAN_MAX: usize = 2_000;

/// What decides whether an execution is deleted: its number, the id it had before, its state, its end, the revision of its
/// last change and its event.
type ScannedEnd = (i64, Option<Uuid>, i16, Option<i64>, i64, String);

/// An account that must be looked at.
#[derive(Debug, Clone)]
pub struct DueAccount {
    /// When it must be looked at, in microseconds since 1970.
    pub due_at: i64,
    /// The account, inside.
    pub uid: Uuid,
    /// Its id.
    pub id: AccountId,
}

/// What was read of an account.
pub struct Read {
    /// The account.
    pub loaded: Loaded,
    /// Executions that are written as running, but that nobody holds.
    pub orphans: Vec<Unfinished>,
    /// Executions that are written as running and whose rows cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// The answer to the first call of a key.
pub struct FirstAnswer {
    /// The account that it was about.
    pub account: AccountUid,
    /// What was asked.
    pub fingerprint: Vec<u8>,
    /// The answer.
    pub answer: Vec<u8>,
}

impl Store {
    /// Reads an account; `held` are the executions whose requests are under way in this process. Where anything may
    /// be unfinished, or a doubt is left, the revision is advanced first, so that nothing older can land later.
    pub async fn load_account(
        &self,
        id: &AccountId,
        held: &HashSet<ExecutionUid>,
        in_doubt: bool,
    ) -> Result<Option<Read>, StoreError> {
        if in_doubt {
            // Somebody else may write: the lease tells whether we may still do anything.
            self.lease.renew().await.map_err(StoreError::Unwritten)?;
        }
        if !self.lease.is_held() {
            return Err(StoreError::Lapsed);
        }
        let Some(found) = self.account_row(id).await? else {
            return Ok(None);
        };
        // What the process before had under way may still land, unless it gave its lease back.
        if in_doubt || found.next_due_at.is_some() || self.lease.is_after_a_break() {
            self.journal.fence(AccountUid(found.uid)).await?;
        }
        let Some(parts) = self.together.read(found.uid).await? else {
            return Ok(None);
        };
        let row = parts.row;
        if row.deleted_at.is_none() {
            self.use_data_key(AccountUid(row.uid), row.sealed_data_key.as_deref()).await?;
        }
        let webhooks = parts.webhooks;
        let health = webhooks.iter().filter_map(|row| Some((WebhookUid(row.uid), rows::health(row)?))).collect();
        let traffic = webhooks.iter().map(|row| (WebhookUid(row.uid), rows::traffic(row))).collect();
        let webhooks: Vec<_> = webhooks.into_iter().map(|one| rows::webhook(&self.sealer, one)).collect();
        clock::uuids_after(parts.newest_number.cast_unsigned());
        let opened = self.open_parts(&parts.running, rows::needs_event).await?;
        let (running, unreadable) = readable(AccountUid(row.uid), &parts.running, &opened);
        let (running, orphans) = running.into_iter().partition(|execution| held.contains(&execution.uid));
        let of_webhook = |one: &Webhook| {
            let earliest = parts.earliest.get(&key_of(one.uid.0))?;
            Some((WaitsFor::Webhook(one.uid), Timestamp(*earliest)))
        };
        let mut waiting: Vec<_> = webhooks.iter().filter_map(of_webhook).collect();
        let newest_place = if self.is_clock_behind() {
            self.newest_place(AccountUid(row.uid), &mut waiting).await?
        } else {
            Timestamp::default()
        };
        let (oldest_paused, newest_paused) = parts.paused;
        waiting.extend(oldest_paused.map(|oldest| (WaitsFor::Limit, Timestamp(oldest))));
        let newest_paused = Timestamp(newest_paused.unwrap_or_default());
        let (automations, unreadable_automations) = compiled(parts.automations, parts.activations);
        let loaded = Loaded {
            uid: AccountUid(row.uid),
            facts: rows::account_facts(&row)?,
            revision: row.revision,
            window: rows::window(&row),
            backlog: Backlog { count: u64::try_from(row.paused).unwrap_or_default(), newest: newest_paused },
            history: rows::history(&row)?,
            next_due_at: row.next_due_at.map(Timestamp),
            webhooks,
            automations,
            unreadable: unreadable_automations,
            running,
            waiting,
            newest_place,
            health,
            catalogue: Catalogue::new(parts.catalogue.iter().filter_map(rows::added_fields).collect()),
            traffic,
            jobs: unfinished_jobs(&parts.jobs),
        };
        Ok(Some(Read { loaded, orphans, unreadable }))
    }

    /// Reads an account to look at: its rules and limits, and nothing of what is under way.
    pub async fn read_account(&self, view: &AccountView) -> Result<Account, StoreError> {
        let webhooks =
            webhooks::Entity::find().filter(webhooks::Column::AccountUid.eq(view.uid.0)).all(&self.reader).await?;
        let webhooks = webhooks.into_iter().map(|one| rows::webhook(&self.sealer, one)).collect();
        let (automations, unreadable) = self.automations_of(view.uid.0).await?;
        Ok(Account::new(Loaded {
            uid: view.uid,
            facts: view.facts.clone(),
            revision: 0,
            window: view.window,
            backlog: Backlog { count: view.paused, newest: Timestamp::default() },
            history: HistorySummary::default(),
            next_due_at: None,
            webhooks,
            automations,
            unreadable,
            running: Vec::new(),
            waiting: Vec::new(),
            newest_place: Timestamp::default(),
            health: Vec::new(),
            catalogue: self.catalogue(view.uid).await?,
            traffic: Vec::new(),
            jobs: Vec::new(),
        }))
    }

    async fn account_row(&self, id: &AccountId) -> Result<Option<accounts::Model>, StoreError> {
        Ok(accounts::Entity::find().filter(accounts::Column::Id.eq(id.as_str())).one(&self.reader).await?)
    }

    /// Which fields objects have.
    pub async fn catalogue(&self, account: AccountUid) -> Result<Catalogue, StoreError> {
        let rows =
            catalogue::Entity::find().filter(catalogue::Column::AccountUid.eq(account.0)).all(&self.reader).await?;
        Ok(Catalogue::new(rows.iter().filter_map(rows::added_fields).collect()))
    }

    /// Every automation that can be made ready, and those that cannot.
    async fn automations_of(&self, account: Uuid) -> Result<(Vec<Automation>, Vec<UnreadableAutomation>), StoreError> {
        let rows = automations::Entity::find()
            .filter(automations::Column::AccountUid.eq(account))
            .filter(automations::Column::DeletedAt.is_null())
            .all(&self.reader)
            .await?;
        let of_account = activations::Entity::find().filter(activations::Column::AccountUid.eq(account));
        Ok(compiled(rows, of_account.all(&self.reader).await?))
    }

    /// The users that each automation of an account is active for.
    pub(super) async fn activations_of(&self, account: Uuid) -> Result<HashMap<Uuid, Vec<String>>, StoreError> {
        let rows =
            activations::Entity::find().filter(activations::Column::AccountUid.eq(account)).all(&self.reader).await?;
        Ok(by_automation(rows))
    }

    /// Whether the clock stands before a time that it has shown.
    fn is_clock_behind(&self) -> bool {
        clock::now().0 < self.latest_time.load(Ordering::Relaxed)
    }

    /// The place of the newest execution that waits for a slot, where the clock stands before it; and whatever waits is
    /// looked for at once, because some of it waits for no time.
    async fn newest_place(
        &self,
        account: AccountUid,
        waiting: &mut [(WaitsFor, Timestamp)],
    ) -> Result<Timestamp, StoreError> {
        use executions::Column as C;
        let now = clock::now();
        waiting.iter_mut().for_each(|(_, earliest)| *earliest = now.min(*earliest));
        let newest = executions::Entity::find()
            .select_only()
            .column(C::DueAt)
            .filter(C::Account.eq(account_key(account)))
            .filter(C::WaitsFor.is_in(waiting.iter().map(|(waits_for, _)| waits_for_key(*waits_for))))
            .filter(C::DueAt.gt(now.0))
            .filter(C::State.ne(rows::state_number(State::Retrying)))
            .order_by_desc(C::DueAt)
            .limit(1);
        let newest = newest.into_tuple::<Option<i64>>().one(&self.reader).await?.flatten();
        Ok(newest.map(Timestamp).unwrap_or_default())
    }

    /// The places of the oldest and of the newest execution that the limit holds back: two looks into the index.
    pub async fn paused(&self, account: AccountUid) -> Result<(Option<Timestamp>, Timestamp), StoreError> {
        let backend = self.reader.get_database_backend();
        let values = [account_key(account).into()];
        let statement = Statement::from_sql_and_values(backend, paused_sql(backend, 1), values);
        let row = self.reader.query_one_raw(statement).await?;
        let place = |name: &str| -> Result<Option<i64>, StoreError> {
            Ok(row.as_ref().map(|row| row.try_get("", name)).transpose()?.flatten())
        };
        Ok((place("oldest")?.map(Timestamp), Timestamp(place("newest")?.unwrap_or_default())))
    }

    /// What waits for a webhook and is due by a time, oldest first, at most so many.
    pub async fn due_rows(&self, account: AccountUid, wanted: RowsWanted) -> Result<DueRows, StoreError> {
        use executions::Column as C;
        let RowsWanted { waits_for, by, newest_place, rows_max } = wanted;
        let waiting = executions::Entity::find()
            .filter(C::Account.eq(account_key(account)))
            .filter(C::WaitsFor.eq(waits_for_key(waits_for)))
            .filter(C::DueAt.gt(DUE_RUNNING));
        let retrying = rows::state_number(State::Retrying);
        let is_set_back = newest_place > by;
        let looked_at = if is_set_back {
            // Among those that wait for a slot there are others that wait for their time.
            let due = Condition::any().add(C::DueAt.lte(by.0)).add(C::State.ne(retrying));
            waiting.clone().filter(C::DueAt.lte(newest_place.0)).filter(due)
        } else {
            waiting.clone()
        };
        let looked_at = looked_at.order_by_asc(C::DueAt);
        let rows_max = if rows_max > READ_ROWS_MIN {
            let weights = looked_at.clone().select_only().column(C::Weight).limit(one_more(rows_max));
            let weights: Vec<i32> = weights.into_tuple().all(&self.reader).await?;
            rows_max.min(how_many_fit(weights.into_iter().map(i64::from)))
        } else {
            rows_max
        };
        let found = looked_at.limit(one_more(rows_max)).all(&self.reader).await?;
        let due = |row: &executions::Model| {
            row.due_at.is_some_and(|due_at| wanted.takes(Timestamp(due_at), row.state == retrying))
        };
        let taken = found.iter().take(rows_max).take_while(|row| due(row)).count();
        let mut next = found.get(taken).and_then(|row| row.due_at).map(Timestamp);
        if is_set_back {
            let later = waiting.select_only().column(C::DueAt).filter(C::DueAt.gt(by.0)).filter(C::State.eq(retrying));
            let later = later.order_by_asc(C::DueAt).limit(1).into_tuple::<Option<i64>>().one(&self.reader).await?;
            next = next.map(|next| next.min(by)).or(later.flatten().map(Timestamp));
        }
        let opened = self.open_parts(&found[..taken], rows::needs_event).await?;
        let (rows, unreadable) = readable(account, &found[..taken], &opened);
        debug_assert!(rows.iter().all(|row| row.progress.state != State::Running));
        Ok(DueRows { waits_for, rows, unreadable, next })
    }

    /// Executions that ended before a time, oldest first; some of them, and where to look for more.
    pub async fn expired(&self, account: AccountUid, wanted: Expiring) -> Result<ExpiredExecutions, StoreError> {
        let Expiring { ended_before, after, rows_max } = wanted;
        let mut expired = ExpiredExecutions { ended_before, rows: Vec::new(), next: after, oldest: None };
        // Few rows first: reading a row costs as much as deleting it. More where none of them can be deleted.
        for scanned_max in [rows_max + 1, EXPIRED_SCAN_MAX] {
            let scanned = self.scan_ended(account, expired.next, ended_before, scanned_max).await?;
            let is_all = scanned.len() < scanned_max;
            for (number, uid, state, ended_at, changed_revision, event_id) in scanned {
                if expired.rows.len() == rows_max {
                    return Ok(expired);
                }
                let uid = rows::uid_of(account, number, uid);
                expired.next = Some(uid);
                if ended_at.is_some_and(|ended_at| ended_at < ended_before.0) {
                    let (event_id, state) = (event_id.parse().map_err(StoreError::Row)?, rows::state_of(state)?);
                    expired.rows.push(ExpiredRow { uid, state, changed_revision, event_id });
                }
            }
            if is_all {
                expired.next = None;
                expired.oldest = self.oldest_but(account, &expired.rows).await?;
                return Ok(expired);
            }
            if !expired.rows.is_empty() {
                break;
            }
        }
        Ok(expired)
    }

    /// What decides whether executions are deleted, of some that were made before a time, oldest first.
    async fn scan_ended(
        &self,
        account: AccountUid,
        after: Option<ExecutionUid>,
        before: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<ScannedEnd>, StoreError> {
        use executions::Column as C;
        let after = match after {
            Some(after) => self.place(account, after.0).await?,
            None => i64::MIN,
        };
        let found = executions::Entity::find()
            .select_only()
            .columns([C::Id, C::Uid, C::State, C::EndedAt, C::ChangedRevision, C::EventId])
            .filter(C::Account.eq(account_key(account)))
            .filter(C::Id.gt(after))
            .filter(C::Id.lt(ExecutionUid::at(before).leading_number()))
            .order_by_asc(C::Id)
            .limit(u64::try_from(rows_max).unwrap_or(u64::MAX));
        Ok(found.into_tuple().all(&self.reader).await?)
    }

    /// The oldest execution that is not among some.
    async fn oldest_but(&self, account: AccountUid, rows: &[ExpiredRow]) -> Result<Option<ExecutionUid>, StoreError> {
        use executions::Column as C;
        let numbers =
            numbers_of(&self.reader, rows.iter().map(|row| (account, RowKey::of(account, row.uid))).collect()).await?;
        let oldest = executions::Entity::find()
            .select_only()
            .columns([C::Id, C::Uid])
            .filter(C::Account.eq(account_key(account)))
            .filter(C::Id.is_not_in(numbers.into_values()))
            .order_by_asc(C::Id)
            .limit(1);
        let oldest: Option<(i64, Option<Uuid>)> = oldest.into_tuple().one(&self.reader).await?;
        Ok(oldest.map(|(number, uid)| rows::uid_of(account, number, uid)))
    }

    /// The number after which a page goes on that ended with an execution, which may be gone by now.
    pub(super) async fn place(&self, account: AccountUid, execution: Uuid) -> Result<i64, StoreError> {
        if execution.is_nil() {
            return Ok(i64::MIN);
        }
        let uid = ExecutionUid(execution);
        let key = RowKey::of(account, uid);
        let found = numbers_of(&self.reader, vec![(account, key)]).await?;
        Ok(found.get(&(account, key)).copied().unwrap_or_else(|| uid.leading_number()))
    }

    /// The accounts that must be looked at by a time, after a place in that order.
    pub async fn due_accounts(
        &self,
        by: Timestamp,
        after: Option<&DueAccount>,
        limit: u64,
    ) -> Result<Vec<DueAccount>, StoreError> {
        let (after_due, after_uid) = after.map_or((i64::MIN, Uuid::nil()), |last| (last.due_at, last.uid));
        let sql = "SELECT next_due_at, uid, id FROM accounts WHERE next_due_at IS NOT NULL AND next_due_at <= $1 \
                   AND (next_due_at, uid) > ($2, $3) ORDER BY next_due_at, uid LIMIT $4";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [Value::from(by.0), after_due.into(), after_uid.into(), limit.into()];
        let statement = Statement::from_sql_and_values(self.reader.get_database_backend(), sql, values);
        let mut found = Vec::new();
        for row in self.reader.query_all_raw(statement).await? {
            let id: String = row.try_get("", "id")?;
            found.push(DueAccount {
                due_at: row.try_get("", "next_due_at")?,
                uid: row.try_get("", "uid")?,
                id: id.parse().map_err(StoreError::Row)?,
            });
        }
        Ok(found)
    }

    /// The stored answer to a repeatable call about an account, which may be gone or another one by now.
    pub async fn answer(&self, account: &AccountId, key: &RequestId) -> Result<Option<FirstAnswer>, StoreError> {
        use crate::store::entities::answers::{Column as C, Entity};
        let found = Entity::find()
            .filter(C::AccountId.eq(account.as_str()))
            .filter(C::RequestId.eq(key.to_string()))
            .order_by_desc(C::CreatedAt)
            .limit(1)
            .one(&self.reader)
            .await?;
        let Some(row) = found else { return Ok(None) };
        Ok(Some(FirstAnswer { account: AccountUid(row.account_uid), fingerprint: row.fingerprint, answer: row.answer }))
    }
}

/// Executions as far as they can be read: one that cannot is ended, and holds up no other.
fn readable(account: AccountUid, rows: &[executions::Model], opened: &Opened) -> (Vec<Unfinished>, Vec<Unreadable>) {
    let (mut found, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    let mut beginnings = Beginnings::new();
    for row in rows {
        match opened.of(row).and_then(|unpacked| rows::unfinished(account, row, unpacked, &mut beginnings)) {
            Ok(execution) => found.push(execution),
            Err(error) => {
                let error = chain(&error);
                tracing::error!(execution.id = %rows::uid(account, row), error, "an execution cannot be read; it fails");
                unreadable.push(rows::unreadable(account, row));
            }
        }
    }
    (found, unreadable)
}

/// The users that each automation is active for.
fn by_automation(rows: Vec<activations::Model>) -> HashMap<Uuid, Vec<String>> {
    let mut found: HashMap<Uuid, Vec<String>> = HashMap::new();
    for row in rows {
        found.entry(row.automation_uid).or_default().push(row.user_id);
    }
    found
}

/// Every automation that can be made ready, and those that cannot.
fn compiled(
    rows: Vec<automations::Model>,
    activations: Vec<activations::Model>,
) -> (Vec<Automation>, Vec<UnreadableAutomation>) {
    let mut active_for = by_automation(activations);
    let (mut found, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        let users = active_for.remove(&row.uid).unwrap_or_default();
        match rows::automation(row, &users) {
            Ok(automation) => found.push(automation),
            Err(aside) => unreadable.push(aside),
        }
    }
    (found, unreadable)
}
