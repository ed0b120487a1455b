//! What regular webhooks subscribe to, and the envelope that they get.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::domain::{
    event::{Action, Event},
    id::{ObjectName, UserId},
};

/// How many regular webhooks a user may own.
pub const REGULAR_WEBHOOKS_OF_USER_MAX: usize = 40;
/// What stands for every action, or every object.
const ANY: &str = "*";

/// Which events a regular webhook gets: `action.object`, with `*` for any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subscription {
    /// What happened; anything where there is none.
    pub action: Option<Action>,
    /// The kind of object; any where there is none.
    pub object: Option<ObjectName>,
}

impl Subscription {
    /// Whether an event is meant. The service's own notices are meant only where they are named.
    pub fn fits(&self, event: &Event) -> bool {
        let is_object = match &self.object {
            Some(object) => *object == event.object,
            None => !event.object.is_notice(),
        };
        is_object && self.action.is_none_or(|action| action == event.action)
    }

    /// Whether it names the service's own notices.
    pub fn names_notices(&self) -> bool {
        self.object.as_ref().is_some_and(ObjectName::is_notice)
    }
}

impl FromStr for Subscription {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "must be action.object, such as change.deal, with * for any on either side: *.deal, create.*, *.*";
        let (action, object) = text.split_once('.').ok_or(wanted)?;
        let action = match action {
            ANY => None,
            "create" => Some(Action::Create),
            "change" => Some(Action::Change),
            "delete" => Some(Action::Delete),
            _ => return Err(wanted.to_owned()),
        };
        let object = if object == ANY { None } else { Some(object.parse().map_err(|_| wanted)?) };
        Ok(Self { action, object })
    }
}

impl fmt::Display for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = self.action.map_or(ANY, Action::as_str);
        write!(f, "{action}.{}", self.object.as_ref().map_or(ANY, ObjectName::as_str))
    }
}

impl TryFrom<String> for Subscription {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Subscription> for String {
    fn from(subscription: Subscription) -> Self {
        subscription.to_string()
    }
}

/// Whether a user may see what an event is about: where it names those who may, they must be among them.
pub fn is_permitted(event: &Event, user: Option<&UserId>) -> bool {
    let permitted = event.permitted_user_ids.as_ref();
    permitted.is_none_or(|permitted| user.is_some_and(|user| permitted.contains(user)))
}

#[cfg(test)]
#[path = "tests/subscription.rs"]
mod tests;
