use super::*;
use crate::domain::plan::{LimitOverrides, Plan, PlanLimits};

#[test]
fn each_share_of_the_limit_is_crossed_once_a_window() {
    let window = |no, used| Window { no, start: Timestamp(0), used };
    assert_eq!(crossings(window(1, 0), window(1, 79), 100), [0_u32; 0]);
    assert_eq!(crossings(window(1, 79), window(1, 80), 100), [80]);
    assert_eq!(crossings(window(1, 80), window(1, 99), 100), [0_u32; 0]);
    assert_eq!(crossings(window(1, 10), window(1, 100), 100), [80, 100]);
    assert_eq!(crossings(window(1, 100), window(2, 85), 100), [80], "a new window begins anew");
    assert_eq!(crossings(window(1, 0), window(1, 1), 1), [80, 100]);
    assert_eq!(crossings(window(1, 0), window(1, 0), 0), [0_u32; 0], "nothing is used of nothing");
}

#[test]
fn windows_only_count_up() {
    let window = Window { no: 3, start: Timestamp(1_000_000_000), used: 7 };
    let length_ms = 600_000;
    assert_eq!(window.at(Timestamp(1_000_000_000), length_ms), window);
    assert_eq!(window.at(Timestamp(1_599_999_999), length_ms), window);
    let next = window.at(Timestamp(1_600_000_000), length_ms);
    assert_eq!(next, Window { no: 4, start: Timestamp(1_600_000_000), used: 0 });
    let back = window.at(Timestamp(5), length_ms);
    assert_eq!(back, Window { no: 3, start: Timestamp(5), used: 7 }, "a clock set back admits nothing anew");
}

#[test]
fn each_kind_leaves_a_quarter() {
    let limits = PlanLimits::default().resolve(Plan::Advanced, &LimitOverrides::default());
    let mut flight = RequestsInFlight::default();
    assert_eq!(flight.free(SourceKind::Automation, &limits), 12);
    for _ in 0..12 {
        flight.add(SourceKind::Automation);
    }
    assert_eq!(flight.free(SourceKind::Automation, &limits), 0);
    assert_eq!(flight.free(SourceKind::RegularWebhook, &limits), 4);
}
