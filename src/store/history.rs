//! What people read: accounts, webhooks, automations, and the history of executions.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, Condition, DbBackend, EntityTrait, FromQueryResult, Order, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, Query, SimpleExpr},
};
use uuid::Uuid;

use super::{
    Store, StoreError,
    entities::{accounts, activations, attempts, automations, events, executions, webhooks},
    rows,
};
use crate::domain::{
    account::AccountFacts,
    automation::Automation,
    event::{Action, Event},
    execution::{Attempt, Progress, Reason, SourceKind, State},
    id::{AccountId, AccountUid, EntityId, EventId, ExecutionUid, ObjectName, ResourceId, UserId},
    limits::Window,
    request::Record,
    timestamp::Timestamp,
    webhook::{Webhook, WebhookKind},
};

/// How many rows one page of the history looks at; with narrow filters a page may be empty and not the last.
const SCANNED_ROWS_MAX: u64 = 10_000;

/// An account as it is shown.
#[derive(Debug, Clone)]
pub struct AccountView {
    /// Inside.
    pub uid: AccountUid,
    /// Its id.
    pub id: AccountId,
    /// Its facts.
    pub facts: AccountFacts,
    /// Its window of executions, as it was last written.
    pub window: Window,
    /// How many executions the limit holds back.
    pub paused: u64,
}

/// What an account has of things that are limited.
#[derive(Debug, Clone, Copy)]
pub struct UsageCounts {
    /// When the oldest execution came in that the limit holds back.
    pub oldest_paused: Option<Timestamp>,
    /// How many automations are enabled.
    pub active_automations: u64,
    /// How many automation webhooks there are.
    pub automation_webhooks: u64,
}

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

/// Which executions to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct ExecutionFilter {
    /// Only what this user may read: of automations they own, or caused by their acts.
    pub reader: Option<UserId>,
    /// Only those of the automation of this id, living or deleted.
    pub automation: Option<ResourceId>,
    /// Only those in one of these states.
    pub states: Vec<State>,
    /// Only those with one of these reasons.
    pub reasons: Vec<Reason>,
    /// Only those caused by this event.
    pub event_id: Option<String>,
    /// Only those of this kind of object.
    pub object: Option<ObjectName>,
    /// Only those of this object.
    pub entity_id: Option<EntityId>,
    /// Only those made at or after this time.
    pub start: Option<Timestamp>,
    /// Only those made before this time.
    pub end: Option<Timestamp>,
}

/// What of a row decides whether it is listed.
#[derive(Debug, FromQueryResult)]
struct Scanned {
    uid: Uuid,
    source_uid: Uuid,
    state: i16,
    reason: Option<String>,
    object: String,
    entity_id: String,
    acting_user: Option<String>,
    created_at: i64,
}

impl ExecutionFilter {
    /// Whether rows have to be looked at one by one.
    fn is_narrow(&self) -> bool {
        let has_lists = !self.states.is_empty() || !self.reasons.is_empty();
        let has_values = self.object.is_some() || self.entity_id.is_some() || self.reader.is_some();
        has_lists || has_values || self.start.is_some() || self.end.is_some()
    }

    /// Whether a row is listed; `owned` are the reader's automations.
    fn fits(&self, row: &Scanned, owned: &[Uuid]) -> bool {
        let reason = row.reason.as_deref().and_then(Reason::parse);
        let is_readable = self.reader.as_ref().is_none_or(|reader| {
            row.acting_user.as_deref() == Some(reader.as_str()) || owned.contains(&row.source_uid)
        });
        is_readable
            && (self.states.is_empty() || self.states.iter().any(|state| rows::state_number(*state) == row.state))
            && (self.reasons.is_empty() || reason.is_some_and(|reason| self.reasons.contains(&reason)))
            && self.object.as_ref().is_none_or(|object| object.as_str() == row.object)
            && self.entity_id.as_ref().is_none_or(|id| id.as_str() == row.entity_id)
            && self.start.is_none_or(|start| row.created_at >= start.0)
            && self.end.is_none_or(|end| row.created_at < end.0)
    }
}

