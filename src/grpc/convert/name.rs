//! Resource names (AIP-122), page tokens (AIP-158), update masks (AIP-134) and the keys of repeatable calls (AIP-155).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::Status;

use crate::{
    domain::{
        decision::command::{Answer, AnswerKind, Repeat},
        id::{AccountId, ExecutionUid, JobUid, ResourceId},
    },
    grpc::calls::status::invalid,
};

/// How many items a page has where nothing is asked.
const PAGE_SIZE_DEFAULT: usize = 50;
/// How many items a page has at most.
const PAGE_SIZE_MAX: usize = 1_000;

/// Reads `accounts/{account}`.
pub fn account(field: &str, name: &str) -> Result<AccountId, Status> {
    let id = name.strip_prefix("accounts/").filter(|id| !id.contains('/'));
    let id = id.ok_or_else(|| invalid(field, "must be accounts/{account}"))?;
    id.parse().map_err(|error| invalid(field, format!("the account's id {error}")))
}

fn split<'a>(field: &str, name: &'a str, collection: &str) -> Result<(AccountId, &'a str), Status> {
    let malformed = || invalid(field, format!("must be accounts/{{account}}/{collection}/{{id}}"));
    let mut parts = name.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("accounts"), Some(account), Some(found), Some(id), None) if found == collection => {
            let account = account.parse().map_err(|error| invalid(field, format!("the account's id {error}")))?;
            Ok((account, id))
        }
        _ => Err(malformed()),
    }
}

/// Reads `accounts/{account}/{collection}/{id}`.
pub fn resource(field: &str, name: &str, collection: &str) -> Result<(AccountId, ResourceId), Status> {
    let (account, id) = split(field, name, collection)?;
    Ok((account, id.parse().map_err(|error| invalid(field, format!("the id {error}")))?))
}

/// Reads `accounts/{account}/executions/{execution}`.
pub fn execution(field: &str, name: &str) -> Result<(AccountId, ExecutionUid), Status> {
    let (account, id) = split(field, name, "executions")?;
    Ok((account, id.parse().map_err(|error| invalid(field, format!("the id {error}")))?))
}

/// Reads `accounts/{account}/jobs/{job}`.
pub fn job(field: &str, name: &str) -> Result<(AccountId, JobUid), Status> {
    let (account, id) = split(field, name, "jobs")?;
    Ok((account, id.parse().map_err(|error| invalid(field, format!("the id {error}")))?))
}

/// Reads an optional id that a client has chosen.
pub fn chosen_id(field: &str, id: &str) -> Result<Option<ResourceId>, Status> {
    if id.is_empty() {
        return Ok(None);
    }
    id.parse().map(Some).map_err(|error: String| invalid(field, error))
}

/// Reads a page size.
pub fn page_size(size: i32) -> Result<usize, Status> {
    match usize::try_from(size) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_SIZE_MAX)),
        Err(_) => Err(invalid("page_size", "must not be negative")),
    }
}

/// Makes a page token of a place; it is good only for the same query.
pub fn page_token(cursor: &str, query: &str) -> String {
    BASE64.encode(format!("{}{cursor}", query_mark(query)))
}

/// Reads the place of a page token.
pub fn page_cursor(token: &str, query: &str) -> Result<Option<String>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    token_place(token, query).map(Some).map_err(|fault| {
        let message = match fault {
            TokenPlaceFault::Malformed => "is not a token of this list: use next_page_token of the page before",
            TokenPlaceFault::OtherQuery => {
                "belongs to a list with other filters: repeat them unchanged, or begin without a token"
            }
        };
        invalid("page_token", message)
    })
}

/// What is wrong with the token of a place.
pub enum TokenPlaceFault {
    /// It is none.
    Malformed,
    /// It is that of another query.
    OtherQuery,
}

/// Reads the place of a token.
pub fn token_place(token: &str, query: &str) -> Result<String, TokenPlaceFault> {
    let text = BASE64.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or(TokenPlaceFault::Malformed)?;
    let cursor = text.strip_prefix(&query_mark(query)).ok_or(TokenPlaceFault::OtherQuery)?;
    Ok(cursor.to_owned())
}

fn query_mark(query: &str) -> String {
    let digest = Sha256::digest(query.as_bytes());
    format!("1{:02x}{:02x}{:02x}{:02x}:", digest[0], digest[1], digest[2], digest[3])
}

/// What makes a call repeatable, where it has a key; `show` makes the answer that is stored, which has no secrets.
pub fn repeat<A: AnswerKind, R: Message>(
    request_id: &str,
    method: &str,
    request: &impl Message,
    show: impl Fn(&A) -> R + Send + Sync + 'static,
) -> Result<Option<Repeat>, Status> {
    if request_id.is_empty() {
        return Ok(None);
    }
    let request_id = request_id.parse().map_err(|error: String| invalid("request_id", error))?;
    let mut hash = Sha256::new();
    hash.update(method.as_bytes());
    hash.update(request.encode_to_vec());
    let encode = move |answer: &Answer| A::of(answer).map(|answer| show(answer).encode_to_vec());
    Ok(Some(Repeat { request_id, fingerprint: hash.finalize().to_vec(), encode: Box::new(encode) }))
}

/// A field that an update mask may name.
pub struct MaskField<F> {
    /// Its name on the wire.
    pub name: &'static str,
    /// The field.
    pub field: F,
    /// Whether the request gives it a value: without a mask, those that are given are changed.
    pub is_given: bool,
}

/// The fields that a mask names, each once; without a mask, those that are given.
pub fn masked<F: Copy + PartialEq>(
    mask: Option<&prost_types::FieldMask>,
    fields: &[MaskField<F>],
) -> Result<Vec<F>, Status> {
    let Some(mask) = mask.filter(|mask| !mask.paths.is_empty()) else {
        return Ok(fields.iter().filter(|one| one.is_given).map(|one| one.field).collect());
    };
    let mut named = Vec::new();
    for path in &mask.paths {
        let found: Vec<F> = fields.iter().filter(|one| path == "*" || one.name == path).map(|one| one.field).collect();
        if found.is_empty() {
            let known: Vec<_> = fields.iter().map(|one| one.name).collect();
            return Err(invalid("update_mask", format!("{path:?} cannot be changed: name {}", known.join(", "))));
        }
        for field in found {
            if !named.contains(&field) {
                named.push(field);
            }
        }
    }
    Ok(named)
}
