//! What people read of accounts, webhooks, automations and events.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Query,
};
use uuid::Uuid;

use crate::{
    domain::{
        account::{AccountFacts, history::HistorySummary, limits::Window},
        automation::{ReadAutomation, uid_of},
        event::Event,
        id::{AccountId, AccountUid, EventId, ResourceId},
        timestamp::Timestamp,
        webhook::{Webhook, WebhookKind, health::Health, traffic::Traffic},
    },
    store::{
        Store, StoreError,
        entities::{accounts, activations, automations, executions, webhooks},
        rows::{self, keys::account_key},
    },
};

/// An account as it is shown.
#[derive(Debug, Clone)]
pub struct AccountView {
    /// Its number inside of the service: unique for ever, and never shown to clients.
    pub uid: AccountUid,
    /// Its id.
    pub id: AccountId,
    /// Its facts.
    pub facts: AccountFacts,
    /// Its window of executions, as it was last written.
    pub window: Window,
    /// How many executions the limit holds back.
    pub paused: u64,
    /// How much history it has, as it was last written.
    pub history: HistorySummary,
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
    pub(super) fn cut(mut items: Vec<T>, size: usize, key: impl Fn(&T) -> Uuid) -> Self {
        let has_more = items.len() > size;
        items.truncate(size);
        let next = items.last().filter(|_| has_more).map(key);
        Self { items, next }
    }
}

/// What the hash of an ingest identity's secret is made of.
fn ingest_secret(id: &ResourceId, secret: &str) -> Vec<u8> {
    format!("ingest identity\0{id}\0{secret}").into_bytes()
}

/// One row more than a page has, to know whether there are more.
pub(super) fn one_more(size: usize) -> u64 {
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

    /// The keyed hash of the secret of an ingest identity, as it is kept. The account's own key makes it, so that it stays
    /// good when the installation's key is changed.
    pub async fn ingest_hash(&self, account: AccountUid, id: &ResourceId, secret: &str) -> Result<Vec<u8>, StoreError> {
        self.ensure_data_key(account).await?;
        self.sealer.fingerprint(account.0, &ingest_secret(id, secret))
    }

    /// Whether an account that is not deleted has an ingest identity with a secret.
    pub async fn has_ingest_identity(
        &self,
        account: &AccountId,
        id: &ResourceId,
        secret: &str,
    ) -> Result<bool, StoreError> {
        let Some(view) = self.find_account(account).await? else { return Ok(false) };
        let Some(found) = view.facts.ingest_identities.iter().find(|identity| identity.id == *id) else {
            return Ok(false);
        };
        self.ensure_data_key(view.uid).await?;
        Ok(self.sealer.is_fingerprint(view.uid.0, &found.hash, &ingest_secret(id, secret)))
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
        Ok(row.map(|row| rows::webhook(&self.sealer, row)))
    }

    /// How the endpoint of a webhook that is not deleted does, and how its attempts have gone, as it was last written.
    pub async fn webhook_health(
        &self,
        account: AccountUid,
        id: &ResourceId,
    ) -> Result<Option<(Health, Traffic)>, StoreError> {
        let row = webhooks::Entity::find()
            .filter(webhooks::Column::AccountUid.eq(account.0))
            .filter(webhooks::Column::DeletedAt.is_null())
            .filter(webhooks::Column::Id.eq(id.as_str()))
            .one(&self.reader)
            .await?;
        Ok(row.map(|row| (rows::health(&row).unwrap_or_default(), rows::traffic(&row))))
    }

    /// A page of webhooks in the order of their creation, each with how its endpoint does and how its attempts have gone.
    pub async fn list_webhooks(
        &self,
        account: AccountUid,
        after: Option<Uuid>,
        size: usize,
    ) -> Result<Page<(Webhook, Health, Traffic)>, StoreError> {
        let found = webhooks::Entity::find()
            .filter(webhooks::Column::AccountUid.eq(account.0))
            .filter(webhooks::Column::DeletedAt.is_null())
            .filter(Condition::all().add_option(after.map(|after| webhooks::Column::Uid.gt(after))))
            .order_by_asc(webhooks::Column::Uid)
            .limit(one_more(size))
            .all(&self.reader)
            .await?;
        let of_row = |row: webhooks::Model| {
            let (health, traffic) = (rows::health(&row).unwrap_or_default(), rows::traffic(&row));
            (rows::webhook(&self.sealer, row), health, traffic)
        };
        let found = found.into_iter().map(of_row).collect();
        Ok(Page::cut(found, size, |(webhook, ..): &(Webhook, _, _)| webhook.uid.0))
    }

    /// The webhooks that are not deleted, and whether requests are sent to them.
    pub async fn living_webhooks(&self, account: AccountUid) -> Result<HashMap<Uuid, bool>, StoreError> {
        let found = webhooks::Entity::find()
            .select_only()
            .columns([webhooks::Column::Uid, webhooks::Column::Status])
            .filter(webhooks::Column::AccountUid.eq(account.0))
            .filter(webhooks::Column::DeletedAt.is_null())
            .into_tuple();
        let found: Vec<(Uuid, String)> = found.all(&self.reader).await?;
        Ok(found.into_iter().map(|(uid, status)| (uid, rows::is_enabled(&status))).collect())
    }

    /// An automation that is not deleted.
    pub async fn find_automation(
        &self,
        account: AccountUid,
        id: &ResourceId,
    ) -> Result<Option<ReadAutomation>, StoreError> {
        let row = automations::Entity::find()
            .filter(automations::Column::AccountUid.eq(account.0))
            .filter(automations::Column::DeletedAt.is_null())
            .filter(automations::Column::Id.eq(id.as_str()))
            .one(&self.reader)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let users = self.activations_of(account.0).await?.remove(&row.uid).unwrap_or_default();
        Ok(Some(rows::automation(row, &users)))
    }

    /// A page of automations in the order of their creation.
    pub async fn list_automations(
        &self,
        account: AccountUid,
        after: Option<Uuid>,
        size: usize,
    ) -> Result<Page<ReadAutomation>, StoreError> {
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
        let found = found.into_iter().map(with_users).collect();
        Ok(Page::cut(found, size, |read: &ReadAutomation| uid_of(read).0))
    }

    /// An event of the history.
    pub async fn find_event(&self, account: AccountUid, id: EventId) -> Result<Option<Event>, StoreError> {
        let of_event = executions::Entity::find()
            .filter(executions::Column::Event.eq(self.hash.of(account_key(account), id.as_str())))
            .filter(executions::Column::Account.eq(account_key(account)))
            .filter(executions::Column::EventId.eq(id.as_str()))
            .limit(1);
        let rows = of_event.all(&self.reader).await?;
        let opened = self.open_parts(&rows, |_| true).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let Some(payload) = opened.of(row)?.event.clone() else { return Ok(None) };
        Event::from_stored(id, &payload).map(Some).map_err(StoreError::Encoding)
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
}

fn account_view(row: &accounts::Model) -> Result<AccountView, StoreError> {
    Ok(AccountView {
        uid: AccountUid(row.uid),
        id: row.id.parse().map_err(StoreError::Row)?,
        facts: rows::account_facts(row)?,
        window: rows::window(row),
        paused: u64::try_from(row.paused).unwrap_or_default(),
        history: rows::history(row)?,
    })
}
