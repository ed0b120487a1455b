//! The executions of the history: one in full, pages of them, and those that a job takes.

use std::collections::{HashMap, HashSet};

use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{
    contents::Opened,
    history::{Page, one_more},
    sieve::{SCANNED_ROWS_MAX, Span},
};
use crate::{
    domain::{
        account::{due::JobWanted, job::JobRows},
        attempt::{Attempt, Fate},
        event::Action,
        execution::{NewExecution, Progress, Recorded, filter::ExecutionFilter, record::Record},
        id::{AccountId, AccountUid, EventId, ExecutionUid, UserId},
        source::SourceKind,
        timestamp::Timestamp,
    },
    store::{
        Store, StoreError,
        entities::{attempts, automations, executions},
        numbers::numbers_of,
        rows::{
            self, Beginnings, Keys,
            keys::{RowKey, account_key, key_of},
            packing,
        },
    },
    telemetry::chain,
};

/// How many records are read at a time to learn how deep a chain of causes is.
const CAUSES_AT_ONCE_MAX: usize = 16;

/// An execution as it is shown.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in `NewExecution` and on the wire")]
pub struct ExecutionView {
    pub uid: ExecutionUid,
    pub source_kind: SourceKind,
    pub event_id: String,
    pub run: i32,
    pub object: String,
    pub action: Action,
    pub entity_id: String,
    pub acting_user: Option<String>,
    pub progress: Progress,
    pub created_at: Timestamp,
    pub trace: String,
    pub retry_of: Option<ExecutionUid>,
    pub changed_revision: i64,
    pub record: Record,
    /// The attempts of each action, oldest first; only of a single execution.
    pub attempts: HashMap<usize, Vec<Attempt>>,
}

impl ExecutionView {
    /// A new execution as it is shown.
    pub fn of(new: &NewExecution, revision: i64) -> Self {
        Self {
            uid: new.uid,
            source_kind: new.source_kind,
            event_id: new.event_id.to_string(),
            run: new.run,
            object: new.object.to_string(),
            action: new.action,
            entity_id: new.entity_id.to_string(),
            acting_user: new.acting_user.as_ref().map(ToString::to_string),
            progress: new.progress.clone(),
            created_at: new.created_at,
            trace: new.record.trace.trace_id(),
            retry_of: new.retry_of,
            changed_revision: revision,
            record: Record::clone(&new.record),
            attempts: HashMap::new(),
        }
    }
}

/// What attempts say became of the actions of executions.
#[derive(Default)]
struct Fates {
    /// By the execution's number and the action.
    by_action: HashMap<(i64, i32), Fate>,
    /// Executions of which an attempt cannot be read.
    unreadable: HashMap<i64, StoreError>,
}

/// What an attempt says became of its action.
fn fate_of(plain: &[u8]) -> Result<(i32, Fate), StoreError> {
    rows::stored_attempt(plain).map(|(stored, _)| (stored.action_no, stored.fate()))
}

impl Store {
    /// One execution with its attempts.
    pub async fn find_execution(
        &self,
        account: AccountUid,
        uid: ExecutionUid,
        reader: Option<&UserId>,
        shows_secrets: bool,
    ) -> Result<Option<ExecutionView>, StoreError> {
        let rows = self.rows_of(account, &[uid]).await?;
        let filter = ExecutionFilter { reader: reader.cloned(), ..ExecutionFilter::default() };
        let sieve = self.sieve(account, &filter).await?;
        let is_readable = |row: &&executions::Model| sieve.is_readable(row.source, row.acting_user.as_deref());
        let Some(row) = rows.first().filter(is_readable) else { return Ok(None) };
        let opened = self.open_parts(&rows, rows::needs_event).await?;
        let record = opened.of(row).and_then(|unpacked| rows::record(row, unpacked, &mut Beginnings::new()));
        let mut view = execution_view(account, row, record);
        let others = self.attempts_of(account, &[row.id]).await?;
        if shows_secrets {
            self.ensure_data_key(account).await?;
        }
        let keys = Keys { account, execution: view.uid };
        let sealer = shows_secrets.then_some(&*self.sealer);
        let packed = row.outcome.as_deref().map(|bytes| (bytes, None));
        let packed = packed.into_iter().chain(others.iter().map(|row| (&*row.bytes, row.sealed_url.as_deref())));
        let mut attempts = Vec::new();
        for (bytes, sealed) in packed {
            // What cannot be read of a history does not keep the rest from being shown.
            let read = packing::unpack(bytes).and_then(|plain| {
                let stored = rows::stored_attempt(&plain)?;
                let place = (stored.0.action_no, stored.0.number);
                Ok((place, rows::attempt(stored, sealed, keys, &view.record, sealer)))
            });
            match read {
                Ok(attempt) => attempts.push(attempt),
                Err(error) => {
                    tracing::warn!(execution.id = %view.uid, error = chain(&error), "an attempt cannot be read");
                }
            }
        }
        attempts.sort_by_key(|(place, _)| *place);
        for ((action_no, _), attempt) in attempts {
            view.attempts.entry(usize::try_from(action_no).unwrap_or_default()).or_default().push(attempt);
        }
        Ok(Some(view))
    }

