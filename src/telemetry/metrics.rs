//! What is counted and measured, by the names of OpenTelemetry; `docs/metrics.md` lists all of it. Attributes have few
//! values: never an account, a webhook or a URL.

use std::{sync::Arc, time::Duration};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter},
};

use crate::domain::plan::CROSSINGS_PERCENT;

/// The bounds of what takes from a tenth of a millisecond to a minute, in seconds.
const SECONDS: [f64; 18] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// The bounds of how many there are of something, up to the largest group of a commit.
const COUNTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// The instruments; does nothing where no metrics are read.
#[derive(Clone)]
pub struct Metrics(Arc<Instruments>);

struct Instruments {
    meter: Meter,
    events: Counter<u64>,
    matches: Counter<u64>,
    executions: Counter<u64>,
    faults: Counter<u64>,
    unreadable: Counter<u64>,
    crossings: Counter<u64>,
    breaker_transitions: Counter<u64>,
    webhooks_disabled: Counter<u64>,
    calls: Histogram<f64>,
    attempts: Histogram<f64>,
    first_requests: Histogram<f64>,
    mailbox_waits: Histogram<f64>,
    answers: Histogram<f64>,
    commits: Histogram<f64>,
    commit_changes: Histogram<f64>,
}

impl Default for Metrics {
    /// Instruments of the provider that the process has set; of none, before it has.
    fn default() -> Self {
        let meter = global::meter("hookline");
        let counter = |name: &'static str, unit: &'static str, description: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(description).build()
        };
        let histogram = |name: &'static str, unit: &'static str, bounds: &[f64], description: &'static str| {
            let builder = meter.f64_histogram(name).with_unit(unit).with_description(description);
            builder.with_boundaries(bounds.to_vec()).build()
        };
        let seconds = |name, description| histogram(name, "s", &SECONDS, description);
        let instruments = Instruments {
            events: counter("hookline.events", "{event}", "Events that were answered, by result"),
            matches: counter("hookline.matches", "{execution}", "Executions that were made, by kind of source"),
            executions: counter(
                "hookline.executions",
                "{execution}",
                "Executions that have ended, by final state, reason and kind of source",
            ),
            faults: counter("hookline.faults", "{fault}", "Decisions and requests that broke down: faults of ours"),
            unreadable: counter(
                "hookline.unreadable",
                "{row}",
                "Rows of the database that cannot be read: executions that fail by it, webhooks that are disabled by it, \
                 automations whose events wait for a person",
            ),
            crossings: counter(
                "hookline.limit.crossings",
                "{crossing}",
                "Windows whose executions have reached a share of their limit, in percent",
            ),
            breaker_transitions: counter(
                "hookline.breaker.transitions",
                "{transition}",
                "Endpoints that are left alone from now on (open), or answer again (closed)",
            ),
            webhooks_disabled: counter(
                "hookline.webhooks.disabled",
                "{webhook}",
                "Webhooks that were disabled, by an admin or because their endpoint is gone or hopeless",
            ),
            calls: seconds("rpc.server.call.duration", "Calls of the gRPC port until their answer began"),
            attempts: seconds("hookline.attempt.duration", "Attempts to send a request, by outcome"),
            first_requests: seconds(
                "hookline.request.delay",
                "From the acknowledgement of an event, or the call that retries, to the first request of an execution",
            ),
            mailbox_waits: seconds(
                "hookline.mailbox.wait",
                "How long frames of events and calls wait in their account until a decision looks at them",
            ),
            answers: seconds(
                "hookline.acknowledgement.duration",
                "From the arrival of a frame of events or a call at its account until it is durable and answered",
            ),
            commits: seconds("hookline.commit.duration", "Group commits of the journal, by result"),
            commit_changes: histogram(
                "hookline.commit.changes",
                "{change}",
                &COUNTS,
                "Changes of accounts that one group commit gathered",
            ),
            meter,
        };
        let metrics = Self(Arc::new(instruments));
        metrics.begin();
        metrics
    }
}

