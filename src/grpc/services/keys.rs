//! `KeyService`.

use tonic::Status;
use uuid::Uuid;

use super::{
    access::{Backend, serve},
    api::Api,
};
use crate::{
    grpc::{calls::status, convert::name, pb},
    store::RotationCursor,
};

/// What tokens of a rotation belong to.
const QUERY: &str = "keys";

serve! {
    key_service_server::KeyService {
        rotate_keys(RotateKeysRequest) -> RotateKeysResponse;
    }
}

impl Api {
    async fn rotate_keys(
        &self,
        backend: Backend,
        request: pb::RotateKeysRequest,
    ) -> Result<pb::RotateKeysResponse, Status> {
        backend.require_all("only a service whose token lists * may change the installation's key")?;
        let cursor = name::page_cursor(&request.page_token, QUERY)?.map(|cursor| parse(&cursor)).transpose()?;
        let rotated = self.store.rotate_some(cursor.unwrap_or_default()).await.map_err(status::store)?;
        let remaining = match rotated.next {
            Some(_) => None,
            None => Some(self.store.sealed_by_others().await.map_err(status::store)?),
        };
        if let Some(remaining) = remaining {
            tracing::info!(remaining, "every account was looked at for values that another key has sealed");
        }
        Ok(pb::RotateKeysResponse {
            resealed_count: i64::try_from(rotated.resealed).unwrap_or(i64::MAX),
            next_page_token: rotated.next.map(|next| name::page_token(&text(next), QUERY)).unwrap_or_default(),
            remaining_count: remaining.unwrap_or_default(),
            done: remaining == Some(0),
        })
    }
}

fn text(cursor: RotationCursor) -> String {
    match cursor.attempt {
        Some((execution, action, number)) => format!("{}:{execution}:{action}:{number}", cursor.account),
        None => cursor.account.to_string(),
    }
}

fn parse(text: &str) -> Result<RotationCursor, Status> {
    let read = || {
        let mut parts = text.split(':');
        let account = Uuid::try_parse(parts.next()?).ok()?;
        let attempt = match (parts.next(), parts.next(), parts.next()) {
            (None, None, None) => None,
            (Some(execution), Some(action), Some(number)) => {
                Some((execution.parse().ok()?, action.parse().ok()?, number.parse().ok()?))
            }
            _ => return None,
        };
        Some(RotationCursor { account, attempt })
    };
    read().ok_or_else(|| status::invalid("page_token", "is not a token of a rotation: begin without one"))
}
