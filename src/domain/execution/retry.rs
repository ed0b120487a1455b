//! What a retry by a person sends: it starts with what did not succeed, and leaves out whatever did. Actions are the same
//! through edits of their automation where their ids are.

use std::collections::HashSet;

use super::request::Request;
use crate::domain::automation::Method;

/// What has become of an execution's actions, from 0.
#[derive(Debug, Clone, Copy)]
pub struct DoneActions<'a> {
    /// Those that succeeded.
    pub succeeded: &'a HashSet<usize>,
    /// Those of the others that may have been carried out.
    pub may_be_done: &'a HashSet<usize>,
}

/// Why requests that were built anew cannot go on where the execution stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// The actions have no ids, and were edited since.
    Edited,
    /// The action that failed, from 1, is no longer among them.
    Gone(usize),
    /// An action that did not succeed, from 1, now stands before one that did and that it stood behind.
    Moved(usize),
}

impl Misfit {
    /// What is the matter, and what to do.
    pub fn message(&self) -> String {
        let what = match self {
            Misfit::Edited => {
                "the automation's actions were edited since, and which of them had succeeded is not known".to_owned()
            }
            Misfit::Gone(no) => format!("action {no}, which failed, is no longer an action of the automation"),
            Misfit::Moved(no) => {
                format!("action {no}, which did not succeed, now stands before one that had succeeded before it")
            }
        };
        format!(
            "{what}: retry the requests as they were stored, or, where all of them may be sent again, rebuilt from the first"
        )
    }
}

/// Marks which of the requests, as they were stored, are left out.
pub fn go_on_as_stored(requests: &mut [Request], done: DoneActions<'_>) {
    for (at, request) in requests.iter_mut().enumerate() {
        request.is_left_out = done.succeeded.contains(&at);
        request.may_be_done |= done.may_be_done.contains(&at);
    }
}

/// Marks every request to be sent, whatever has become of it.
pub fn begin_anew(requests: &mut [Request], before: &[Request], done: DoneActions<'_>) {
    for (at, request) in requests.iter_mut().enumerate() {
        let old = counterpart(before, request).or_else(|| request.action.is_none().then_some(at));
        let old = old.filter(|old| before.get(*old).is_some_and(|old| is_same_resource(request, old)));
        let was_tried = |old: usize| done.succeeded.contains(&old) || done.may_be_done.contains(&old);
        request.is_left_out = false;
        request.may_be_done = old.is_some_and(was_tried);
    }
}

/// Marks which requests that were built anew are left out: what succeeded, and what was added before it.
pub fn go_on_rebuilt(
    rebuilt: &mut [Request],
    before: &[Request],
    done: DoneActions<'_>,
    were_edited: bool,
) -> Result<(), Misfit> {
    if done.succeeded.is_empty() && before.is_empty() {
        return Ok(());
    }
    let have_ids = before.iter().all(|request| request.action.is_some());
    if !have_ids && were_edited && !done.succeeded.is_empty() {
        return Err(Misfit::Edited);
    }
    let olds: Vec<Option<usize>> = (rebuilt.iter().enumerate())
        .map(
            |(at, request)| {
                if have_ids { counterpart(before, request) } else { Some(at).filter(|at| *at < before.len()) }
            },
        )
        .collect();
    let new_of = |old: usize| olds.iter().position(|found| *found == Some(old));
    let unsuccessful = || (0..before.len()).filter(|old| !done.succeeded.contains(old));
    if let Some(failed) = unsuccessful().next().filter(|failed| !done.succeeded.is_empty() && new_of(*failed).is_none())
    {
        return Err(Misfit::Gone(failed + 1));
    }
    for old in unsuccessful() {
        let is_moved = |succeeded: &usize| {
            let places = new_of(old).zip(new_of(*succeeded));
            *succeeded < old && places.is_some_and(|(of_old, of_succeeded)| of_old < of_succeeded)
        };
        if done.succeeded.iter().any(is_moved) {
            return Err(Misfit::Moved(old + 1));
        }
    }
    let has_succeeded = |old: &Option<usize>| old.is_some_and(|old| done.succeeded.contains(&old));
    let last_done = olds.iter().rposition(has_succeeded);
    for (at, (request, old)) in rebuilt.iter_mut().zip(&olds).enumerate() {
        request.is_left_out = match old {
            Some(_) => has_succeeded(old),
            None => last_done.is_some_and(|last| at < last),
        };
        let same = old.filter(|old| is_same_resource(request, &before[*old]));
        request.may_be_done = same.is_some_and(|old| done.may_be_done.contains(&old));
    }
    Ok(())
}

/// Where the request of the same action stood.
fn counterpart(before: &[Request], request: &Request) -> Option<usize> {
    let action = request.action.as_ref()?;
    before.iter().position(|old| old.action.as_ref() == Some(action))
}

/// Whether two requests delete the same thing.
fn is_same_resource(one: &Request, other: &Request) -> bool {
    // A header or the body may name it, too.
    let named = |request: &Request| (request.webhook, request.method, request.path.clone(), request.headers.clone());
    one.method == Method::Delete && named(one) == named(other) && one.body == other.body
}

#[cfg(test)]
#[path = "tests/retry.rs"]
mod tests;
