//! Which rows of a history a filter means, and how they are found: by the index that narrows most, and what is left by
//! looking at small columns.

use std::collections::HashSet;

use sea_orm::{
    ColumnTrait, Condition, DbBackend, EntityTrait, FromQueryResult, Order, QueryFilter, QueryOrder, QuerySelect,
    Select,
    sea_query::{Expr, ExprTrait as _, SimpleExpr},
};
use uuid::Uuid;

use crate::{
    domain::{
        attempt::Reason,
        execution::{State, filter::ExecutionFilter},
        id::{AccountUid, ExecutionUid},
        timestamp::Timestamp,
    },
    store::{
        Store, StoreError,
        entities::{automations, executions, webhooks},
        rows::{
            self,
            keys::{account_key, key_of},
        },
    },
};

/// How many rows one page of the history looks at; with narrow filters a page may be empty and not the last.
pub const SCANNED_ROWS_MAX: u64 = 10_000;

/// The states that few executions of a healthy account are in: they have an index of their own, and so have reasons, which
/// only they have.
const RARE: [State; 5] = [State::Retrying, State::Paused, State::Failed, State::Stopped, State::Cancelled];

/// Rows of those states, as their index says it.
pub const RARE_SQL: &str = "state IN (3, 4, 6, 7, 8)";

/// What of a row decides whether it is meant.
#[derive(Debug, FromQueryResult)]
pub struct Scanned {
    pub id: i64,
    source: i64,
    state: i16,
    reason: Option<String>,
    object: String,
    entity_id: String,
    acting_user: Option<String>,
    created_at: i64,
    webhooks: Option<Vec<u8>>,
}

/// A filter whose names were looked up.
pub struct Sieve<'f> {
    filter: &'f ExecutionFilter,
    /// The keys of the reader's automations and regular webhooks.
    owned: HashSet<i64>,
    /// The keys of the automations of the wanted id.
    sources: Option<Vec<i64>>,
    /// The keys of the webhooks of the wanted id.
    webhooks: Vec<i64>,
}

impl Sieve<'_> {
    /// Whether rows have to be looked at one by one.
    pub fn is_narrow(&self) -> bool {
        let filter = self.filter;
        let has_lists = !filter.states.is_empty() || !filter.reasons.is_empty();
        let has_names = filter.webhook.is_some() || filter.object.is_some() || filter.entity_id.is_some();
        has_lists || has_names || filter.reader.is_some() || filter.start.is_some() || filter.end.is_some()
    }

    /// Whether a row is meant, as far as the query has not said so.
    pub fn fits(&self, row: &Scanned) -> bool {
        let filter = self.filter;
        let named = row.webhooks.as_deref().unwrap_or_default();
        let reason = row.reason.as_deref().and_then(Reason::parse);
        self.is_readable(row.source, row.acting_user.as_deref())
            && (filter.webhook.is_none() || self.webhooks.iter().any(|one| rows::names_webhook(named, *one)))
            && (filter.states.is_empty() || filter.states.iter().any(|state| rows::state_number(*state) == row.state))
            && (filter.reasons.is_empty() || reason.is_some_and(|reason| filter.reasons.contains(&reason)))
            && filter.object.as_ref().is_none_or(|object| object.as_str() == row.object)
            && filter.entity_id.as_ref().is_none_or(|id| id.as_str() == row.entity_id)
            && filter.start.is_none_or(|start| row.created_at >= start.0)
            && filter.end.is_none_or(|end| row.created_at < end.0)
    }

    /// Whether the reader may read an execution of a source.
    pub fn is_readable(&self, source: i64, acting_user: Option<&str>) -> bool {
        let reader = self.filter.reader.as_ref();
        reader.is_none_or(|reader| acting_user == Some(reader.as_str()) || self.owned.contains(&source))
    }

    /// The rare states that rows must be in; none where they may be in any.
    fn rare_states(&self) -> Option<Vec<State>> {
        let filter = self.filter;
        let states = if filter.states.is_empty() && !filter.reasons.is_empty() { &RARE[..] } else { &filter.states };
        let are_rare = !states.is_empty() && states.iter().all(|state| RARE.contains(state));
        are_rare.then(|| states.to_vec())
    }
}

/// Which rows a scan looks at, in which order.
pub struct Span {
    pub after: Option<i64>,
    pub before: Option<i64>,
    pub order: Order,
    pub rows_max: u64,
}