    /// The rows of executions, oldest first.
    async fn rows_of(&self, account: AccountUid, uids: &[ExecutionUid]) -> Result<Vec<executions::Model>, StoreError> {
        let numbers =
            numbers_of(&self.reader, uids.iter().map(|uid| (account, RowKey::of(account, *uid))).collect()).await?;
        self.rows_of_numbers(account, numbers.into_values()).await
    }

    async fn rows_of_numbers(
        &self,
        account: AccountUid,
        numbers: impl IntoIterator<Item = i64>,
    ) -> Result<Vec<executions::Model>, StoreError> {
        use executions::Column as C;
        let found = executions::Entity::find().filter(C::Account.eq(account_key(account))).filter(C::Id.is_in(numbers));
        Ok(found.order_by_asc(C::Id).all(&self.reader).await?)
    }

    /// The attempts of executions that do not stand in their rows, oldest first.
    async fn attempts_of(&self, account: AccountUid, numbers: &[i64]) -> Result<Vec<attempts::Model>, StoreError> {
        use attempts::Column as C;
        let found = attempts::Entity::find()
            .filter(C::Account.eq(account_key(account)))
            .filter(C::Execution.is_in(numbers.iter().copied()));
        Ok(found.order_by_asc(C::ActionNo).order_by_asc(C::Number).all(&self.reader).await?)
    }

    /// A page of executions, newest first, before a place.
    pub async fn list_executions(
        &self,
        account: AccountUid,
        filter: &ExecutionFilter,
        before: Option<Uuid>,
        size: usize,
    ) -> Result<Page<ExecutionView>, StoreError> {
        let sieve = self.sieve(account, filter).await?;
        let rows_max = if sieve.is_narrow() { SCANNED_ROWS_MAX } else { one_more(size) };
        let before = match before {
            Some(before) => Some(self.place(account, before).await?),
            None => None,
        };
        let span = Span { after: None, before, order: Order::Desc, rows_max };
        let scanned = self.scan(account, &sieve, span).await?;
        let mut wanted: Vec<i64> =
            scanned.iter().filter(|row| sieve.fits(row)).map(|row| row.id).take(size + 1).collect();
        let next = if wanted.len() > size {
            wanted.truncate(size);
            wanted.last().copied()
        } else {
            // As many as were asked for: there may be more that were not looked at.
            scanned.last().filter(|_| scanned.len() as u64 == rows_max).map(|row| row.id)
        };
        let mut items = Vec::with_capacity(wanted.len());
        let mut rest = wanted.as_slice();
        // Requests are large, and most of them is not shown: a few rows at a time.
        while !rest.is_empty() {
            let (some, others) = rest.split_at(self.how_many_fit(account, rest).await?);
            let found = self.rows_of_numbers(account, some.iter().copied()).await?;
            let opened = self.open_parts(&found, |_| false).await?;
            let view = |row| execution_view(account, row, opened.of(row).and_then(rows::brief_record));
            items.extend(found.iter().rev().map(view));
            rest = others;
        }
        let next = match next {
            Some(number) => Some(self.uid_of_number(account, number).await?.0),
            None => None,
        };
        Ok(Page { items, next })
    }

    /// The execution of a number, by which a page tells where the next one begins.
    async fn uid_of_number(&self, account: AccountUid, number: i64) -> Result<ExecutionUid, StoreError> {
        let carried: Option<Option<Uuid>> = executions::Entity::find()
            .select_only()
            .column(executions::Column::Uid)
            .filter(executions::Column::Account.eq(account_key(account)))
            .filter(executions::Column::Id.eq(number))
            .into_tuple()
            .one(&self.reader)
            .await?;
        // One that was deleted meanwhile still tells where it stood.
        Ok(rows::uid_of(account, number, carried.flatten()))
    }

