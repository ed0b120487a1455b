//! Automations: a trigger, conditions and the requests to send.

use std::{collections::BTreeMap, io};

use serde::{Deserialize, Serialize};
use serde_json::ser::{CharEscape, Formatter};

use super::{
    catalogue::Catalogue,
    condition::{Conditions, GroupSpec, fit_warnings},
    header::{HeaderSpec, HeaderTemplates},
    method::Method,
    path_template::PathTemplate,
    placeholder::ROOTS,
    template::{BodySpec, BodyTemplate},
    trigger::TriggerActions,
};
use crate::domain::{
    event::{Action, Event},
    id::{AutomationUid, ObjectName, ResourceId, UserId, WebhookUid},
    path::FieldPath,
    refusal::Violations,
    timestamp::Timestamp,
    url::Ending,
};

/// How many actions an automation may have.
pub const ACTIONS_MAX: usize = 10;
/// How large an automation may be as a whole, in bytes.
pub const AUTOMATION_BYTES_MAX: usize = 768 * 1024;
/// How many fields of an automation are looked up to warn of unknown ones.
const WARNED_FIELDS_MAX: usize = 200;

/// What an automation does, as it is written and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AutomationSpec {
    /// The kind of object.
    pub object: ObjectName,
    /// What happened to it: any of these, each once, in their order.
    #[serde(flatten)]
    pub trigger_actions: TriggerActions,
    /// What must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<GroupSpec>,
    /// The requests to send, in order.
    pub actions: Vec<ActionSpec>,
    /// When the actions were last edited, or earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions_edited_at: Option<Timestamp>,
}

/// One request to send, as it is written and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionSpec {
    /// What names it through edits: unique in the automation, and never another action's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ResourceId>,
    /// The webhook's id when the automation was saved.
    pub webhook: ResourceId,
    /// The webhook, inside. Found when the automation is saved.
    pub webhook_uid: WebhookUid,
    /// Whether the webhook's endpoint ended in a query when the automation was saved; that never changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub query_ending: bool,
    /// The method.
    pub method: Method,
    /// What is appended to the endpoint URL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The body.
    pub body: BodySpec,
    /// The headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderSpec>,
    /// Whether the later actions are sent although this one failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continue_on_failure: bool,
}

/// An automation whose row cannot be read. What it would do with an event is not known, so those that could fit it wait
/// until a person deletes it or its row is mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableAutomation {
    /// Its number inside of the service: unique for ever, and never shown to clients.
    pub uid: AutomationUid,
    /// Its id, as it is stored.
    pub id: String,
    /// What it is triggered by; none where not even that can be read.
    pub trigger: Option<(ObjectName, TriggerActions)>,
}

/// An automation as it was read.
pub type ReadAutomation = Result<Automation, UnreadableAutomation>;

/// The number inside of an automation as it was read.
pub fn uid_of(read: &ReadAutomation) -> AutomationUid {
    read.as_ref().map_or_else(|unreadable| unreadable.uid, |automation| automation.uid)
}

impl UnreadableAutomation {
    /// Whether it could be triggered by an event.
    pub fn may_fit(&self, event: &Event) -> bool {
        let of_event = |(object, actions): &(ObjectName, TriggerActions)| {
            *object == event.object && actions.as_slice().contains(&event.action)
        };
        self.trigger.as_ref().is_none_or(of_event)
    }
}

/// An automation that is ready to be matched.
#[derive(Debug, Clone)]
pub struct Automation {
    /// Its number inside of the service: unique for ever, and never shown to clients.
    pub uid: AutomationUid,
    /// What clients name it by.
    pub id: ResourceId,
    /// What people name it by.
    pub display_name: String,
    /// What it does, as it was written.
    pub spec: AutomationSpec,
    /// What it does, ready.
    pub compiled: Compiled,
    /// Whether events trigger it.
    pub enabled: bool,
    /// For whom it is active.
    pub activation: Activation,
    /// Who owns it.
    pub owner: UserId,
    /// The account's revision when it was last changed; its etag.
    pub revision: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// For how many users by name an automation is active.
pub const ACTIVATION_USERS_MAX: usize = 1_000;

/// For whom an automation is active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activation {
    /// For the events of every user, and for those with no acting user.
    pub everyone: bool,
    /// For the events of these users.
    pub users: Vec<UserId>,
}

impl Activation {
    /// Active for everyone.
    pub fn everyone() -> Self {
        Self { everyone: true, users: Vec::new() }
    }

    /// Active for one user.
    pub fn only(user: UserId) -> Self {
        Self { everyone: false, users: vec![user] }
    }

    /// Whether the events of anyone trigger.
    pub fn is_active(&self) -> bool {
        self.everyone || !self.users.is_empty()
    }

    /// Whether the events of a user trigger.
    pub fn covers(&self, user: Option<&UserId>) -> bool {
        self.everyone || user.is_some_and(|user| self.users.contains(user))
    }
}

