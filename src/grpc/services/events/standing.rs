//! Accounts in trouble on one stream: their events are answered *later* for a while, and the other accounts go on.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{domain::id::AccountId, engine::Order};

/// How many accounts of a stream are in trouble at once; one more ends it.
const TROUBLED_MAX: usize = 10_000;

/// The accounts that have frames under way, or are in trouble.
#[derive(Default)]
pub struct Accounts {
    /// Whether the client takes such answers.
    pub takes_later: bool,
    of: HashMap<AccountId, Standing>,
}

/// How an account stands.
#[derive(Default)]
struct Standing {
    order: Order,
    under_way: usize,
    /// Until when its events are answered so.
    until: Option<Instant>,
}

/// What becomes of a frame.
pub enum Turn {
    /// It is taken in.
    Now(Order),
    /// It is answered *later*: after so long.
    Later(Duration),
}

impl Accounts {
    /// A frame of an account comes in.
    pub fn enter(&mut self, account: &AccountId, now: Instant) -> Turn {
        let standing = self.of.entry(account.clone()).or_default();
        if let Some(until) = standing.until {
            if now < until {
                return Turn::Later(until - now);
            }
            standing.until = None;
            if standing.under_way == 0 {
                standing.order = Order::default();
            }
        }
        standing.under_way += 1;
        Turn::Now(standing.order.clone())
    }

    /// A frame of an account that was taken in is done, or was turned away for so long. Answers whether the stream can
    /// go on.
    pub fn leave(&mut self, account: &AccountId, trouble: Option<Duration>, now: Instant) -> bool {
        if let Some(standing) = self.of.get_mut(account) {
            standing.under_way = standing.under_way.saturating_sub(1);
            standing.until = standing.until.max(trouble.map(|rest| now + rest));
            if standing.under_way == 0 && standing.until.is_none() {
                self.of.remove(account);
            }
        }
        if trouble.is_none() {
            return true;
        }
        if self.of.len() > TROUBLED_MAX {
            // Whoever is out of trouble is forgotten; nothing of it is under way.
            self.of.retain(|_, standing| standing.under_way > 0 || standing.until.is_some_and(|until| now < until));
        }
        let is_many = || self.of.values().filter(|standing| standing.until.is_some()).count() > TROUBLED_MAX;
        self.takes_later && (self.of.len() <= TROUBLED_MAX || !is_many())
    }
}

#[cfg(test)]
#[path = "tests/standing.rs"]
mod tests;