    /// What a job looks at next: executions that were made before it and fit its filter, oldest first.
    pub async fn job_rows(&self, account: AccountUid, wanted: &JobWanted) -> Result<JobRows, StoreError> {
        let job = &wanted.job;
        let sieve = self.sieve(account, &job.filter).await?;
        let after = match job.progress.position {
            Some(position) => Some(self.place(account, position.0).await?),
            None => None,
        };
        let before = Some(ExecutionUid(job.uid.0).leading_number());
        let few = u64::try_from(wanted.rows_max).unwrap_or(u64::MAX).saturating_mul(2);
        let mut scanned = Vec::new();
        let mut fitting = Vec::new();
        let mut rows_max = 0;
        // Few rows first, because the rest would be looked at again with the next step; many where none of them fit.
        for most in [few, SCANNED_ROWS_MAX] {
            rows_max = most;
            let span = Span { after, before, order: Order::Asc, rows_max };
            scanned = self.scan(account, &sieve, span).await?;
            fitting = scanned.iter().filter(|row| sieve.fits(row)).map(|row| row.id).collect();
            if !fitting.is_empty() || (scanned.len() as u64) < rows_max {
                break;
            }
        }
        let taken = &fitting[..fitting.len().min(wanted.rows_max)];
        let taken = &taken[..self.how_many_fit(account, taken).await?];
        let has_more = taken.len() < fitting.len();
        let position = if has_more { taken.last().copied() } else { scanned.last().map(|row| row.id) };
        let position = match position {
            Some(number) => Some(self.uid_of_number(account, number).await?),
            None => None,
        };
        let rows = self.rows_of_numbers(account, taken.iter().copied()).await?;
        Ok(JobRows {
            job: job.uid,
            rows: self.recorded_rows(account, &rows).await?,
            position,
            is_last: !has_more && (scanned.len() as u64) < rows_max,
        })
    }

    /// How deep in a chain of causes executions of an account are; those that it does not have are left out.
    pub async fn causation_depths(
        &self,
        account: &AccountId,
        uids: &[ExecutionUid],
    ) -> Result<HashMap<ExecutionUid, u32>, StoreError> {
        let Some(view) = self.find_account(account).await? else { return Ok(HashMap::new()) };
        let mut depths = HashMap::new();
        for uids in uids.chunks(CAUSES_AT_ONCE_MAX) {
            let found = self.rows_of(view.uid, uids).await?;
            let opened = self.open_parts(&found, |_| false).await?;
            // Of one that cannot be read nothing is known, as of one that is not there.
            let readable = found.iter().filter_map(|row| {
                let depth = Record::depth_of_stored(&opened.of(row).ok()?.record).ok()?;
                Some((rows::uid(view.uid, row), depth))
            });
            depths.extend(readable);
        }
        Ok(depths)
    }

    /// Executions, as far as calls about them must know them, oldest first.
    pub async fn recorded(&self, account: AccountUid, uids: &[ExecutionUid]) -> Result<Vec<Recorded>, StoreError> {
        let rows = self.rows_of(account, uids).await?;
        self.recorded_rows(account, &rows).await
    }

    async fn recorded_rows(
        &self,
        account: AccountUid,
        found: &[executions::Model],
    ) -> Result<Vec<Recorded>, StoreError> {
        let mut fates = self.fates(account, found).await?;
        let last_runs = self.last_runs(account, found).await?;
        let automations = self.automation_uids(account).await?;
        let opened = self.open_parts(found, |_| true).await?;
        let mut beginnings = Beginnings::new();
        let mut recorded = Vec::with_capacity(found.len());
        for row in found {
            // What became of its actions must be known before any of them is sent again.
            let readable = fates.unreadable.remove(&row.id).map_or(Ok(()), Err);
            let read = readable.and_then(|()| recorded_row(account, row, &opened, &mut beginnings, &automations));
            match read {
                Ok(mut one) => {
                    one.last_run = last_runs.get(&(&*row.event_id, row.source)).copied().unwrap_or(row.run);
                    one.note_fates(|action| {
                        let key = (row.id, i32::try_from(action).unwrap_or(i32::MAX));
                        fates.by_action.get(&key).copied().unwrap_or_default()
                    });
                    recorded.push(one);
                }
                // A row that cannot be read must not keep the account from everything else.
                Err(error) => {
                    let uid = rows::uid(account, row);
                    tracing::error!(execution.id = %uid, error = %error, "an execution cannot be read");
                }
            }
        }
        Ok(recorded)
    }

    async fn fates(&self, account: AccountUid, found: &[executions::Model]) -> Result<Fates, StoreError> {
        let numbers: Vec<_> = found.iter().map(|row| row.id).collect();
        let others = self.attempts_of(account, &numbers).await?;
        let packed = found.iter().filter_map(|row| Some((row.id, row.outcome.as_deref()?)));
        let packed = packed.chain(others.iter().map(|row| (row.execution, &*row.bytes)));
        let mut fates = Fates::default();
        for (execution, bytes) in packed {
            match packing::unpack(bytes).and_then(|plain| fate_of(&plain)) {
                Ok((action_no, fate)) => {
                    let known = fates.by_action.entry((execution, action_no)).or_default();
                    *known = fate.max(*known);
                }
                Err(error) => drop(fates.unreadable.insert(execution, error)),
            }
        }
        Ok(fates)
    }