/// An automation's rules, ready to be decided and rendered.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The conditions.
    pub conditions: Conditions,
    /// The requests.
    pub actions: Vec<CompiledAction>,
}

/// One request, ready to be rendered.
#[derive(Debug, Clone)]
pub struct CompiledAction {
    /// What is appended to the endpoint URL.
    pub path: PathTemplate,
    /// The body; none where the request has none.
    pub body: Option<BodyTemplate>,
    /// The headers.
    pub headers: HeaderTemplates,
}

impl AutomationSpec {
    /// Completes what was stored before actions had ids: their places name them until they are edited, and they were edited
    /// when the automation was written last, or earlier.
    pub fn complete(&mut self, updated_at: Timestamp) {
        self.actions_edited_at.get_or_insert(updated_at);
        for (at, action) in self.actions.iter_mut().enumerate() {
            if action.id.is_none() {
                action.id = format!("action-{}", at + 1).parse().ok();
            }
        }
    }

    /// Checks the rules and makes them ready. Faults are noted under the fields of the `automation` message.
    pub fn compile(&self, at: &str, faults: &mut Violations) -> Option<Compiled> {
        let conditions = Conditions::compile(
            self.conditions.as_ref(),
            self.trigger_actions.as_slice(),
            &format!("{at}.conditions"),
            faults,
        );
        if self.actions.is_empty() || self.actions.len() > ACTIONS_MAX {
            faults.add(format!("{at}.actions"), format!("must have 1 to {ACTIONS_MAX} actions"));
        }
        let actions: Vec<_> = (self.actions.iter().enumerate())
            .map(|(index, action)| action.compile(&self.object, &format!("{at}.actions[{index}]"), faults))
            .collect();
        let actions = actions.into_iter().collect::<Option<Vec<_>>>();
        Some(Compiled { conditions: conditions?, actions: actions? })
    }

    /// Refuses what may not be saved, although it works where it was saved before.
    pub fn check_saved(&self, compiled: &Compiled, at: &str, faults: &mut Violations) {
        let bytes = self.bytes();
        if bytes > AUTOMATION_BYTES_MAX {
            faults.add(
                at,
                format!("has {bytes} bytes, the limit of an automation as a whole is {AUTOMATION_BYTES_MAX}: split it"),
            );
        }
        for (index, action) in compiled.actions.iter().enumerate() {
            if let Err(error) = action.path.check_safe() {
                faults.add(format!("{at}.actions[{index}].path"), error);
            }
        }
        for (index, action) in self.actions.iter().enumerate() {
            HeaderTemplates::check_names(&action.headers, &format!("{at}.actions[{index}].headers"), faults);
        }
    }

    /// How large it is as it is written, but for the escapes of JSON.
    fn bytes(&self) -> usize {
        let mut counter = Counter(0);
        let mut serializer = serde_json::Serializer::with_formatter(&mut counter, Unescaped);
        match self.serialize(&mut serializer) {
            Ok(()) => counter.0,
            Err(_) => usize::MAX,
        }
    }

    /// What a reader should know although it is not wrong.
    pub fn warnings(&self, compiled: &Compiled, catalogue: &Catalogue) -> Vec<String> {
        let mut found = Vec::new();
        if self.trigger_actions.as_slice().contains(&Action::Change) && !compiled.conditions.ask_for_change() {
            found.push(
                "runs at every change of the object: add a condition that a field changed to narrow it".to_owned(),
            );
        }
        let object = self.object.as_str();
        if ROOTS.contains(&object) {
            found.push(format!(
                "{object} is also a word of placeholders: {{{{{object}.…}}}} is a field of the {object} here; write \
                 {{{{${object}.…}}}} for what it means elsewhere"
            ));
        }
        let clauses: Vec<_> = self.conditions.iter().flat_map(GroupSpec::clauses).collect();
        for field in clauses.iter().flat_map(|clause| clause.fields()) {
            if let Some(inner) = field.strip_prefix(object).and_then(|rest| rest.strip_prefix('.')) {
                found.push(format!(
                    "the condition on {field:?} looks for a field {object:?} inside the {object}: if {inner:?} is meant, \
                     leave the first word out"
                ));
            }
        }
        if let Some(conditions) = &self.conditions {
            found.extend(fit_warnings(catalogue, object, conditions));
        }
        let of_conditions = clauses.iter().flat_map(|clause| clause.fields());
        let of_conditions = of_conditions.filter_map(|field| FieldPath::parse(field).ok());
        let mut fields: BTreeMap<String, FieldPath> = of_conditions
            .filter(|field| field.split_root().0 != object)
            .map(|field| (field.to_string(), field))
            .collect();
        for action in &compiled.actions {
            let of_body = action.body.iter().flat_map(BodyTemplate::fields);
            let of_action = action.path.fields().chain(of_body).chain(action.headers.fields());
            fields.extend(of_action.map(|field| (field.to_string(), field.clone())));
        }
        for field in fields.values().take(WARNED_FIELDS_MAX) {
            found.extend(catalogue.warning(object, field));
            found.extend(
                field
                    .named_index()
                    .map(|meant| format!("{field} looks for a name: if the place in a list is meant, write {meant}")),
            );
        }
        for action in &compiled.actions {
            let of_body = action.body.iter().flat_map(BodyTemplate::fields_in_text);
            let in_text =
                action.path.plain_fields().chain(of_body).chain(action.headers.plain_fields()).take(WARNED_FIELDS_MAX);
            let lists = in_text.filter(|field| catalogue.is_through_list(object, field));
            found.extend(lists.map(|field| {
                format!("{field} stands for every value of a list, as JSON: name one by its place, such as [0]")
            }));
        }
        for action in &self.actions {
            if action.path.contains("://") {
                let path = &action.path;
                found.push(format!("the path {path:?} is appended to the endpoint URL, it does not replace it"));
            }
        }
        found
    }
}

