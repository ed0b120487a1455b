//! Attempts, packed: the first one of an execution stands in the execution's row, every other one in a row of its own.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Stored, execution::Keys, number, packing};
use crate::{
    domain::{
        account::change::RecordedAttempt,
        attempt::{Attempt, Fate, Outcome, Reason, is_success_status},
        execution::{Unfinished, record::Record},
        id::AccountUid,
        timestamp::Timestamp,
    },
    store::{
        StoreError,
        seal::{DATA_KEY_ID, SealContext, Sealer},
    },
};

/// How large an attempt may be, packed, to stand in the execution's row.
const INLINE_BYTES_MAX: usize = 2_048;

/// An attempt as it is stored: JSON, and behind it the beginning of the answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredAttempt<'a> {
    pub v: u8,
    /// The action, from 0.
    #[serde(rename = "a")]
    pub action_no: i32,
    /// The attempt, from 1.
    #[serde(rename = "n")]
    pub number: i32,
    #[serde(rename = "at")]
    pub started_at: i64,
    #[serde(rename = "us")]
    pub duration_us: i64,
    /// None where it is the endpoint and the path that stand in the execution's record.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub url: Option<Cow<'a, str>>,
    /// In base64; only where the account's own key has sealed it.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub sealed_url: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'a, str>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub message: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fate: i16,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Where it is not what its status says: whether the webhook took it for a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(value: &i16) -> bool {
    *value == 0
}

/// A row of an attempt.
pub struct AttemptRow {
    /// The action, from 0.
    pub action_no: i32,
    /// The attempt, from 1.
    pub number: i32,
    /// The real URL where the installation's key has sealed it, so that it is found when that key is changed.
    pub sealed_url: Option<Vec<u8>>,
    /// The attempt, packed.
    pub bytes: Vec<u8>,
}

impl AttemptRow {
    /// Whether it may stand in the execution's row.
    pub fn fits_inline(&self) -> bool {
        self.sealed_url.is_none() && self.bytes.len() <= INLINE_BYTES_MAX
    }
}

/// Whether an attempt is the first one of its execution.
pub fn is_first(attempt: &RecordedAttempt, execution: &Unfinished) -> bool {
    attempt.number == 1 && attempt.action_no == execution.record.first_action()
}

/// The bytes of an attempt.
pub fn outcome_bytes(stored: &StoredAttempt<'_>, excerpt: &[u8]) -> Stored<Vec<u8>> {
    let written = packing::pack_written(|out| {
        serde_json::to_writer(&mut *out, stored)?;
        out.extend_from_slice(excerpt);
        Ok(())
    });
    written.map(|(packed, _)| packed).map_err(StoreError::Encoding)
}

/// Reads the bytes of an attempt, unpacked: what is stored, and the beginning of the answer.
pub fn stored_attempt(plain: &[u8]) -> Stored<(StoredAttempt<'_>, &[u8])> {
    let mut values = serde_json::Deserializer::from_slice(plain).into_iter::<StoredAttempt<'_>>();
    let stored = values.next().ok_or_else(|| StoreError::Row("an attempt is empty".into()))?;
    let stored = stored.map_err(StoreError::Encoding)?;
    let excerpt = plain.get(values.byte_offset()..).unwrap_or_default();
    Ok((stored, excerpt))
}

/// The URL of an action as it is without its secrets, if nobody has changed the endpoint since the request was built.
fn built_url(record: &Record, action_no: usize) -> Option<String> {
    record.requests.get(action_no).map(|request| format!("{}{}", request.endpoint, request.path))
}

