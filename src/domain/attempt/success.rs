//! Which answers say that a request was carried out.

use serde::{Deserialize, Serialize};

/// How many statuses may be named.
pub const SUCCESS_STATUSES_MAX: usize = 50;

/// The statuses that say so: some of an endpoint's own, or else those from 200 to 299.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SuccessStatuses(Vec<u16>);

impl SuccessStatuses {
    /// Statuses as somebody names them. The error says which is none, and why.
    pub fn new(named: &[i32]) -> Result<Self, (usize, String)> {
        let mut statuses = Vec::with_capacity(named.len());
        for (at, status) in named.iter().enumerate() {
            let fits = matches!(status, 200..=299 | 400..=499);
            let status = u16::try_from(*status).ok().filter(|_| fits);
            let status = status.ok_or((at, "must be 200 to 299, or 400 to 499".to_owned()))?;
            if matches!(status, 408 | 425 | 429) {
                return Err((at, format!("{status} asks to try again, and cannot be a success")));
            }
            statuses.push(status);
        }
        statuses.sort_unstable();
        statuses.dedup();
        Ok(Self(statuses))
    }

    /// Whether an answer of this status is a success.
    pub fn includes(&self, status: u16) -> bool {
        if self.0.is_empty() { is_success_status(status) } else { self.0.contains(&status) }
    }

    /// Whether none are named.
    pub fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that were named; none where it is all from 200 to 299.
    pub fn named(&self) -> &[u16] {
        &self.0
    }
}

/// Whether an answer of this status is a success where none are named.
pub fn is_success_status(status: u16) -> bool {
    (200..=299).contains(&status)
}