impl Store {
    /// The keys of the automations of an account, living or deleted, that fit a condition.
    async fn automations_where(&self, account: AccountUid, fits: SimpleExpr) -> Result<Vec<i64>, StoreError> {
        let found = automations::Entity::find()
            .select_only()
            .column(automations::Column::Uid)
            .filter(automations::Column::AccountUid.eq(account.0))
            .filter(fits);
        let found: Vec<Uuid> = found.into_tuple().all(&self.reader).await?;
        Ok(found.into_iter().map(key_of).collect())
    }

    /// The keys of the webhooks of an account, living or deleted, that fit a condition.
    async fn webhooks_where(&self, account: AccountUid, fits: SimpleExpr) -> Result<Vec<i64>, StoreError> {
        let found = webhooks::Entity::find()
            .select_only()
            .column(webhooks::Column::Uid)
            .filter(webhooks::Column::AccountUid.eq(account.0))
            .filter(fits);
        let found: Vec<Uuid> = found.into_tuple().all(&self.reader).await?;
        Ok(found.into_iter().map(key_of).collect())
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

    /// What decides of rows whether they are meant, by small columns only: parts are larger.
    pub(super) async fn scan(
        &self,
        account: AccountUid,
        sieve: &Sieve<'_>,
        span: Span,
    ) -> Result<Vec<Scanned>, StoreError> {
        let filter = sieve.filter;
        let is_found_otherwise = sieve.sources.is_some() || filter.event_id.is_some() || filter.entity_id.is_some();
        let queries = match sieve.rare_states().filter(|_| !is_found_otherwise) {
            // Each state is in the order of time; together they are sorted here.
            Some(states) => states
                .into_iter()
                .map(|state| {
                    let state = format!("{RARE_SQL} AND state = {}", rows::state_number(state));
                    self.spanned(account, sieve, &span).filter(Expr::cust(state))
                })
                .collect(),
            None => match &sieve.sources {
                Some(sources) => (sources.iter())
                    .map(|source| self.spanned(account, sieve, &span).filter(self.is_source(*source)))
                    .collect(),
                None => vec![self.spanned(account, sieve, &span)],
            },
        };
        let mut found = Vec::new();
        for query in queries {
            found.extend(query.into_model::<Scanned>().all(&self.reader).await?);
        }
        found.sort_by_key(|row: &Scanned| row.id);
        if span.order == Order::Desc {
            found.reverse();
        }
        found.truncate(usize::try_from(span.rows_max).unwrap_or(usize::MAX));
        Ok(found)
    }

    fn is_source(&self, source: i64) -> SimpleExpr {
        executions::Column::Source.eq(source)
    }

    /// Rows of a span that a filter may mean, in order.
    fn spanned(&self, account: AccountUid, sieve: &Sieve<'_>, span: &Span) -> Select<executions::Entity> {
        use executions::Column as C;
        let filter = sieve.filter;
        let is_sqlite = self.reader.get_database_backend() == DbBackend::Sqlite;
        // SQLite knows nothing of how many rows there are: it is told which index not to take.
        let is_found_by_key = filter.event_id.is_some() || sieve.sources.is_some();
        let of_account = match is_sqlite && is_found_by_key {
            true => Expr::cust("+account").eq(account_key(account)),
            false => C::Account.eq(account_key(account)),
        };
        let mut query = executions::Entity::find()
            .select_only()
            .columns([C::Id, C::Source, C::State, C::Reason, C::Object, C::EntityId, C::ActingUser, C::CreatedAt])
            .column(C::Webhooks)
            .filter(of_account);
        if let Some(id) = &filter.event_id {
            let hash = self.hash.of(account_key(account), id.as_str());
            query = query.filter(C::Event.eq(hash)).filter(C::EventId.eq(id.as_str()));
        }
        // Numbers are in the order of time.
        let start = filter.start.map(|start| ExecutionUid::at(start).leading_number());
        let end = filter.end.map(|end| ExecutionUid::at(Timestamp(end.0 + 1_000)).leading_number());
        query = query.filter(
            Condition::all()
                .add_option(filter.entity_id.as_ref().map(|id| C::EntityId.eq(id.as_str())))
                .add_option(start.map(|start| C::Id.gte(start)))
                .add_option(end.map(|end| C::Id.lt(end)))
                .add_option(span.after.map(|after| C::Id.gt(after)))
                .add_option(span.before.map(|before| C::Id.lt(before))),
        );
        // An event has few executions: SQLite must find them by the event, not go through the account in order.
        let by_event = filter.event_id.is_some() && is_sqlite;
        let order = if by_event { Expr::cust("+executions.id") } else { Expr::col(C::Id) };
        query.order_by(order, span.order.clone()).limit(span.rows_max)
    }
}
