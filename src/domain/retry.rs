//! When a failed attempt is tried again.

/// The default schedule: 5 s, 30 s, 2 min, 10 min, 1 h, 3 h, 8 h.
pub const DEFAULT_DELAYS_MS: [u64; 7] = [5_000, 30_000, 120_000, 600_000, 3_600_000, 10_800_000, 28_800_000];
/// How far a delay may stray to either side, in percent.
pub const JITTER_PERCENT: u64 = 20;

/// The delays between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn delays_stay_within_the_jitter_and_end(attempt in 0u32..12, random in any::<u64>()) {
            let delay = Schedule::default().delay_ms(attempt, random);
            match DEFAULT_DELAYS_MS.get((attempt as usize).wrapping_sub(1)) {
                Some(base) => {
                    let delay = delay.expect("a delay");
                    prop_assert!(delay >= base * 8 / 10 && delay <= base * 12 / 10);
                }
                None => prop_assert_eq!(delay, None),
            }
        }
    }
}