/// The row of an attempt; `record` is that of its execution, where it is at hand.
pub fn attempt_row(
    sealer: &Sealer,
    account: AccountUid,
    ended: &RecordedAttempt,
    record: Option<&Record>,
) -> Stored<AttemptRow> {
    let attempt = &ended.attempt;
    let place = attempt_context(account.0, ended.execution.0);
    let sealed = attempt.secret_url.as_ref().map(|url| sealer.seal_history(place, url.as_bytes())).transpose()?;
    let (by_account, by_installation) = match sealed {
        Some(sealed) if sealed.starts_with(&DATA_KEY_ID) => (Some(STANDARD_NO_PAD.encode(sealed)), None),
        other => (None, other),
    };
    let is_as_built =
        record.and_then(|record| built_url(record, ended.action_no)).is_some_and(|url| url == attempt.url);
    let mut stored = StoredAttempt {
        v: 1,
        action_no: number(ended.action_no),
        number: number(ended.number),
        started_at: attempt.started_at.0,
        duration_us: attempt.duration_us,
        url: (!is_as_built).then_some(Cow::Borrowed(attempt.url.as_str())),
        sealed_url: by_account.map(Cow::Owned),
        status: None,
        headers: Vec::new(),
        error: None,
        message: None,
        fate: fate_number(ended.fate),
        truncated: false,
        success: None,
    };
    let mut kept: &[u8] = &[];
    match &attempt.outcome {
        Outcome::Answer { status, headers, excerpt, truncated, is_success } => {
            stored.success = (*is_success != is_success_status(*status)).then_some(*is_success);
            stored.status = Some((*status).into());
            stored.headers.clone_from(headers);
            stored.truncated = *truncated;
            kept = excerpt;
        }
        Outcome::Error { kind, message, .. } => {
            stored.error = Some(Cow::Borrowed(kind.as_str()));
            stored.message = Some(Cow::Borrowed(message));
        }
    }
    Ok(AttemptRow {
        action_no: stored.action_no,
        number: stored.number,
        bytes: outcome_bytes(&stored, kept)?,
        sealed_url: by_installation,
    })
}

/// What an attempt's sealed URL belongs to.
pub fn attempt_context(account: Uuid, execution: Uuid) -> SealContext {
    SealContext { account, webhook: execution, field: "attempt_url" }
}

fn fate_number(fate: Fate) -> i16 {
    match fate {
        Fate::Open => 0,
        Fate::MayBeDone => 1,
        Fate::Succeeded => 2,
    }
}

impl StoredAttempt<'_> {
    /// What has become of the action after it; of one that was written before that was, its status tells.
    pub fn fate(&self) -> Fate {
        let written = match self.fate {
            2.. => Fate::Succeeded,
            1 => Fate::MayBeDone,
            _ => Fate::Open,
        };
        match self.success {
            Some(_) => written,
            None => written.max(Fate::of_status(self.status.and_then(|status| u16::try_from(status).ok()))),
        }
    }
}

/// An attempt from what is stored; its real URL only where it may be shown, which a sealer says. What cannot be read of it
/// is left out.
pub fn attempt(
    (stored, excerpt): (StoredAttempt<'_>, &[u8]),
    sealed_by_installation: Option<&[u8]>,
    keys: Keys,
    record: &Record,
    sealer: Option<&Sealer>,
) -> Attempt {
    let place = attempt_context(keys.account.0, keys.execution.0);
    let by_account = stored.sealed_url.as_deref().and_then(|sealed| STANDARD_NO_PAD.decode(sealed).ok());
    let sealed = sealed_by_installation.map(<[u8]>::to_vec).or(by_account);
    let plain = sealer.zip(sealed).and_then(|(sealer, sealed)| sealer.open(place, &sealed).ok());
    let secret_url = plain.map(|plain| String::from_utf8_lossy(&plain).into_owned());
    let action_no = usize::try_from(stored.action_no).unwrap_or_default();
    let url = stored.url.map(Cow::into_owned).or_else(|| built_url(record, action_no)).unwrap_or_default();
    let outcome = match stored.status {
        Some(status) => Outcome::Answer {
            status: u16::try_from(status).unwrap_or_default(),
            headers: stored.headers,
            excerpt: excerpt.to_vec(),
            truncated: stored.truncated,
            is_success: stored.success.unwrap_or_else(|| u16::try_from(status).is_ok_and(is_success_status)),
        },
        None => Outcome::Error {
            kind: stored.error.as_deref().and_then(Reason::parse).unwrap_or(Reason::Connect),
            message: stored.message.map(Cow::into_owned).unwrap_or_default(),
            was_sent: false,
        },
    };
    Attempt { started_at: Timestamp(stored.started_at), duration_us: stored.duration_us, url, secret_url, outcome }
}