/// Gives actions without an id that of the action they were: one that is otherwise equal, best at the same place; failing
/// that, the one at the same place where webhook and method are the same; or else a new one.
pub fn name_actions(actions: &mut [ActionSpec], before: &[ActionSpec], mut fresh: impl FnMut() -> ResourceId) {
    let mut taken: Vec<_> = actions.iter().filter_map(|action| action.id.clone()).collect();
    // A webhook that was made anew under its id is the same one for them.
    let is_equal = |action: &ActionSpec, old: &ActionSpec| {
        let (webhook_uid, query_ending) = (action.webhook_uid, action.query_ending);
        *action == ActionSpec { id: None, webhook_uid, query_ending, ..old.clone() }
    };
    let is_alike =
        |action: &ActionSpec, old: &ActionSpec| (&action.webhook, action.method) == (&old.webhook, old.method);
    for looks_elsewhere in [false, true] {
        for (at, action) in actions.iter_mut().enumerate().filter(|(_, action)| action.id.is_none()) {
            let there = before.get(at).into_iter();
            let elsewhere = before.iter().filter(|_| looks_elsewhere);
            let mut free = there.chain(elsewhere).filter(|old| old.id.as_ref().is_some_and(|id| !taken.contains(id)));
            if let Some(old) = free.find(|old| is_equal(action, old)) {
                action.id.clone_from(&old.id);
                taken.extend(old.id.clone());
            }
        }
    }
    for (at, action) in actions.iter_mut().enumerate().filter(|(_, action)| action.id.is_none()) {
        let there = before.get(at).filter(|old| is_alike(action, old)).and_then(|old| old.id.clone());
        let id = there.filter(|id| !taken.contains(id)).unwrap_or_else(&mut fresh);
        taken.push(id.clone());
        action.id = Some(id);
    }
}

/// Counts what is written.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON whose escaped characters take one byte.
struct Unescaped;

impl Formatter for Unescaped {
    fn write_char_escape<W: io::Write + ?Sized>(&mut self, writer: &mut W, _: CharEscape) -> io::Result<()> {
        writer.write_all(b"x")
    }
}

/// Checks what can be checked of an action before its webhook is known, so that a caller learns of every fault at once.
pub fn check_action(
    path: &str,
    (body, headers): (Option<&BodySpec>, &[HeaderSpec]),
    object: &ObjectName,
    at: &str,
    faults: &mut Violations,
) {
    let compile = |ending| PathTemplate::compile(path, object, ending).and_then(|path| path.check_safe());
    if let (Err(error), Err(_)) = (compile(Ending::Path), compile(Ending::Query)) {
        faults.add(format!("{at}.path"), error);
    }
    if let Some(body) = body.filter(|body| **body != BodySpec::None) {
        let _ = BodyTemplate::compile(body, object, at, faults);
    }
    let _ = HeaderTemplates::compile(headers, object, &format!("{at}.headers"), faults);
    HeaderTemplates::check_names(headers, &format!("{at}.headers"), faults);
}

impl ActionSpec {
    fn compile(&self, object: &ObjectName, at: &str, faults: &mut Violations) -> Option<CompiledAction> {
        let ending = if self.query_ending { Ending::Query } else { Ending::Path };
        let path = faults.take(format!("{at}.path"), PathTemplate::compile(&self.path, object, ending));
        let body = match &self.body {
            BodySpec::None => Some(None),
            body => BodyTemplate::compile(body, object, at, faults).map(Some),
        };
        let headers = HeaderTemplates::compile(&self.headers, object, &format!("{at}.headers"), faults);
        Some(CompiledAction { path: path?, body: body?, headers: headers? })
    }
}

impl Automation {
    /// Whether any event can trigger it; what the limit of active automations counts.
    pub fn is_active(&self) -> bool {
        self.enabled && self.activation.is_active()
    }

    /// Whether an event is of the kind that triggers it, and by a user it is active for.
    pub fn is_triggered_by(&self, event: &Event) -> bool {
        self.enabled
            && self.spec.trigger_actions.as_slice().contains(&event.action)
            && self.spec.object == event.object
            && self.activation.covers(event.user_id.as_ref())
    }
}

#[cfg(test)]
#[path = "tests/automation.rs"]
mod tests;
