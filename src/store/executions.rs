//! The executions of the history: one in full, pages of them, and those that a job takes.

use std::collections::{HashMap, HashSet};

use sea_orm::{
    ColumnTrait, Condition, DbBackend, EntityTrait, FromQueryResult, Order, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, Query, SimpleExpr},
};
use uuid::Uuid;

use super::{
    Store, StoreError,
    entities::{attempts, automations, events, executions, webhooks},
    history::{Page, one_more},
    rows::{self, Beginnings},
};
use crate::{
    domain::{
        account::{due::JobWanted, job::JobRows},
        attempt::{Attempt, Fate, Reason},
        event::{Action, Event},
        execution::{
            NewExecution, Progress, Recorded, filter::ExecutionFilter, notification::beginning, record::Record,
        },
        id::{AccountId, AccountUid, EventId, ExecutionUid, UserId},
        source::SourceKind,
        timestamp::Timestamp,
    },
    telemetry::chain,
};

/// How many rows one page of the history looks at; with narrow filters a page may be empty and not the last.
const SCANNED_ROWS_MAX: u64 = 10_000;

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

/// What of a row decides whether it is meant.
#[derive(Debug, FromQueryResult)]
pub(super) struct Scanned {
    pub uid: Uuid,
    source_uid: Uuid,
    state: i16,
    reason: Option<String>,
    object: String,
    entity_id: String,
    acting_user: Option<String>,
    created_at: i64,
    webhooks: Option<Vec<u8>>,
}

/// A filter whose names were looked up.
pub(super) struct Sieve<'f> {
    filter: &'f ExecutionFilter,
    /// The reader's automations and regular webhooks.
    owned: HashSet<Uuid>,
    /// The automations of the wanted id.
    sources: Option<Vec<Uuid>>,
    /// The webhooks of the wanted id.
    webhooks: Vec<Uuid>,
}

impl Sieve<'_> {
    /// Whether rows have to be looked at one by one.
    fn is_narrow(&self) -> bool {
        let filter = self.filter;
        let has_lists = !filter.states.is_empty() || !filter.reasons.is_empty();
        let has_names = filter.webhook.is_some() || filter.object.is_some() || filter.entity_id.is_some();
        has_lists || has_names || filter.reader.is_some() || filter.start.is_some() || filter.end.is_some()
    }

    /// Whether a row is meant, as far as the query has not said so.
    pub(super) fn fits(&self, row: &Scanned) -> bool {
        let filter = self.filter;
        let named = row.webhooks.as_deref().unwrap_or_default();
        let reason = row.reason.as_deref().and_then(Reason::parse);
        self.is_readable(row.source_uid, row.acting_user.as_deref())
            && (filter.webhook.is_none() || self.webhooks.iter().any(|one| rows::names_webhook(named, *one)))
            && (filter.states.is_empty() || filter.states.iter().any(|state| rows::state_number(*state) == row.state))
            && (filter.reasons.is_empty() || reason.is_some_and(|reason| filter.reasons.contains(&reason)))
            && filter.object.as_ref().is_none_or(|object| object.as_str() == row.object)
            && filter.entity_id.as_ref().is_none_or(|id| id.as_str() == row.entity_id)
            && filter.start.is_none_or(|start| row.created_at >= start.0)
            && filter.end.is_none_or(|end| row.created_at < end.0)
    }

    /// Whether the reader may read an execution.
    pub(super) fn is_readable(&self, source: Uuid, acting_user: Option<&str>) -> bool {
        let reader = self.filter.reader.as_ref();
        reader.is_none_or(|reader| acting_user == Some(reader.as_str()) || self.owned.contains(&source))
    }
}

/// An attempt, as far as it says what became of its action: execution, action, fate and status.
type Tried = (Uuid, i32, i16, Option<i32>);

