//! `cargo bench --bench rendering`: what filters cost where a body is rendered.
//!
//! A body with ten placeholders next to the same body with two filters in each of them, in turn in the same run. One JSON
//! line, with the minimum, the median and the maximum of the rounds.
//!
//! `HOOKLINE_BENCH_ROUNDS` (default 9) makes a run shorter or longer.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use hookline::domain::{
    automation::{
        catalogue::Catalogue,
        placeholder::{Rendering, Scope, Trees},
        template::{BodySpec, BodyTemplate},
    },
    event::{Action, Event},
    id::{AccountId, ExecutionUid},
    refusal::Violations,
    timestamp::Timestamp,
};

/// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often a body is rendered in a round.
const TIMES: u32 = 20_000;
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Pairs of filters that people write.
const FILTERS: [&str; 5] = [
    "strip | upcase",
    "default: 'none' | truncate: 40",
    "replace: ' ', '-' | downcase",
    "append: '!' | escape",
    "strip | capitalize",
];

fn event() -> Event {
    let fields: Vec<_> =
        (0..10).map(|at| format!(r#""f{at}": "The value of the field number {at}, as people write""#)).collect();
    Event {
        id: "e-1".parse().expect("an id"),
        object: "deal".parse().expect("a name"),
        action: Action::Change,
        entity_id: "8".parse().expect("an id"),
        occurred_at: Timestamp(1),
        user_id: None,
        data: format!("{{{}}}", fields.join(", ")),
        previous: None,
        meta: None,
        swapped: false,
        permitted_user_ids: None,
        cause: None,
        trace: None,
    }
}

fn template(filters: impl Fn(usize) -> String) -> BodyTemplate {
    let entries = (0..10).map(|at| (format!("key {at}"), format!("{{{{deal.f{at}{}}}}}", filters(at)))).collect();
    let spec = BodySpec::KeyValue(entries);
    let object = "deal".parse().expect("a name");
    let mut faults = Violations::default();
    BodyTemplate::compile(&spec, &object, "body", &mut faults).expect("compiles")
}

/// How long a body takes, from the event's text to the body's, as an execution is made.
fn time(template: &BodyTemplate, event: &Event) -> Duration {
    let account: AccountId = "42".parse().expect("an id");
    let catalogue = Catalogue::default();
    let begun = Instant::now();
    for _ in 0..TIMES {
        let trees = Trees::of(event).expect("JSON");
        let scope = Scope {
            event,
            data: &trees.data,
            previous: None,
            account: &account,
            automation_name: "one",
            execution: ExecutionUid(uuid::Uuid::nil()),
            catalogue: &catalogue,
        };
        let rendering = Rendering::default();
        black_box(template.render(scope, BODY_BYTES_MAX, &rendering)).expect("renders");
    }
    begun.elapsed()
}

fn main() {
    let rounds: usize = std::env::var("HOOKLINE_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(9);
    let event = event();
    let (plain, filtered) = (template(|_| String::new()), template(|at| format!(" | {}", FILTERS[at % FILTERS.len()])));
    let mut ratios = Vec::new();
    let (mut of_plain, mut of_filtered) = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds.max(1) {
        let (one, other) = (time(&plain, &event), time(&filtered, &event));
        ratios.push(other.as_secs_f64() / one.as_secs_f64());
        (of_plain, of_filtered) = (of_plain.min(one), of_filtered.min(other));
    }
    ratios.sort_by(f64::total_cmp);
    let us = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(TIMES);
    println!(
        r#"{{"case":"a body of ten placeholders, with two filters each next to none","plain_us":{:.2},"filtered_us":{:.2},"ratio":{{"min":{:.2},"median":{:.2},"max":{:.2}}}}}"#,
        us(of_plain),
        us(of_filtered),
        ratios[0],
        ratios[ratios.len() / 2],
        ratios[ratios.len() - 1]
    );
}
