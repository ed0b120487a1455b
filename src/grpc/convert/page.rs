//! Pages of lists: as many items as a message should hold, and the token of the next page.

use prost::Message;
use tonic::Status;
use uuid::Uuid;

use crate::{
    grpc::{calls::status, convert::name},
    store::Page,
};

/// How large a page of a list is, in bytes: clients take 4 MiB unless they are told otherwise. One item is a page in any case.
const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// As many items as a message should hold.
pub fn fitting<T, P: Message>(items: &[T], show: impl Fn(&T) -> P) -> Vec<P> {
    let mut bytes = 0;
    let mut shown = Vec::with_capacity(items.len());
    for item in items {
        let one = show(item);
        bytes += one.encoded_len();
        if bytes > PAGE_BYTES_MAX && !shown.is_empty() {
            break;
        }
        shown.push(one);
    }
    shown
}

/// As many items of a page as a message should hold, and the token of the next page.
pub fn shown_page<T, P: Message>(
    page: &Page<T>,
    query: &str,
    cursor: impl Fn(&T) -> Uuid,
    show: impl Fn(&T) -> P,
) -> (Vec<P>, String) {
    let shown = fitting(&page.items, show);
    let is_cut = shown.len() < page.items.len();
    let next = if is_cut { page.items[..shown.len()].last().map(cursor) } else { page.next };
    (shown, next_token(next, query))
}

/// The place of a page token that is a UUID.
pub fn uuid_cursor(token: &str, query: &str) -> Result<Option<Uuid>, Status> {
    let malformed = || status::invalid("page_token", "is not a token of this list");
    let cursor = name::page_cursor(token, query)?;
    cursor.map(|cursor| Uuid::try_parse(&cursor).map_err(|_| malformed())).transpose()
}

/// The token of the next page, empty where there is none.
pub fn next_token(next: Option<Uuid>, query: &str) -> String {
    next.map(|next| name::page_token(&next.to_string(), query)).unwrap_or_default()
}