impl Metrics {
    /// Shows what should never happen, or seldom does, as 0: the first time must be seen as a rise.
    fn begin(&self) {
        for what in ["decision", "request"] {
            self.0.faults.add(0, &[KeyValue::new("what", what)]);
        }
        for what in ["execution", "webhook", "automation"] {
            self.0.unreadable.add(0, &[KeyValue::new("what", what)]);
        }
        for percent in CROSSINGS_PERCENT {
            self.0.crossings.add(0, &[KeyValue::new("percent", i64::from(percent))]);
        }
        for to in ["open", "closed"] {
            self.0.breaker_transitions.add(0, &[KeyValue::new("to", to)]);
        }
        for result in ["accepted", "duplicate", "rejected", "retry_later"] {
            self.0.events.add(0, &[KeyValue::new("result", result)]);
        }
        self.0.webhooks_disabled.add(0, &[]);
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl Metrics {
    /// What makes further instruments: those that are read when somebody asks.
    pub fn meter(&self) -> &Meter {
        &self.0.meter
    }

    /// Events were answered.
    pub fn events(&self, result: &'static str, number: usize) {
        if number > 0 {
            self.0.events.add(count(number), &[KeyValue::new("result", result)]);
        }
    }

    /// An execution was made.
    pub fn made(&self, source: &'static str) {
        self.0.matches.add(1, &[KeyValue::new("source", source)]);
    }

    /// An execution has ended.
    pub fn ended(&self, state: &'static str, reason: &'static str, source: &'static str) {
        let attributes =
            [KeyValue::new("state", state), KeyValue::new("reason", reason), KeyValue::new("source", source)];
        self.0.executions.add(1, &attributes);
    }

    /// Something broke down.
    pub fn fault(&self, what: &'static str) {
        self.0.faults.add(1, &[KeyValue::new("what", what)]);
    }

    /// A row of the database cannot be read.
    pub fn unreadable(&self, what: &'static str) {
        self.0.unreadable.add(1, &[KeyValue::new("what", what)]);
    }

    /// A share of a limit is reached.
    pub fn limit_crossed(&self, percent: u32) {
        self.0.crossings.add(1, &[KeyValue::new("percent", i64::from(percent))]);
    }

    /// An endpoint is left alone, or answers again.
    pub fn breaker(&self, to: &'static str) {
        self.0.breaker_transitions.add(1, &[KeyValue::new("to", to)]);
    }

    /// A webhook sends no requests any more.
    pub fn webhook_disabled(&self) {
        self.0.webhooks_disabled.add(1, &[]);
    }

    /// A call was answered.
    pub fn call(&self, method: String, code: String, took: Duration) {
        let attributes = [KeyValue::new("rpc.method", method), KeyValue::new("rpc.response.status_code", code)];
        self.0.calls.record(took.as_secs_f64(), &attributes);
    }

    /// An attempt ended.
    pub fn attempt(&self, outcome: &'static str, took: Duration) {
        self.0.attempts.record(took.as_secs_f64(), &[KeyValue::new("outcome", outcome)]);
    }

    /// The first request of an execution starts.
    pub fn first_request(&self, after: Duration) {
        self.0.first_requests.record(after.as_secs_f64(), &[]);
    }

    /// A decision looks at a frame of events or a call.
    pub fn mailbox_wait(&self, waited: Duration) {
        self.0.mailbox_waits.record(waited.as_secs_f64(), &[]);
    }

    /// A frame of events or a call is answered.
    pub fn answered(&self, input: &'static str, took: Duration) {
        self.0.answers.record(took.as_secs_f64(), &[KeyValue::new("input", input)]);
    }

    /// The journal has committed a group, or failed to.
    pub fn commit(&self, result: &'static str, changes: usize, took: Duration) {
        self.0.commits.record(took.as_secs_f64(), &[KeyValue::new("result", result)]);
        self.0.commit_changes.record(f64::from(u32::try_from(changes).unwrap_or(u32::MAX)), &[]);
    }
}