    /// The last run of each source for each event of some executions.
    async fn last_runs<'r>(
        &self,
        account: AccountUid,
        found: &'r [executions::Model],
    ) -> Result<HashMap<(&'r str, i64), i32>, StoreError> {
        use executions::Column as C;
        let hashes: HashSet<_> = found.iter().map(|row| row.event).collect();
        let runs: Vec<(String, i64, i32)> = executions::Entity::find()
            .select_only()
            .columns([C::EventId, C::Source])
            .column_as(C::Run.max(), "run")
            .filter(C::Event.is_in(hashes))
            .filter(C::Account.eq(account_key(account)))
            .group_by(C::EventId)
            .group_by(C::Source)
            .into_tuple()
            .all(&self.reader)
            .await?;
        let runs: HashMap<_, _> = runs.iter().map(|(event, source, run)| ((event.as_str(), *source), *run)).collect();
        let of_row = |row: &'r executions::Model| {
            let key = (&*row.event_id, row.source);
            Some((key, *runs.get(&key)?))
        };
        Ok(found.iter().filter_map(of_row).collect())
    }

    /// The automations of an account, living or deleted, by their keys.
    async fn automation_uids(&self, account: AccountUid) -> Result<HashMap<i64, Uuid>, StoreError> {
        let found: Vec<Uuid> = automations::Entity::find()
            .select_only()
            .column(automations::Column::Uid)
            .filter(automations::Column::AccountUid.eq(account.0))
            .into_tuple()
            .all(&self.reader)
            .await?;
        Ok(found.into_iter().map(|uid| (key_of(uid), uid)).collect())
    }
}

/// An execution as far as calls about it must know it, without its runs and what became of its actions.
fn recorded_row(
    account: AccountUid,
    row: &executions::Model,
    opened: &Opened,
    beginnings: &mut Beginnings,
    automations: &HashMap<i64, Uuid>,
) -> Result<Recorded, StoreError> {
    let unpacked = opened.of(row)?;
    let event_id: EventId = row.event_id.parse().map_err(StoreError::Row)?;
    let execution = rows::unfinished(account, row, unpacked, beginnings)?;
    // A regular webhook is the only one that its execution has a request to.
    let of_webhook = execution.record.requests.first().map(|request| request.webhook.0);
    let source = match execution.source_kind {
        SourceKind::Automation => automations.get(&row.source).copied(),
        SourceKind::RegularWebhook => of_webhook,
    };
    Ok(Recorded {
        source: source.ok_or_else(|| StoreError::Row("what it is a run of is not known any more".into()))?,
        event: rows::event(row, unpacked).map(Into::into),
        event_id,
        run: row.run,
        last_run: row.run,
        object: row.object.parse().map_err(StoreError::Row)?,
        action: rows::action_of(row.action)?,
        entity_id: row.entity_id.parse().map_err(StoreError::Row)?,
        acting_user: row.acting_user.as_deref().map(str::parse).transpose().map_err(StoreError::Row)?,
        succeeded: HashSet::new(),
        may_be_done: HashSet::new(),
        execution,
    })
}

/// An execution as people see it. What of its row cannot be read is left empty, so that its page is shown.
pub(super) fn execution_view(
    account: AccountUid,
    row: &executions::Model,
    record: Result<Record, StoreError>,
) -> ExecutionView {
    let uid = rows::uid(account, row);
    let record = record.unwrap_or_else(|error| {
        tracing::warn!(execution.id = %uid, error = %chain(&error), "an execution cannot be read");
        Record::unreadable()
    });
    ExecutionView {
        uid,
        source_kind: rows::source_kind_of(row.source_kind).unwrap_or(SourceKind::Automation),
        event_id: row.event_id.clone(),
        run: row.run,
        object: row.object.clone(),
        action: rows::action_of(row.action).unwrap_or(Action::Change),
        entity_id: row.entity_id.clone(),
        acting_user: row.acting_user.clone(),
        progress: rows::progress(row).unwrap_or_else(|_| rows::unreadable(account, row).progress),
        created_at: Timestamp(row.created_at),
        trace: record.trace.trace_id(),
        retry_of: row.retry_of.map(ExecutionUid),
        changed_revision: row.changed_revision,
        record,
        attempts: HashMap::new(),
    }
}