/// A page, and the place after which the next one begins.
#[derive(Debug)]
pub struct Page<T> {
    /// What it has.
    pub items: Vec<T>,
    /// Where the next page begins; none on the last.
    pub next: Option<Uuid>,
}

impl<T> Page<T> {
    /// Makes a page out of one item more than it may have.
    fn cut(mut items: Vec<T>, size: usize, key: impl Fn(&T) -> Uuid) -> Self {
        let has_more = items.len() > size;
        items.truncate(size);
        let next = items.last().filter(|_| has_more).map(key);
        Self { items, next }
    }
}

fn one_more(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX).saturating_add(1)
}

impl Store {
    /// An account that is not deleted.
    pub async fn find_account(&self, id: &AccountId) -> Result<Option<AccountView>, StoreError> {
        let row = accounts::Entity::find()
            .filter(accounts::Column::Id.eq(id.as_str()))
            .filter(accounts::Column::DeletedAt.is_null())
            .one(&self.reader)
            .await?;
        row.as_ref().map(account_view).transpose()
    }

    /// A page of accounts in the order of their ids, after an id; `only` narrows it to some.
    pub async fn list_accounts(
        &self,
        only: Option<&[AccountId]>,
        after: &str,
        size: usize,
    ) -> Result<(Vec<AccountView>, bool), StoreError> {
        let ids = only.map(|ids| ids.iter().map(AccountId::as_str).collect::<Vec<_>>());
        let rows = accounts::Entity::find()
            .filter(accounts::Column::DeletedAt.is_null())
            .filter(accounts::Column::Id.gt(after))
            .filter(Condition::all().add_option(ids.map(|ids| accounts::Column::Id.is_in(ids))))
            .order_by_asc(accounts::Column::Id)
            .limit(one_more(size))
            .all(&self.reader)
            .await?;
        let has_more = rows.len() > size;
        let views = rows.iter().take(size).map(account_view).collect::<Result<_, _>>()?;
        Ok((views, has_more))
    }

    /// A webhook that is not deleted.
    pub async fn find_webhook(&self, account: AccountUid, id: &ResourceId) -> Result<Option<Webhook>, StoreError> {
        let row = webhooks::Entity::find()
            .filter(webhooks::Column::AccountUid.eq(account.0))
            .filter(webhooks::Column::DeletedAt.is_null())
            .filter(webhooks::Column::Id.eq(id.as_str()))
            .one(&self.reader)
            .await?;
        row.map(|row| rows::webhook(&self.sealer, row)).transpose()
    }

    /// A page of webhooks in the order of their creation.
    pub async fn list_webhooks(
        &self,
        account: AccountUid,
        after: Option<Uuid>,
        size: usize,
    ) -> Result<Page<Webhook>, StoreError> {
        let found = webhooks::Entity::find()
            .filter(webhooks::Column::AccountUid.eq(account.0))
            .filter(webhooks::Column::DeletedAt.is_null())
            .filter(Condition::all().add_option(after.map(|after| webhooks::Column::Uid.gt(after))))
            .order_by_asc(webhooks::Column::Uid)
            .limit(one_more(size))
            .all(&self.reader)
            .await?;
        let found = found.into_iter().map(|row| rows::webhook(&self.sealer, row)).collect::<Result<_, _>>()?;
        Ok(Page::cut(found, size, |webhook: &Webhook| webhook.uid.0))
    }

    /// The ids of the webhooks, among some, that are deleted.
    pub async fn deleted_webhooks(&self, account: AccountUid) -> Result<Vec<Uuid>, StoreError> {
        let found = webhooks::Entity::find()
            .select_only()
            .column(webhooks::Column::Uid)
            .filter(webhooks::Column::AccountUid.eq(account.0))
            .filter(webhooks::Column::DeletedAt.is_not_null())
            .into_tuple();
        Ok(found.all(&self.reader).await?)
    }

