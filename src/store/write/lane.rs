//! A lane of the journal: gathers what waits for it into groups, writes each in one transaction, and tells each change
//! its receipt.

use std::{collections::HashSet, sync::Arc};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait as _, QueryFilter, Statement, sea_query::Expr,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use uuid::Uuid;

use super::{
    prepared::Prepared,
    receipt::Receipt,
    removal,
    statements::{advance_accounts, known_events, write_own_things, write_rows},
    work::{LaneTask, Waiting, Work},
    writer::{WriteError, Writer, Writing},
};
use crate::{
    domain::id::AccountUid,
    store::{StoreError, entities::accounts},
    telemetry::Metrics,
};

/// How many changes, or fences, one transaction gathers.
const GROUP_CHANGES_MAX: usize = 512;
/// How many rows one transaction gathers before it takes no further change.
const GROUP_ROWS_MAX: usize = 4_000;
/// How many bytes of events and requests one transaction gathers before it takes no further change.
const GROUP_BYTES_MAX: usize = 16 * 1_024 * 1_024;

type Changes = Vec<(Box<Prepared>, oneshot::Sender<Receipt>)>;
type Fences = Vec<(AccountUid, oneshot::Sender<Result<(), StoreError>>)>;

/// A lane.
pub struct Lane {
    writing: Writing,
    waiting: Arc<Waiting>,
    started: Instant,
    metrics: Metrics,
    /// What was taken from the queue and did not fit into the group before.
    next: Option<Work>,
}

impl Lane {
    /// A lane of a journal that was started at a time.
    pub fn new(writing: Writing, waiting: Arc<Waiting>, started: Instant, metrics: Metrics) -> Self {
        Self { writing, waiting, started, metrics, next: None }
    }

