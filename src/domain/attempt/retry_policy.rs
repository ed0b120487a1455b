//! When a failed attempt is tried again, and which failures are final at once.

use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::outcome::{FailureClass, Outcome};
use crate::domain::timestamp::Timestamp;

/// The default schedule: 5 s, 30 s, 2 min, 10 min, 1 h, 3 h, 8 h.
pub const DEFAULT_DELAYS_MS: [u64; 7] = [5_000, 30_000, 120_000, 600_000, 3_600_000, 10_800_000, 28_800_000];
/// The schedule of Pipedrive's own webhooks: 3 s, 30 s, 150 s.
pub const PIPEDRIVE_DELAYS_MS: [u64; 3] = [3_000, 30_000, 150_000];
/// How far a delay may stray to either side, in percent.
pub const JITTER_PERCENT: u64 = 20;
/// How many delays a webhook's own schedule may have.
pub const DELAYS_MAX: usize = 20;
/// How long a webhook's own schedule may be in all.
pub const SCHEDULE_MS_MAX: u64 = 259_200_000;
/// How short one of its delays may be.
pub const DELAY_MS_MIN: u64 = 1_000;
/// How long an endpoint may put off the next attempt with `Retry-After`.
pub const RETRY_AFTER_MS_MAX: u64 = 3_600_000;
/// How far requests that were put off together come back apart.
const PUT_OFF_SPREAD_MS_MAX: u64 = 4_000;

/// The delays between attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule {
    /// The delay after the first failed attempt, the second, and so on.
    pub delays_ms: Vec<u64>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { delays_ms: DEFAULT_DELAYS_MS.to_vec() }
    }
}

impl Schedule {
    /// How long to wait after the failed attempt of this number (from 1); none when there is no further one.
    /// `random` spreads the delays of requests that failed together.
    pub fn delay_ms(&self, attempt_no: u32, random: u64) -> Option<u64> {
        let index = usize::try_from(attempt_no).ok()?.checked_sub(1)?;
        let base = *self.delays_ms.get(index)?;
        let spread = base / 100 * JITTER_PERCENT;
        Some(base - spread + if spread == 0 { 0 } else { random % (2 * spread + 1) })
    }
}

/// How a webhook's failed requests are tried again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Its own schedule; none for the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Failures that are final at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub final_failures: Vec<FailureClass>,
}

impl RetryPolicy {
    /// How long to wait after a failed attempt; none where there is no further one. An endpoint can put the next
    /// attempt off, never bring it forward.
    pub fn delay_ms(
        &self,
        installation: &Schedule,
        attempt_no: u32,
        outcome: &Outcome,
        random: u64,
        now: Timestamp,
    ) -> Option<u64> {
        if outcome.failure_class().is_some_and(|class| self.final_failures.contains(&class)) {
            return None;
        }
        let delay = self.schedule.as_ref().unwrap_or(installation).delay_ms(attempt_no, random)?;
        // Those that were put off together do not come back together.
        let put_off =
            retry_after_ms(outcome, now).map(|wanted| wanted + random % ((wanted / 10).min(PUT_OFF_SPREAD_MS_MAX) + 1));
        Some(delay.max(put_off.unwrap_or_default()))
    }
}

/// What an answer's `Retry-After` asks for: seconds, or a date in any of the three forms of RFC 9110. Bounded; none where it
/// is malformed.
fn retry_after_ms(outcome: &Outcome, now: Timestamp) -> Option<u64> {
    let Outcome::Answer { headers, .. } = outcome else { return None };
    let (_, text) = headers.iter().find(|(name, _)| name == "retry-after")?;
    let text = text.trim();
    let wanted = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().unwrap_or(u64::MAX).saturating_mul(1_000)
    } else {
        let since_1970 = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
        since_1970.checked_sub(u64::try_from(now.seconds()).ok()?)?.saturating_mul(1_000)
    };
    Some(wanted.min(RETRY_AFTER_MS_MAX))
}

/// Whether a header's value is a time that `Retry-After` can have: few digits, or a date.
pub fn is_retry_after(value: &[u8]) -> bool {
    const DIGITS_MAX: usize = 6;
    let is_number = (1..=DIGITS_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    is_number || std::str::from_utf8(value).is_ok_and(|text| httpdate::parse_http_date(text).is_ok())
}

#[cfg(test)]
#[path = "tests/retry_policy.rs"]
mod tests;