/// Which rows a scan looks at, in which order.
struct Span {
    after: Option<Uuid>,
    before: Option<Uuid>,
    order: Order,
    rows_max: u64,
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
        let row = executions::Entity::find_by_id((account.0, uid.0))
            .filter(readable(account, reader))
            .one(&self.reader)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let beginnings = self.beginnings(account, std::slice::from_ref(&row)).await?;
        let mut view = execution_view(&row, rows::record(&row, &beginnings));
        let attempts = attempts::Entity::find()
            .filter(attempts::Column::AccountUid.eq(account.0))
            .filter(attempts::Column::ExecutionUid.eq(uid.0))
            .order_by_asc(attempts::Column::ActionNo)
            .order_by_asc(attempts::Column::Number)
            .all(&self.reader)
            .await?;
        if shows_secrets && attempts.iter().any(|row| row.sealed_url.is_some()) {
            self.ensure_data_key(account).await?;
        }
        for row in attempts {
            let action_no = usize::try_from(row.action_no).unwrap_or_default();
            let attempt = rows::attempt(&self.sealer, row, shows_secrets);
            view.attempts.entry(action_no).or_default().push(attempt);
        }
        Ok(Some(view))
    }

    /// The beginnings of the bodies of regular webhooks' executions: their events, read once each.
    pub(super) async fn beginnings(
        &self,
        account: AccountUid,
        rows: &[executions::Model],
    ) -> Result<Beginnings, StoreError> {
        let regular = rows::source_kind_number(SourceKind::RegularWebhook);
        let ids: HashSet<_> =
            rows.iter().filter(|row| row.source_kind == regular).map(|row| row.event_id.as_str()).collect();
        if ids.is_empty() {
            return Ok(Beginnings::new());
        }
        let found = events::Entity::find()
            .filter(events::Column::AccountUid.eq(account.0))
            .filter(events::Column::EventId.is_in(ids))
            .all(&self.reader)
            .await?;
        let of_event = |row: events::Model| {
            let id = row.event_id.parse().map_err(StoreError::Row)?;
            let event = Event::from_stored(id, &row.payload).map_err(StoreError::Encoding)?;
            Ok::<_, StoreError>((row.event_id, beginning(&event)))
        };
        // The executions of an event that cannot be read cannot be read either, and say so.
        Ok(found.into_iter().filter_map(|row| of_event(row).ok()).collect())
    }

    /// The automations of an account, living or deleted, that fit a condition.
    async fn automations_where(&self, account: AccountUid, fits: SimpleExpr) -> Result<Vec<Uuid>, StoreError> {
        let found = automations::Entity::find()
            .select_only()
            .column(automations::Column::Uid)
            .filter(automations::Column::AccountUid.eq(account.0))
            .filter(fits);
        Ok(found.into_tuple().all(&self.reader).await?)
    }

    /// The webhooks of an account, living or deleted, that fit a condition.
    async fn webhooks_where(&self, account: AccountUid, fits: SimpleExpr) -> Result<Vec<Uuid>, StoreError> {
        let found = webhooks::Entity::find()
            .select_only()
            .column(webhooks::Column::Uid)
            .filter(webhooks::Column::AccountUid.eq(account.0))
            .filter(fits);
        Ok(found.into_tuple().all(&self.reader).await?)
    }

    /// Looks up what a filter names.
    pub(super) async fn sieve<'f>(
        &self,
        account: AccountUid,
        filter: &'f ExecutionFilter,
    ) -> Result<Sieve<'f>, StoreError> {
        let owned = match &filter.reader {
            Some(user) => {
                let is_theirs = webhooks::Column::OwnerUserId.eq(user.as_str());
                let mut owned = self.webhooks_where(account, is_theirs).await?;
                let is_theirs = automations::Column::OwnerUserId.eq(user.as_str());
                owned.extend(self.automations_where(account, is_theirs).await?);
                owned
            }
            None => Vec::new(),
        };
        let sources = match &filter.automation {
            Some(id) => Some(self.automations_where(account, automations::Column::Id.eq(id.as_str())).await?),
            None => None,
        };
        let webhooks = match &filter.webhook {
            Some(id) => self.webhooks_where(account, webhooks::Column::Id.eq(id.as_str())).await?,
            None => Vec::new(),
        };
        Ok(Sieve { filter, owned: owned.into_iter().collect(), sources, webhooks })
    }

    /// What decides of rows whether they are meant, by small columns only: requests are large.
    async fn scan(&self, account: AccountUid, sieve: &Sieve<'_>, span: Span) -> Result<Vec<Scanned>, StoreError> {
        use executions::Column as C;
        let mut query = executions::Entity::find()
            .select_only()
            .columns([C::Uid, C::SourceUid, C::State, C::Reason, C::Object, C::EntityId])
            .columns([C::ActingUser, C::CreatedAt])
            .filter(C::AccountUid.eq(account.0));
        // That column is behind the requests, which are large: it is read only where it is needed.
        query = match sieve.filter.webhook {
            Some(_) => query.column(C::Webhooks),
            None => query.column_as(Expr::value(sea_orm::Value::Bytes(None)), "webhooks"),
        };
        if let Some(sources) = &sieve.sources {
            // Looked up first, so that the index over source and execution serves the page as it is.
            query = match sources.as_slice() {
                [one] => query.filter(C::SourceUid.eq(*one)),
                _ => query.filter(C::SourceUid.is_in(sources.iter().copied())),
            };
        }
        let event_id = sieve.filter.event_id.as_ref();
        // Ids are in the order of time.
        let start = sieve.filter.start.map(|start| ExecutionUid::at(start).0);
        let end = sieve.filter.end.map(|end| ExecutionUid::at(Timestamp(end.0 + 1_000)).0);
        query = query.filter(
            Condition::all()
                .add_option(event_id.map(|id| C::EventId.eq(id.as_str())))
                .add_option(start.map(|start| C::Uid.gte(start)))
                .add_option(end.map(|end| C::Uid.lt(end)))
                .add_option(span.after.map(|after| C::Uid.gt(after)))
                .add_option(span.before.map(|before| C::Uid.lt(before))),
        );
        // An event has few executions: SQLite must find them by the event, not go through the account in order.
        let by_event = event_id.is_some() && self.reader.get_database_backend() == DbBackend::Sqlite;
        let order = if by_event { Expr::cust("+executions.uid") } else { Expr::col(C::Uid) };
        let query = query.order_by(order, span.order).limit(span.rows_max);
        Ok(query.into_model::<Scanned>().all(&self.reader).await?)
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
        let span = Span { after: None, before, order: Order::Desc, rows_max };
        let scanned = self.scan(account, &sieve, span).await?;
        let mut wanted: Vec<Uuid> =
            scanned.iter().filter(|row| sieve.fits(row)).map(|row| row.uid).take(size + 1).collect();
        let next = if wanted.len() > size {
            wanted.truncate(size);
            wanted.last().copied()
        } else {
            // As many as were asked for: there may be more that were not looked at.
            scanned.last().filter(|_| scanned.len() as u64 == rows_max).map(|row| row.uid)
        };
        let mut items = Vec::with_capacity(wanted.len());
        let mut rest = wanted.as_slice();
        // Requests are large, and most of them is not shown: a few rows at a time.
        while !rest.is_empty() {
            let (some, others) = rest.split_at(self.how_many_fit(account, rest).await?);
            let found = executions::Entity::find()
                .filter(executions::Column::AccountUid.eq(account.0))
                .filter(executions::Column::Uid.is_in(some.iter().copied()))
                .order_by_desc(executions::Column::Uid)
                .all(&self.reader)
                .await?;
            items.extend(found.iter().map(|row| execution_view(row, rows::brief_record(row))));
            rest = others;
        }
        Ok(Page { items, next })
    }

    /// What a job looks at next: executions that were made before it and fit its filter, oldest first.
    pub async fn job_rows(&self, account: AccountUid, wanted: &JobWanted) -> Result<JobRows, StoreError> {
        let job = &wanted.job;
        let sieve = self.sieve(account, &job.filter).await?;
        let after = job.progress.position.map(|position| position.0);
        let few = u64::try_from(wanted.rows_max).unwrap_or(u64::MAX).saturating_mul(2);
        let mut scanned = Vec::new();
        let mut fitting = Vec::new();
        let mut rows_max = 0;
        // Few rows first, because the rest would be looked at again with the next step; many where none of them fit.
        for most in [few, SCANNED_ROWS_MAX] {
            rows_max = most;
            let span = Span { after, before: Some(job.uid.0), order: Order::Asc, rows_max };
            scanned = self.scan(account, &sieve, span).await?;
            fitting = scanned.iter().filter(|row| sieve.fits(row)).map(|row| row.uid).collect();
            if !fitting.is_empty() || (scanned.len() as u64) < rows_max {
                break;
            }
        }
        let taken = &fitting[..fitting.len().min(wanted.rows_max)];
        let taken = &taken[..self.how_many_fit(account, taken).await?];
        let has_more = taken.len() < fitting.len();
        let position = if has_more { taken.last().copied() } else { scanned.last().map(|row| row.uid) };
        Ok(JobRows {
            job: job.uid,
            rows: self.recorded(account, taken).await?,
            position: position.map(ExecutionUid),
            is_last: !has_more && (scanned.len() as u64) < rows_max,
        })
    }

    /// How deep in a chain of causes executions of an account are; those that it does not have are left out.
    pub async fn causation_depths(
        &self,
        account: &AccountId,
        uids: &[ExecutionUid],
    ) -> Result<HashMap<ExecutionUid, u32>, StoreError> {
        use executions::Column as C;
        let Some(view) = self.find_account(account).await? else { return Ok(HashMap::new()) };
        let mut depths = HashMap::new();
        for uids in uids.chunks(CAUSES_AT_ONCE_MAX) {
            let found: Vec<(Uuid, Vec<u8>)> = executions::Entity::find()
                .select_only()
                .columns([C::Uid, C::Requests])
                .filter(C::AccountUid.eq(view.uid.0))
                .filter(C::Uid.is_in(uids.iter().map(|uid| uid.0)))
                .into_tuple()
                .all(&self.reader)
                .await?;
            // Of one that cannot be read nothing is known, as of one that is not there.
            let readable = found.into_iter().filter_map(|(uid, record)| {
                Record::depth_of_stored(&record).ok().map(|depth| (ExecutionUid(uid), depth))
            });
            depths.extend(readable);
        }
        Ok(depths)
    }

    /// Executions, as far as calls about them must know them, oldest first.
    pub async fn recorded(&self, account: AccountUid, uids: &[Uuid]) -> Result<Vec<Recorded>, StoreError> {
        use attempts::Column as C2;
        use executions::Column as C;
        let of_account = executions::Entity::find().filter(C::AccountUid.eq(account.0));
        let found = of_account
            .clone()
            .filter(C::Uid.is_in(uids.iter().copied()))
            .order_by_asc(C::Uid)
            .all(&self.reader)
            .await?;
        let event_ids: HashSet<_> = found.iter().map(|row| row.event_id.as_str()).collect();
        let runs: Vec<(String, Uuid, i32)> = of_account
            .select_only()
            .columns([C::EventId, C::SourceUid])
            .column_as(C::Run.max(), "run")
            .filter(C::EventId.is_in(event_ids.iter().copied()))
            .group_by(C::EventId)
            .group_by(C::SourceUid)
            .into_tuple()
            .all(&self.reader)
            .await?;
        let last_runs: HashMap<_, _> = runs.into_iter().map(|(event, source, run)| ((event, source), run)).collect();
        let tried: Vec<Tried> = attempts::Entity::find()
            .select_only()
            .columns([C2::ExecutionUid, C2::ActionNo, C2::Fate, C2::Status])
            .filter(C2::AccountUid.eq(account.0))
            .filter(C2::ExecutionUid.is_in(uids.iter().copied()))
            .into_tuple()
            .all(&self.reader)
            .await?;
        let mut fates: HashMap<(Uuid, i32), Fate> = HashMap::new();
        for (execution, action_no, fate, status) in tried {
            let known = fates.entry((execution, action_no)).or_default();
            *known = rows::fate_of(fate, status).max(*known);
        }
        let payloads = events::Entity::find()
            .filter(events::Column::AccountUid.eq(account.0))
            .filter(events::Column::EventId.is_in(event_ids))
            .all(&self.reader)
            .await?;
        let payloads: HashMap<_, _> =
            payloads.iter().map(|row| (row.event_id.as_str(), row.payload.as_slice())).collect();
        let recorded = |row: &executions::Model| -> Result<Recorded, StoreError> {
            let event_id: EventId = row.event_id.parse().map_err(StoreError::Row)?;
            let payload = payloads.get(row.event_id.as_str());
            let event = payload.and_then(|payload| Event::from_stored(event_id.clone(), payload).ok());
            let of_event = event.iter().map(|event| (row.event_id.clone(), beginning(event))).collect();
            let execution = rows::unfinished(row, &of_event)?;
            let mut recorded = Recorded {
                source: row.source_uid,
                event: event.map(Into::into),
                event_id,
                run: row.run,
                last_run: last_runs.get(&(row.event_id.clone(), row.source_uid)).copied().unwrap_or(row.run),
                object: row.object.parse().map_err(StoreError::Row)?,
                action: rows::action_of(row.action)?,
                entity_id: row.entity_id.parse().map_err(StoreError::Row)?,
                acting_user: row.acting_user.as_deref().map(str::parse).transpose().map_err(StoreError::Row)?,
                succeeded: HashSet::new(),
                may_be_done: HashSet::new(),
                execution,
            };
            recorded.note_fates(|action| {
                let key = (row.uid, i32::try_from(action).unwrap_or(i32::MAX));
                fates.get(&key).copied().unwrap_or_default()
            });
            Ok(recorded)
        };
        // A row that cannot be read must not keep the account from everything else.
        let readable = found.iter().filter_map(|row| match recorded(row) {
            Ok(recorded) => Some(recorded),
            Err(error) => {
                tracing::error!(execution.uid = %row.uid, error = %error, "an execution cannot be read");
                None
            }
        });
        Ok(readable.collect())
    }
}