    /// An automation that is not deleted.
    pub async fn find_automation(
        &self,
        account: AccountUid,
        id: &ResourceId,
    ) -> Result<Option<Automation>, StoreError> {
        let row = automations::Entity::find()
            .filter(automations::Column::AccountUid.eq(account.0))
            .filter(automations::Column::DeletedAt.is_null())
            .filter(automations::Column::Id.eq(id.as_str()))
            .one(&self.reader)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let users = self.activations_of(account.0).await?.remove(&row.uid).unwrap_or_default();
        rows::automation(row, &users).map(Some)
    }

    /// A page of automations in the order of their creation.
    pub async fn list_automations(
        &self,
        account: AccountUid,
        after: Option<Uuid>,
        size: usize,
    ) -> Result<Page<Automation>, StoreError> {
        let found = automations::Entity::find()
            .filter(automations::Column::AccountUid.eq(account.0))
            .filter(automations::Column::DeletedAt.is_null())
            .filter(Condition::all().add_option(after.map(|after| automations::Column::Uid.gt(after))))
            .order_by_asc(automations::Column::Uid)
            .limit(one_more(size))
            .all(&self.reader)
            .await?;
        let mut active_for = self.activations_of(account.0).await?;
        let with_users = |row: automations::Model| {
            let users = active_for.remove(&row.uid).unwrap_or_default();
            rows::automation(row, &users)
        };
        let found = found.into_iter().map(with_users).collect::<Result<_, _>>()?;
        Ok(Page::cut(found, size, |automation: &Automation| automation.uid.0))
    }

    /// An event of the history.
    pub async fn find_event(&self, account: AccountUid, id: EventId) -> Result<Option<Event>, StoreError> {
        let row = events::Entity::find_by_id((account.0, id.to_string())).one(&self.reader).await?;
        let Some(row) = row else { return Ok(None) };
        Event::from_stored(id, &row.payload).map(Some).map_err(StoreError::Encoding)
    }

    /// What an account has of things that are limited.
    pub async fn usage(&self, view: &AccountView) -> Result<UsageCounts, StoreError> {
        let automations = automations::Entity::find()
            .filter(automations::Column::AccountUid.eq(view.uid.0))
            .filter(automations::Column::DeletedAt.is_null())
            .filter(automations::Column::Enabled.eq(1))
            .filter(
                automations::Column::Uid.in_subquery(
                    Query::select()
                        .column(activations::Column::AutomationUid)
                        .from(activations::Entity)
                        .and_where(activations::Column::AccountUid.eq(view.uid.0))
                        .to_owned(),
                ),
            );
        let webhooks = webhooks::Entity::find()
            .filter(webhooks::Column::AccountUid.eq(view.uid.0))
            .filter(webhooks::Column::DeletedAt.is_null())
            .filter(webhooks::Column::Kind.eq(rows::webhook_kind_word(WebhookKind::Automation)?));
        let (oldest_paused, _) = self.paused(view.uid).await?;
        Ok(UsageCounts {
            oldest_paused,
            active_automations: automations.count(&self.reader).await?,
            automation_webhooks: webhooks.count(&self.reader).await?,
        })
    }

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
        let mut view = execution_view(&row)?;
        let attempts = attempts::Entity::find()
            .filter(attempts::Column::AccountUid.eq(account.0))
            .filter(attempts::Column::ExecutionUid.eq(uid.0))
            .order_by_asc(attempts::Column::ActionNo)
            .order_by_asc(attempts::Column::Number)
            .all(&self.reader)
            .await?;
        for row in attempts {
            let action_no = usize::try_from(row.action_no).unwrap_or_default();
            let attempt = rows::attempt(&self.sealer, row, shows_secrets)?;
            view.attempts.entry(action_no).or_default().push(attempt);
        }
        Ok(Some(view))
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

