//! Events: which automations they make run, and which they do not.

use std::sync::Arc;

use opentelemetry::trace::SpanId;
use uuid::Uuid;

use super::{draft::Draft, surroundings::Surroundings};
use crate::domain::{
    account::{
        Account,
        change::EVENT_REQUESTS_BYTES_MAX,
        loops::{CAUSATION_DEPTH_MAX, CAUSED_RUNS_MAX, LoopKey},
    },
    attempt::Reason,
    automation::{
        Automation,
        miss::{Automations, Miss},
        placeholder::{Scope, Trees},
    },
    event::{Event, Rejection, RejectionReason},
    execution::{
        NewExecution, Progress,
        notification::{beginning, notification},
        record::{Basis, Record},
        request::build,
    },
    id::{AutomationUid, ExecutionUid, WebhookUid},
    source::SourceKind,
    trace_context::TraceContext,
    webhook::Webhook,
};

impl<'a> Draft<'a, '_> {
    /// An event: what it makes run, or why it never can.
    pub(super) fn event(&mut self, event: &Arc<Event>) -> EventReply {
        let Some(account) = self.living() else {
            let message = format!("there is no account {}: create it first", self.state.id);
            return EventReply::Rejected(Rejection::new("parent", RejectionReason::AccountNotFound, message));
        };
        if event.object.is_notice() {
            let field = if event.meta.is_some() { "envelope.meta.entity" } else { "event.object" };
            let message = format!("{} is the service's own: only it publishes events of this object", event.object);
            return EventReply::Rejected(Rejection::new(field, RejectionReason::ReservedObject, message));
        }
        let age_max = self.around.rules.event_age_max_ms.filter(|_| self.around.rules.is_clock_trusted);
        if age_max.is_some_and(|age_max_ms| event.occurred_at.plus_ms(age_max_ms) < self.around.now) {
            let message = format!("happened at {}, longer ago than is taken", event.occurred_at.to_rfc3339());
            return EventReply::Rejected(Rejection::new("occur_time", RejectionReason::TooOld, message));
        }
        if self.known.contains(&event.id) || self.seen.contains(&event.id) {
            return EventReply::Duplicate;
        }
        #[cfg(test)]
        assert_ne!(event.id.as_str(), super::faults::BREAKS_DOWN, "a test asks for a fault");
        match self.happened(account, event) {
            Ok(()) => EventReply::Accepted,
            Err(rejection) => EventReply::Rejected(rejection),
        }
    }

    /// Something happened: automations run, and regular webhooks are told.
    pub(super) fn happened(&mut self, account: &'a Account, event: &Arc<Event>) -> Result<(), Rejection> {
        let executions = self.change.executions.len();
        self.event_bytes = 0;
        let fits_trigger = self.trigger(account, event)?;
        let mut shared = None;
        for webhook in account.subscribers(event) {
            let shared = shared.get_or_insert_with(|| beginning(event));
            self.notify(account, webhook, event, shared);
        }
        let made = self.change.executions.len() - executions;
        if fits_trigger {
            self.recent.push((Arc::clone(event), made));
        }
        if made > 0 {
            self.bytes += event.weight_bytes();
            self.seen.insert(event.id.clone());
            self.change.events.push(Arc::clone(event));
        }
        Ok(())
    }

    /// Runs the automations that an event triggers and whose conditions hold. Answers whether it fits a trigger.
    fn trigger(&mut self, account: &'a Account, event: &Arc<Event>) -> Result<bool, Rejection> {
        let Some(selection) = account.triggered_by(event) else { return Ok(false) };
        let has_plan = account.facts.plan.has_automation_webhooks();
        if !has_plan || selection.is_empty() {
            self.miss(account, event, &selection.all, Vec::new());
            return Ok(true);
        }
        let trees = Trees::of(event).map_err(|error| Rejection::new("data", RejectionReason::InvalidJson, error))?;
        let state = trees.state(event, &account.catalogue);
        let candidates = selection.candidates(&trees.data).into_iter();
        let candidates = candidates.filter(|automation| automation.is_triggered_by(event));
        let matches: Vec<_> = candidates.filter(|automation| automation.compiled.conditions.hold(state)).collect();
        if matches.len() < selection.all.len() {
            self.miss(account, event, &selection.all, matches.iter().map(|automation| automation.uid).collect());
        }
        for automation in matches {
            self.run(account, automation, event, &trees);
        }
        Ok(true)
    }

    /// Tells a regular webhook of an event that it has subscribed to.
    fn notify(&mut self, account: &Account, webhook: &Webhook, event: &Event, beginning: &Arc<str>) {
        let (trace, parent_span) = trace_of(event, self.around);
        let record = Record {
            source_name: webhook.display_name.clone(),
            source_id: webhook.id.clone(),
            causation_depth: event.cause.as_ref().map_or(0, |cause| cause.depth),
            trace,
            parent_span,
            requests: vec![notification(&self.state.id, webhook, event, beginning)],
            explanation: Vec::new(),
            basis: Basis::Decision,
        };
        let uid = ExecutionUid::new(account.uid, (self.around.uuid)());
        self.begin(account, event, (uid, SourceKind::RegularWebhook, webhook.uid.0), Arc::new(record));
    }

    /// A new execution of a source for an event, unless it goes round in a circle.
    fn begin(
        &mut self,
        account: &Account,
        event: &Event,
        (uid, source_kind, source): (ExecutionUid, SourceKind, Uuid),
        record: Arc<Record>,
    ) {
        let mut progress = Progress::begin();
        if self.is_loop(account, source, event) {
            progress = progress.stop(Reason::Loop, self.around.now);
        } else if record.requests.is_empty() {
            progress = progress.stop(Reason::RequestsTooLarge, self.around.now);
        }
        self.event_bytes += record.weight_bytes();
        self.add(NewExecution {
            uid,
            source_kind,
            source,
            event_id: event.id.clone(),
            run: 0,
            object: event.object.clone(),
            action: event.action,
            entity_id: event.entity_id.clone(),
            acting_user: event.user_id.clone(),
            retry_of: None,
            is_caused: event.cause.is_some(),
            created_at: self.around.now,
            progress,
            record,
            event: None,
        });
    }

    /// Takes note of an event that did not make every automation of its trigger run.
    pub(super) fn miss(
        &mut self,
        account: &Account,
        event: &Arc<Event>,
        automations: &Automations,
        ran: Vec<AutomationUid>,
    ) {
        let (event, automations) = (Arc::clone(event), Arc::clone(automations));
        let has_plan = account.facts.plan.has_automation_webhooks();
        let catalogue = Arc::clone(&account.catalogue);
        self.misses.push(Miss { event, automations, ran, has_plan, catalogue });
    }

    /// An execution of an automation for an event.
    pub(super) fn run(&mut self, account: &'a Account, automation: &Automation, event: &Event, trees: &Trees<'_>) {
        let (trace, parent_span) = trace_of(event, self.around);
        let uid = ExecutionUid::new(account.uid, (self.around.uuid)());
        let scope = Scope {
            event,
            data: &trees.data,
            previous: trees.previous.as_ref(),
            account: &self.state.id,
            automation_name: &automation.display_name,
            execution: uid,
            catalogue: &account.catalogue,
        };
        let webhook_of = |uid: WebhookUid| account.webhooks.get(&uid).map(|webhook| &**webhook);
        let is_too_much = self.event_bytes >= EVENT_REQUESTS_BYTES_MAX;
        let body_bytes_max = self.around.rules.body_bytes_max;
        let record = Arc::new(Record {
            source_name: automation.display_name.clone(),
            source_id: automation.id.clone(),
            causation_depth: event.cause.as_ref().map_or(0, |cause| cause.depth),
            trace,
            parent_span,
            requests: if is_too_much { Vec::new() } else { build(automation, scope, webhook_of, body_bytes_max) },
            explanation: automation.compiled.conditions.explain(trees.state(event, &account.catalogue)),
            basis: Basis::Decision,
        });
        self.begin(account, event, (uid, SourceKind::Automation, automation.uid.0), record);
    }

    /// Whether executions that cause each other have come too deep, or round too often.
    fn is_loop(&self, account: &Account, source: Uuid, event: &Event) -> bool {
        let Some(cause) = &event.cause else { return false };
        let key = LoopKey::new(source, &event.object, &event.entity_id);
        let is_same = |new: &&NewExecution| {
            new.is_caused && (new.source, &new.object, &new.entity_id) == (key.source, &key.object, &key.entity_id)
        };
        let now = self.change.executions.iter().filter(is_same).count();
        let runs = account.loops.count(&key, self.around.now) + u32::try_from(now).unwrap_or(u32::MAX);
        // A notice tells of what has come too deep, and of nothing that comes of that.
        let is_too_deep = cause.depth > CAUSATION_DEPTH_MAX && !event.object.is_notice();
        is_too_deep || runs >= CAUSED_RUNS_MAX
    }
}

/// The context of a new execution's span, under that of its event or in a trace of its own, and its parent.
fn trace_of(event: &Event, around: &mut Surroundings<'_>) -> (TraceContext, Option<SpanId>) {
    let span = (around.random)() | 1;
    match &event.trace {
        Some(given) => (given.with_span(SpanId::from(span)), Some(given.span_id())),
        None => (TraceContext::unrecorded((around.uuid)().as_u128(), span), None),
    }
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventReply {
    /// Everything that it causes is durable, or it causes nothing.
    Accepted,
    /// Its id is stored already.
    Duplicate,
    /// It can never be accepted.
    Rejected(Rejection),
}