/// What a user may read: executions of automations and regular webhooks they own, deleted ones too, and those their own
/// acts caused.
fn readable(account: AccountUid, reader: Option<&UserId>) -> Condition {
    let Some(user) = reader else { return Condition::all() };
    let of_automations = Query::select()
        .column(automations::Column::Uid)
        .from(automations::Entity)
        .and_where(automations::Column::AccountUid.eq(account.0))
        .and_where(automations::Column::OwnerUserId.eq(user.as_str()))
        .to_owned();
    let of_webhooks = Query::select()
        .column(webhooks::Column::Uid)
        .from(webhooks::Entity)
        .and_where(webhooks::Column::AccountUid.eq(account.0))
        .and_where(webhooks::Column::OwnerUserId.eq(user.as_str()))
        .to_owned();
    let source = || Expr::col(executions::Column::SourceUid);
    Condition::any()
        .add(executions::Column::ActingUser.eq(user.as_str()))
        .add(sea_orm::ExprTrait::in_subquery(source(), of_automations))
        .add(sea_orm::ExprTrait::in_subquery(source(), of_webhooks))
}

/// An execution as people see it. What of its row cannot be read is left empty, so that its page is shown.
pub(super) fn execution_view(row: &executions::Model, record: Result<Record, StoreError>) -> ExecutionView {
    let record = record.unwrap_or_else(|error| {
        tracing::warn!(execution.id = %ExecutionUid(row.uid), error = %chain(&error), "an execution cannot be read");
        Record::unreadable()
    });
    ExecutionView {
        uid: ExecutionUid(row.uid),
        source_kind: rows::source_kind_of(row.source_kind).unwrap_or(SourceKind::Automation),
        event_id: row.event_id.clone(),
        run: row.run,
        object: row.object.clone(),
        action: rows::action_of(row.action).unwrap_or(Action::Change),
        entity_id: row.entity_id.clone(),
        acting_user: row.acting_user.clone(),
        progress: rows::progress(row).unwrap_or_else(|_| rows::unreadable(row).progress),
        created_at: Timestamp(row.created_at),
        trace: row.trace.clone(),
        retry_of: row.retry_of.map(ExecutionUid),
        changed_revision: row.changed_revision,
        record,
        attempts: HashMap::new(),
    }
}