    /// A page of executions, newest first, before a place.
    pub async fn list_executions(
        &self,
        account: AccountUid,
        filter: &ExecutionFilter,
        before: Option<Uuid>,
        size: usize,
    ) -> Result<Page<ExecutionView>, StoreError> {
        // First which rows, by small columns only, then their contents: requests are large.
        let mut query = executions::Entity::find()
            .select_only()
            .columns([executions::Column::Uid, executions::Column::SourceUid, executions::Column::State])
            .columns([executions::Column::Reason, executions::Column::Object, executions::Column::EntityId])
            .columns([executions::Column::ActingUser, executions::Column::CreatedAt])
            .filter(executions::Column::AccountUid.eq(account.0));
        if let Some(id) = &filter.automation {
            // Looked up first, so that the index over source and execution serves the page as it is.
            let sources = self.automations_where(account, automations::Column::Id.eq(id.as_str())).await?;
            query = match sources.as_slice() {
                [one] => query.filter(executions::Column::SourceUid.eq(*one)),
                _ => query.filter(executions::Column::SourceUid.is_in(sources)),
            };
        }
        query = query.filter(
            Condition::all()
                .add_option(filter.event_id.as_ref().map(|id| executions::Column::EventId.eq(id.as_str())))
                .add_option(before.map(|before| executions::Column::Uid.lt(before))),
        );
        let owned = match &filter.reader {
            Some(user) => self.automations_where(account, automations::Column::OwnerUserId.eq(user.as_str())).await?,
            None => Vec::new(),
        };
        // An event has few executions: SQLite must find them by the event, not go through the account in order.
        let by_event = filter.event_id.is_some() && self.reader.get_database_backend() == DbBackend::Sqlite;
        let order = if by_event { Expr::cust("+executions.uid") } else { Expr::col(executions::Column::Uid) };
        let looks_at = if filter.is_narrow() { SCANNED_ROWS_MAX } else { one_more(size) };
        let scanned =
            query.order_by(order, Order::Desc).limit(looks_at).into_model::<Scanned>().all(&self.reader).await?;
        let mut wanted: Vec<Uuid> =
            scanned.iter().filter(|row| filter.fits(row, &owned)).map(|row| row.uid).take(size + 1).collect();
        let next = if wanted.len() > size {
            wanted.truncate(size);
            wanted.last().copied()
        } else {
            // As many as were asked for: there may be more that were not looked at.
            scanned.last().filter(|_| scanned.len() as u64 == looks_at).map(|row| row.uid)
        };
        let found = executions::Entity::find()
            .filter(executions::Column::AccountUid.eq(account.0))
            .filter(executions::Column::Uid.is_in(wanted))
            .order_by_desc(executions::Column::Uid)
            .all(&self.reader)
            .await?;
        let items = found.iter().map(execution_view).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }
}

/// What a user may read: executions of automations they own, deleted ones too, and those their own acts caused.
fn readable(account: AccountUid, reader: Option<&UserId>) -> Condition {
    let Some(user) = reader else { return Condition::all() };
    let owned = Query::select()
        .column(automations::Column::Uid)
        .from(automations::Entity)
        .and_where(automations::Column::AccountUid.eq(account.0))
        .and_where(automations::Column::OwnerUserId.eq(user.as_str()))
        .to_owned();
    Condition::any()
        .add(executions::Column::ActingUser.eq(user.as_str()))
        .add(sea_orm::ExprTrait::in_subquery(Expr::col(executions::Column::SourceUid), owned))
}

fn account_view(row: &accounts::Model) -> Result<AccountView, StoreError> {
    Ok(AccountView {
        uid: AccountUid(row.uid),
        id: row.id.parse().map_err(StoreError::Row)?,
        facts: rows::account_facts(row)?,
        window: rows::window(row),
        paused: u64::try_from(row.paused).unwrap_or_default(),
    })
}

fn execution_view(row: &executions::Model) -> Result<ExecutionView, StoreError> {
    Ok(ExecutionView {
        uid: ExecutionUid(row.uid),
        source_kind: rows::source_kind_of(row.source_kind)?,
        event_id: row.event_id.clone(),
        run: row.run,
        object: row.object.clone(),
        action: rows::action_of(row.action)?,
        entity_id: row.entity_id.clone(),
        acting_user: row.acting_user.clone(),
        progress: rows::progress(row)?,
        created_at: Timestamp(row.created_at),
        trace: row.trace.clone(),
        retry_of: row.retry_of.map(ExecutionUid),
        changed_revision: row.changed_revision,
        record: Record::from_stored(&row.requests).map_err(StoreError::Encoding)?,
        attempts: HashMap::new(),
    })
}
