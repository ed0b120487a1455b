//! `WatchService`: streams of what has changed in an account.

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt, stream};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    access::{Entered, Member},
    api::Api,
};
use crate::{
    domain::{id::AccountId, refusal::Refusal},
    engine::Watcher,
    grpc::{
        calls::{
            measured::{Measured, WATCH},
            status,
        },
        convert::{self, name},
        pb,
    },
    shares::Shares,
    store::{AccountView, ChangeCursor, Changed, Store},
};

/// How many changes are read at once.
const PAGE_CHANGES: usize = 64;
/// How long a client that has everything is left alone after a change, so that many changes are read together.
const REST: Duration = Duration::from_millis(50);
/// How many changes wait for a client that does not read.
const UNREAD_CHANGES_MAX: usize = 64;

type Changes = Pin<Box<dyn Stream<Item = Result<pb::WatchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl pb::watch_service_server::WatchService for Api {
    type WatchStream = Changes;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Changes>, Status> {
        let (entered, message) = self.enter(request)?;
        Api::watch(self, entered, message).await.map(Response::new)
    }
}

impl Api {
    async fn watch(&self, entered: Entered<Member>, request: pb::WatchRequest) -> Result<Changes, Status> {
        let view = self.account_of(&entered.account).await?;
        // Registered before the first reading: nothing that comes in between is missed.
        let watcher = self.engine.follow(&entered.account).map_err(|error| status::engine(&error))?;
        let now = self.store.revision(view.uid).await.map_err(status::store)?;
        let (revision, expired_revision) = now.ok_or_else(|| gone(&entered.account))?;
        let cursor = match request.cursor.as_str() {
            "" if request.only_new => ChangeCursor::after(revision, expired_revision),
            "" => ChangeCursor::start(expired_revision),
            text => {
                let cursor = parse_cursor(&entered.account, text)?;
                if cursor.revision > revision {
                    return Err(status::cursor_expired("the account is younger than this cursor"));
                }
                cursor
            }
        };
        let (changes, receiver) = mpsc::channel(UNREAD_CHANGES_MAX);
        let (last, end) = oneshot::channel();
        let session = Session {
            store: self.store.clone(),
            reads: self.reads.clone(),
            account: entered.account.clone(),
            view,
            entered,
            stopping: self.stopping.clone(),
            stall_max: self.watch_stall_max,
            changes,
        };
        let begins_new = request.cursor.is_empty() && request.only_new;
        let measured = Measured::stream(&self.metrics, WATCH);
        let run = async move {
            let status = session.run(watcher, cursor, begins_new).await;
            measured.end(status.as_ref());
            let _ = last.send(status);
        };
        self.tasks.spawn(run.instrument(tracing::Span::current()));
        // What the stream ends with comes after the changes that still wait, however full their queue is.
        let end = stream::once(end).filter_map(async |end| end.ok().flatten().map(Err));
        Ok(Box::pin(ReceiverStream::new(receiver).chain(end)))
    }
}

/// One client that follows an account.
struct Session {
    store: Store,
    /// Places for the readings of each account, which watches share with lists.
    reads: Shares<AccountId>,
    account: AccountId,
    view: AccountView,
    entered: Entered<Member>,
    stopping: CancellationToken,
    stall_max: Duration,
    changes: mpsc::Sender<Result<pb::WatchResponse, Status>>,
}

impl Session {
    /// Sends what changes until something ends it; answers with what. None where the client has gone.
    async fn run(self, mut watcher: Watcher, mut cursor: ChangeCursor, begins_new: bool) -> Option<Status> {
        if begins_new && let Err(status) = self.say(cursor, None).await {
            return status;
        }
        loop {
            match self.page(&mut cursor).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(status) => return status,
            }
            tokio::select! {
                () = watcher.changed() => tokio::time::sleep(REST).await,
                () = self.stopping.cancelled() => return Some(status::stopping()),
                () = self.changes.closed() => return None,
            }
        }
    }

    /// Sends some of what has changed. Answers whether that was all.
    async fn page(&self, cursor: &mut ChangeCursor) -> Result<bool, Option<Status>> {
        let reader = self.entered.caller.history_of();
        let reading = self.reads.of(&self.account).take().await;
        let page = self.store.changes_after(self.view.uid, reader, *cursor, PAGE_CHANGES).await;
        drop(reading);
        let page = page.map_err(|error| Some(status::store(error)))?;
        let page = page.ok_or_else(|| Some(gone(&self.account)))?;
        if cursor.is_expired(page.expired_revision) {
            let message = "what has changed since this cursor was deleted after its retention";
            return Err(Some(status::cursor_expired(message)));
        }
        let mut is_told = true;
        for (place, change) in page.changes {
            let change = match change {
                Changed::Execution(view) => {
                    let execution = convert::execution(&self.account, &view, false);
                    Some(pb::watch_response::Change::Execution(execution))
                }
                Changed::Notice(notice, at) => {
                    let notice = convert::notice(&self.account, &notice, at);
                    Some(pb::watch_response::Change::Notice(notice))
                }
                Changed::Nothing => None,
            };
            *cursor = place;
            is_told = change.is_some();
            if change.is_some() {
                self.say(place, change).await?;
            }
        }
        if !is_told {
            self.say(*cursor, None).await?;
        }
        Ok(page.is_last)
    }

    async fn say(
        &self,
        cursor: ChangeCursor,
        change: Option<pb::watch_response::Change>,
    ) -> Result<(), Option<Status>> {
        let answer = pb::WatchResponse { cursor: cursor_text(&self.account, cursor), change };
        let sending = self.changes.send(Ok(answer));
        tokio::select! {
            sent = tokio::time::timeout(self.stall_max, sending) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(None),
                Err(_) => {
                    tracing::info!(account.id = %self.account, "a client of a watch does not read; its stream ends");
                    Err(Some(status::slow_reader(self.stall_max)))
                }
            },
            () = self.stopping.cancelled() => Err(Some(status::stopping())),
        }
    }
}

fn gone(account: &AccountId) -> Status {
    status::refused(&Refusal::not_found("account", format!("accounts/{account}")))
}

fn query(account: &AccountId) -> String {
    format!("watch:{account}")
}

fn cursor_text(account: &AccountId, cursor: ChangeCursor) -> String {
    let ChangeCursor { revision, execution, notice, floor } = cursor;
    name::page_token(&format!("{revision}:{}:{notice}:{floor}", execution.simple()), &query(account))
}

fn parse_cursor(account: &AccountId, text: &str) -> Result<ChangeCursor, Status> {
    let malformed = || status::invalid("cursor", "is not a cursor of this account's watch: use that of an answer");
    let place = name::token_place(text, &query(account)).map_err(|_| malformed())?;
    let mut parts = place.split(':');
    let mut next = || parts.next().ok_or_else(malformed);
    let revision = next()?.parse().map_err(|_| malformed())?;
    let execution = Uuid::try_parse(next()?).map_err(|_| malformed())?;
    let notice = next()?.parse().map_err(|_| malformed())?;
    let floor = next()?.parse().map_err(|_| malformed())?;
    Ok(ChangeCursor { revision, execution, notice, floor })
}

#[cfg(test)]
#[path = "tests/watch.rs"]
mod tests;