    /// Writes what comes, until nobody can send any more or it is closed.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        loop {
            let work = match self.next.take() {
                Some(work) => work,
                None => match queue.recv().await {
                    Some(work) => work,
                    None => break,
                },
            };
            self.waiting.begin(work.since, self.started);
            match work.task {
                LaneTask::Commit(change, reply) => {
                    let group = self.gather_changes((change, reply), &mut queue);
                    self.commit(group).await;
                }
                LaneTask::Fence(account, reply) => {
                    let group = self.gather_fences((account, reply), &mut queue);
                    self.fence(group).await;
                }
                LaneTask::Erase(account, reply) => {
                    let erased = self.writing.transact(async |txn| removal::erase_some(txn, account).await).await;
                    let _ = reply.send(erased.map_err(StoreError::from));
                }
                LaneTask::Run(statements, reply) => {
                    let ran = self.writing.transact(async |txn| run(txn, statements).await).await;
                    let _ = reply.send(ran.map_err(StoreError::from));
                }
                LaneTask::Expire(before, reply) => {
                    let expired = self.writing.transact(async |txn| removal::expire_some(txn, before).await).await;
                    let _ = reply.send(expired.map_err(StoreError::from));
                }
                LaneTask::GiveBack(reply) => {
                    let given = self.writing.transact(async |txn| removal::give_back_some(txn).await).await;
                    let _ = reply.send(given.map_err(StoreError::from));
                }
                LaneTask::Close(reply) => {
                    let closed = self.writing.close().await;
                    if let Err(error) = closed {
                        tracing::warn!(error = %error, "a connection that writes did not close in order");
                    }
                    let _ = reply.send(());
                    break;
                }
            }
            self.waiting.end();
        }
    }

    /// The changes that wait, up to the bounds of a group. An account is in a group once: what becomes of its second
    /// change depends on the first.
    fn gather_changes(
        &mut self,
        first: (Box<Prepared>, oneshot::Sender<Receipt>),
        queue: &mut mpsc::Receiver<Work>,
    ) -> Changes {
        let (mut rows, mut bytes) = (first.0.rows(), first.0.bytes());
        let mut accounts = HashSet::from([first.0.account]);
        let mut group = vec![first];
        while group.len() < GROUP_CHANGES_MAX && rows < GROUP_ROWS_MAX && bytes < GROUP_BYTES_MAX {
            match queue.try_recv() {
                Ok(Work { task: LaneTask::Commit(change, reply), since }) => {
                    if !accounts.insert(change.account) {
                        self.next = Some(Work { task: LaneTask::Commit(change, reply), since });
                        break;
                    }
                    rows += change.rows();
                    bytes += change.bytes();
                    group.push((change, reply));
                }
                Ok(other) => {
                    self.next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        group
    }

    fn gather_fences(
        &mut self,
        first: (AccountUid, oneshot::Sender<Result<(), StoreError>>),
        queue: &mut mpsc::Receiver<Work>,
    ) -> Fences {
        let mut group = vec![first];
        while group.len() < GROUP_CHANGES_MAX {
            match queue.try_recv() {
                Ok(Work { task: LaneTask::Fence(account, reply), .. }) => group.push((account, reply)),
                Ok(other) => {
                    self.next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        group
    }

    async fn commit(&mut self, group: Changes) {
        let begun = Instant::now();
        let (changes, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let written = self.write(&changes).await;
        let result = match &written {
            Ok(_) => "committed",
            Err(WriteError::Uncertain(_)) => "unknown",
            Err(_) => "failed",
        };
        self.metrics.commit(result, changes.len(), begun.elapsed());
        let receipts = match written {
            Ok(receipts) => receipts,
            Err(WriteError::Refused(_) | WriteError::Failed(_)) if changes.len() > 1 => self.one_by_one(&changes).await,
            Err(error) => {
                // The server or the disk is in trouble: each change would only meet it again.
                let message = error.to_string();
                let mut receipts: Vec<_> = changes.iter().skip(1).map(|_| error.receipt(&message)).collect();
                receipts.push(error.into());
                receipts
            }
        };
        for (receipt, reply) in receipts.into_iter().zip(replies) {
            let _ = reply.send(receipt);
        }
    }

    /// After a failure that may have been that of one change, each is tried alone, so that a bad one never fails its
    /// group. Once the connection is lost, no further one is tried.
    async fn one_by_one(&mut self, changes: &[Box<Prepared>]) -> Vec<Receipt> {
        let mut receipts = Vec::with_capacity(changes.len());
        let mut lost = None;
        for change in changes {
            receipts.push(match &lost {
                Some(message) => Receipt::Failed(StoreError::Unwritten(String::clone(message))),
                None => match self.write(std::slice::from_ref(change)).await {
                    Ok(mut one) => one.pop().unwrap_or(Receipt::Stale),
                    Err(error) => {
                        let is_lost = matches!(error, WriteError::Lost(_) | WriteError::Uncertain(_));
                        lost = is_lost.then(|| error.to_string());
                        error.into()
                    }
                },
            });
        }
        receipts
    }

    async fn write(&mut self, changes: &[Box<Prepared>]) -> Result<Vec<Receipt>, WriteError> {
        self.writing.transact(async |txn| write_group(txn, changes).await).await
    }

    async fn fence(&mut self, group: Fences) {
        let (accounts, replies): (Vec<Uuid>, Vec<_>) = group.into_iter().map(|(uid, reply)| (uid.0, reply)).unzip();
        let fenced = self.writing.transact(async |txn| advance_revisions(txn, accounts).await).await;
        let message = fenced.as_ref().err().map(ToString::to_string);
        for reply in replies {
            let _ = reply.send(message.as_ref().map_or(Ok(()), |message| Err(StoreError::Unwritten(message.clone()))));
        }
    }
}

async fn write_group(txn: &Writer, changes: &[Box<Prepared>]) -> Result<Vec<Receipt>, DbErr> {
    let mut duplicates = known_events(txn, changes).await?;
    let fresh: Vec<_> =
        changes.iter().map(Box::as_ref).filter(|change| !duplicates.contains_key(&change.account.0)).collect();
    let advanced = advance_accounts(txn, &fresh).await?;
    let valid: Vec<_> = fresh.into_iter().filter(|change| advanced.contains(&change.account.0)).collect();
    write_own_things(txn, &valid).await?;
    write_rows(txn, &valid).await?;
    let receipt = |change: &Prepared| match duplicates.remove(&change.account.0) {
        Some(known) => Receipt::Duplicate(known),
        None if advanced.contains(&change.account.0) => Receipt::Committed,
        None => Receipt::Stale,
    };
    Ok(changes.iter().map(|change| change.as_ref()).map(receipt).collect())
}

async fn advance_revisions(txn: &Writer, accounts: Vec<Uuid>) -> Result<(), DbErr> {
    accounts::Entity::update_many()
        .col_expr(accounts::Column::Revision, Expr::col(accounts::Column::Revision).add(1))
        .filter(accounts::Column::Uid.is_in(accounts))
        .exec(txn)
        .await
        .map(drop)
}

async fn run(txn: &Writer, statements: Vec<Statement>) -> Result<u64, DbErr> {
    let mut changed = 0;
    for statement in statements {
        changed += txn.execute_raw(statement).await?.rows_affected();
    }
    Ok(changed)
}
